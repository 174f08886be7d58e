//! A secret is never shown, wherever an operator has put it.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::keys;
use super::{file_with, load};

const SECRET: &str = "hunter2";

/// Everything that a configuration, or its refusal, shows.
fn shown(text: &str, env: &[(&str, &str)]) -> String {
    match load(text, env) {
        Ok(config) => format!(
            "{config:?} {} {:?}",
            config.redacted_json(),
            config.warnings()
        ),
        Err(faults) => faults.join("\n"),
    }
}

#[test]
fn a_secret_uri_under_any_key_is_not_shown() {
    let uri = format!("mongodb://ann:{SECRET}@host/");
    for key in keys() {
        for value in [
            json!(uri),
            json!([uri]),
            json!({ "sasl.password": uri, "passwort": uri }),
            json!({ uri.as_str(): uri }),
        ] {
            let text = file_with(&[(&key.path, value)]);
            let shown = shown(&text, &[]);
            assert!(
                may_show(&key.path) || !shown.contains(SECRET),
                "{text}: {shown}"
            );
        }
        let misspelt = file_with(&[(&format!("{}x", key.path), json!(uri))]);
        assert!(!shown(&misspelt, &[]).contains(SECRET), "{misspelt}");
        let minimal = file_with(&[]);
        for name in [
            Some(key.env_name()),
            key.env_file_name(),
            Some(key.env_name() + "X"),
        ] {
            let Some(name) = name else { continue };
            let shown = shown(&minimal, &[(&name, &uri)]);
            assert!(
                may_show(&key.path) || !shown.contains(SECRET),
                "{name}: {shown}"
            );
        }
    }
}

/// These are names by which the worker is known to others, and they may contain a URI.
fn may_show(path: &str) -> bool {
    matches!(
        path,
        "kafka.group_id" | "mongodb.collection" | "mongodb.write_concern.w"
    )
}

#[test]
fn the_secrets_of_a_valid_configuration_are_masked_and_kept() {
    let text = file_with(&[
        (
            "mongodb.uri",
            json!("mongodb://ann:hunter2@host:1/?authMechanismProperties=hunter2"),
        ),
        (
            "kafka.properties",
            json!({"sasl.username": "ann", "sasl.password": SECRET}),
        ),
        (
            "kafka.producer_properties",
            json!({"ssl.key.pem": SECRET, "x.y": SECRET}),
        ),
    ]);
    let config = load(&text, &[]).unwrap();
    let shown = format!("{config:#?} {:?} {}", config.kafka, config.redacted_json());
    assert!(!shown.contains(SECRET), "{shown}");
    assert!(shown.contains("mongodb://***@host:1/?authMechanismProperties=***"));
    assert_eq!(
        config.redacted_json()["kafka"]["consumer_properties"]["sasl.username"],
        "ann"
    );
    assert!(config.mongodb.uri.expose().contains(SECRET));
    assert_eq!(config.kafka.producer_properties["sasl.password"], SECRET);
}

/// Values of every type in which a secret can stand.
fn secret_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[ -~]{0,8}hunter2[ -~]{0,8}".prop_map(Value::from),
        "mongodb(\\+srv)?://([ -~]{0,6}:)?[?/&=:,%]?hunter2[ -~]{0,6}@host(:1)?/"
            .prop_map(Value::from),
    ]
}

proptest! {
    #[test]
    fn no_secret_leaks_out_of_a_secret_place(
        value in secret_value(),
        wrapped in any::<bool>(),
        name in "(sasl|ssl\\.key|x)\\.(password|pem|secret|token|oauthbearer\\.config|jaas\\.config)",
    ) {
        let value = if wrapped { json!([value]) } else { value };
        for (path, value) in [
            ("kafka.properties", json!({ name.as_str(): value })),
            ("kafka.consumer_properties", json!({ name.as_str(): value })),
            ("kafka.producer_properties", json!({ name.as_str(): value })),
        ] {
            prop_assert!(!shown(&file_with(&[(path, value)]), &[]).contains(SECRET));
        }
    }

    #[test]
    fn no_secret_leaks_out_of_a_uri(
        uri in "mongodb://ann:[ -~]{0,6}([?&](w|j|appname)=)?hunter2[ -~]{0,6}@host(:1)?(/db)?(\\?tls=true)?",
    ) {
        let shown = shown(&file_with(&[("mongodb.uri", json!(uri))]), &[]);
        prop_assert!(!shown.contains(SECRET), "{uri}: {shown}");
    }
}
