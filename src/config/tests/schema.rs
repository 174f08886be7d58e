//! The printed schema agrees with the repository's file and with the program.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::schema::validator;
use super::super::{keys, schema_text};
use super::{file_with, load};

fn file_of_the_repository(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn the_schema_in_the_repository_is_the_one_that_is_printed() {
    assert!(
        file_of_the_repository("config.schema.json") == schema_text(),
        "make it anew: kafka-mongo-consumer print-schema > config.schema.json"
    );
}

#[test]
fn the_file_in_the_repository_is_valid_as_it_stands() {
    let file: Value = serde_json::from_str(&file_of_the_repository("config.json")).unwrap();
    assert!(validator().is_valid(&file), "editors don't ignore case");
    assert_eq!(file["$schema"], "./config.schema.json");
}

#[test]
fn every_key_has_a_description_and_a_valid_stand_in() {
    for key in keys() {
        assert!(key.description().ends_with('.'), "{}", key.path);
        assert!(!key.expected().is_empty(), "{}", key.path);
        let value = key.stand_in().unwrap().clone();
        let file = file_with(&[(&key.path, value)]);
        assert!(
            validator().is_valid(&serde_json::from_str(&file).unwrap()),
            "{file}"
        );
    }
}

#[test]
fn keys_that_must_be_given_are_not_required_of_the_file() {
    assert!(!schema_text().contains("\"required\""));
    let without: Vec<_> = keys()
        .iter()
        .filter(|key| key.default().is_none())
        .map(|key| key.path.as_str())
        .collect();
    assert_eq!(without, ["kafka.bootstrap_servers", "mongodb.uri"]);
}

#[test]
fn the_address_of_the_schema_is_ignored_and_must_be_a_text() {
    let address = |value: Value| load(file_with(&[("$schema", value)]), &[]);
    assert_eq!(address(json!("./no/such.json")), load(super::MINIMAL, &[]));
    assert_eq!(
        address(json!(7)).unwrap_err(),
        ["`$schema`: found a number, expected a text"]
    );
    assert_eq!(
        load(file_with(&[("kafka.$schema", json!("x"))]), &[])
            .unwrap_err()
            .len(),
        1,
        "nowhere else"
    );
}

/// Values of every type; some of them are accepted by some keys.
fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2_i64..2000).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~]{0,12}|\\PC{0,4}|[a-z]{1,9}|::1|OFF|Latest".prop_map(Value::from),
        "mongodb://[ -~]{0,12}".prop_map(Value::from),
        any::<Vec<bool>>().prop_map(Value::from),
        ("[a-z.]{1,4}", any::<Option<i32>>()).prop_map(|(name, value)| json!({ name: value })),
    ]
}

proptest! {
    #[test]
    fn a_value_is_accepted_or_refused_with_the_name_of_its_key(
        values in prop::collection::vec((any::<prop::sample::Index>(), any_value()), 1..6),
    ) {
        let values: Vec<(&str, Value)> = values
            .into_iter()
            .map(|(index, value)| (index.get(keys()).path.as_str(), value))
            .collect();
        for fault in load(file_with(&values), &[]).err().unwrap_or_default() {
            prop_assert!(fault.starts_with('`') && !fault.contains("can't be read"), "{}", fault);
        }
    }
}
