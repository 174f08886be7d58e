//! The keys about messages and indexes, from their texts to what the program uses.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{MINIMAL, file_with, load};

fn faults_of(values: &[(&str, Value)]) -> Vec<String> {
    load(file_with(values), &[]).err().unwrap_or_default()
}

/// A file of this text, which is deleted when it is dropped.
struct SchemaFile(PathBuf);

impl SchemaFile {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("message-schema-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for SchemaFile {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

#[test]
fn a_schema_is_compiled_when_the_configuration_is_loaded() {
    let good = SchemaFile::new("good.json", r#"{"required": ["a"]}"#);
    let config = load(file_with(&[("message.schema", json!(good.path()))]), &[]).unwrap();
    assert_eq!(config.redacted_json()["message"]["schema"], good.path());
    for (name, text, fault) in [
        ("cut.json", r#"{"required": ["#, "not valid JSON"),
        ("type.json", r#"{"type": "objekt"}"#, "at `/type`"),
        (
            "ref.json",
            r#"{"$ref": "https://example.org/a.json"}"#,
            "outside of the file",
        ),
        (
            "draft.json",
            r#"{"$schema": "http://json-schema.org/draft-04/schema"}"#,
            "draft 2020-12",
        ),
    ] {
        let file = SchemaFile::new(name, text);
        let faults = faults_of(&[("message.schema", json!(file.path()))]);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(
            faults[0].starts_with("`message.schema`: the schema `"),
            "{faults:?}"
        );
        assert!(faults[0].contains(fault), "{faults:?}");
    }
}

#[test]
fn each_faulty_index_is_reported_by_its_place() {
    let indexes = json!([
        {"a": 1},
        {"b": 2},
        {"c": "ascending"},
        {"key": {}},
        {"d": 1, "unique": true},
        {"key": {"e": 1}, "name": ""},
        {"key": {"f": 1}, "name": "a_1"},
        {"key": 1},
        {"g": 1.5},
    ]);
    assert_eq!(
        faults_of(&[("mongodb.indexes", indexes)]),
        [
            "`mongodb.indexes` `1`: `b` is `2`, expected 1, -1, `text`, `hashed`, `2d`, `2dsphere`; an index with options has its fields under `key`",
            "`mongodb.indexes` `2`: `c` is `ascending`, expected 1, -1, `text`, `hashed`, `2d`, `2dsphere`; an index with options has its fields under `key`",
            "`mongodb.indexes` `3`: an index without a field; name one, such as `{\"created_at\": 1}`",
            "`mongodb.indexes` `4`: `unique` is a boolean, expected 1, -1, `text`, `hashed`, `2d`, `2dsphere`; an index with options has its fields under `key`",
            "`mongodb.indexes` `5`: its `name` must be a text that isn't empty",
            "`mongodb.indexes` `6`: the second index with the name `a_1`",
            "`mongodb.indexes` `8`: `g` is `1.5`, expected 1, -1, `text`, `hashed`, `2d`, `2dsphere`; an index with options has its fields under `key`",
        ]
    );
}

#[test]
fn an_index_is_unique_as_mongodb_takes_it() {
    for (unique, expected) in [
        (json!(true), true),
        (json!(1), true),
        (json!(0.5), true),
        (json!(false), false),
        (json!(0), false),
        (json!(0.0), false),
    ] {
        let indexes = json!([{"key": {"a": 1}, "unique": unique}, {"unique": 1}]);
        let config = load(file_with(&[("mongodb.indexes", indexes)]), &[]).unwrap();
        let found = config.mongodb.indexes.iter();
        let found: Vec<_> = found.map(super::super::Index::is_unique).collect();
        // The second index is on a field of that name.
        assert_eq!(found, [expected, false], "{unique}");
    }
}

#[test]
fn the_indexes_of_the_environment_take_the_place_of_those_in_the_file() {
    let file = file_with(&[("mongodb.indexes", json!([{"a": 1}, {"b": 1}]))]);
    for (text, names) in [
        (r#"[{"c": 1, "d": -1}]"#, vec!["c_1_d_-1"]),
        (r#"[{"key": {"c": "2d"}, "min": -10.5}]"#, vec!["c_2d"]),
        (r#"[{"key": {"c": 1}, "name": "own"}]"#, vec!["own"]),
        ("[]", vec![]),
    ] {
        let config = load(&file, &[("CONSUMER__MONGODB__INDEXES", text)]).unwrap();
        let found: Vec<String> = config
            .mongodb
            .indexes
            .iter()
            .map(super::super::Index::name)
            .collect();
        assert_eq!(found, names);
    }
    let twice = [("CONSUMER__MONGODB__INDEXES", r#"[{"a": 1, "a": 1}]"#)];
    assert_eq!(
        load(MINIMAL, &twice).unwrap_err(),
        [
            "`mongodb.indexes` (from `CONSUMER__MONGODB__INDEXES`) `0/a`: given more than once; keep one"
        ]
    );
}

#[test]
fn an_index_that_should_delete_is_a_warning() {
    let indexes = json!([{"key": {"created_at": 1}, "expireAfterSeconds": 60}]);
    let config = load(file_with(&[("mongodb.indexes", indexes)]), &[]).unwrap();
    let warnings = config.warnings();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("`created_at_1`"), "{warnings:?}");
}
