//! The JSON Schema of the configuration, made from the types in `model.rs`, and what is read from it:
//! the list of all keys, and the validator.

use std::sync::LazyLock;

use jsonschema::Validator;
use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::{Map, Value, json};

use super::json::Pointer;
use super::model::Config;
use super::names::FORMATS;

/// The key by which a file names its schema, for editors.
pub(super) const SCHEMA_KEY: &str = "$schema";

/// The beginning of every environment variable of the configuration.
pub(super) const ENV_PREFIX: &str = "CONSUMER__";

/// The end of a variable's name if its value is the path of a file that holds the key's value.
pub(super) const ENV_FILE_SUFFIX: &str = "_FILE";

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    // Draft 7 is the newest that all editors understand.
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.inline_subschemas = true;
        settings
            .transforms
            .push(Box::new(RecursiveTransform(describe_the_file)));
    });
    let mut schema = settings.into_generator().into_root_schema_for::<Config>();
    schema.insert("title".into(), "kafka-mongo-consumer".into());
    if let Some(Value::Object(sections)) = schema.get_mut("properties") {
        let description = "The address of this schema, for editors. The program ignores it.";
        let key = json!({"description": description, "type": "string"});
        sections.shift_insert(0, SCHEMA_KEY.into(), key);
    }
    describe_the_file(&mut schema);
    schema.to_value()
});

static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let mut keys = Vec::new();
    add_keys("", &SCHEMA, &mut keys);
    keys
});

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    FORMATS
        .into_iter()
        .fold(jsonschema::options(), |options, (name, is_legal)| {
            options.with_format(name, is_legal)
        })
        .should_validate_formats(true)
        .build(&SCHEMA)
        .expect("invariant: the schema is a valid one")
});

/// The JSON Schema of the file, as `config.schema.json` has it.
pub fn schema_text() -> String {
    format!("{:#}\n", *SCHEMA)
}

/// All keys, in the order of their declaration.
pub fn keys() -> &'static [Key] {
    &KEYS
}

pub(super) fn validator() -> &'static Validator {
    &VALIDATOR
}

/// One key of the configuration: its path, and what the schema says of it.
#[derive(Debug)]
pub struct Key {
    /// The names from the outermost object on, joined by dots: `kafka.topic`.
    pub path: String,
    schema: &'static Map<String, Value>,
}

/// The type of a key's values. It determines how the text of a variable is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Integer,
    Number,
    IntegerOrText,
    Boolean,
    Object,
    Array,
}

impl Key {
    /// The environment variable that overrides the key.
    pub fn env_name(&self) -> String {
        format!(
            "{ENV_PREFIX}{}",
            self.path.to_uppercase().replace('.', "__")
        )
    }

    /// The environment variable that names a file with the value, where the key has one.
    pub fn env_file_name(&self) -> Option<String> {
        matches!(self.value_type(), Type::Text | Type::Object | Type::Array)
            .then(|| self.env_name() + ENV_FILE_SUFFIX)
    }

    /// Where the value is in the file: `/kafka/topic`.
    pub(super) fn pointer(&self) -> Pointer {
        format!("/{}", self.path.replace('.', "/"))
    }

    /// One line for the documentation.
    pub fn description(&self) -> &str {
        self.text("description").unwrap_or_default()
    }

    /// `None` if the key must be given.
    pub fn default(&self) -> Option<&Value> {
        self.schema.get("default")
    }

    /// The default or, of a key that must be given, an example.
    pub(super) fn stand_in(&self) -> Option<&Value> {
        self.default()
            .or_else(|| self.schema.get("examples")?.get(0))
    }

    /// Which values the key takes, for errors and the documentation.
    pub fn expected(&self) -> String {
        if let Some(message) = self.text("errorMessage") {
            return message.trim_start_matches("expected ").to_owned();
        }
        if let Some(only) = self.schema.get("const") {
            return format!("`{only}`");
        }
        match self.value_type() {
            Type::Boolean => "`true` or `false`".to_owned(),
            Type::Integer => {
                let bound = |name| self.schema.get(name).unwrap_or(&Value::Null);
                format!(
                    "a whole number from {} to {}",
                    bound("minimum"),
                    bound("maximum")
                )
            }
            Type::Number => {
                let bound = |name| self.schema.get(name).unwrap_or(&Value::Null);
                format!("a number from {} to {}", bound("minimum"), bound("maximum"))
            }
            Type::Text | Type::IntegerOrText | Type::Object | Type::Array => {
                // Names in upper case are there for editors.
                let names = self.names().filter(|name| **name == name.to_lowercase());
                let mut names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
                let last = names.pop().unwrap_or_default();
                match names.as_slice() {
                    [] => last,
                    others => format!("{} or {last}", others.join(", ")),
                }
            }
        }
    }

    /// The names that it takes, whatever their case; none if it takes other texts.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let list = |keyword| self.schema.get(keyword).and_then(Value::as_array);
        let described = list("oneOf").into_iter().flatten().map(|one| &one["const"]);
        let plain = list("enum").into_iter().flatten();
        described.chain(plain).filter_map(Value::as_str)
    }

    /// Whether a value may hold a secret, and can't be shown.
    pub(super) fn is_secret(&self) -> bool {
        self.schema.get("writeOnly") == Some(&Value::Bool(true))
    }

    pub(super) fn value_type(&self) -> Type {
        match self.schema.get("type") {
            Some(Value::Array(_)) => Type::IntegerOrText,
            Some(Value::String(name)) if name == "integer" => Type::Integer,
            Some(Value::String(name)) if name == "number" => Type::Number,
            Some(Value::String(name)) if name == "boolean" => Type::Boolean,
            Some(Value::String(name)) if name == "object" => Type::Object,
            Some(Value::String(name)) if name == "array" => Type::Array,
            _ => Type::Text,
        }
    }

    fn text(&self, keyword: &str) -> Option<&str> {
        self.schema.get(keyword)?.as_str()
    }
}

/// Adds the keys below the section of this path.
fn add_keys(path: &str, section: &'static Value, keys: &mut Vec<Key>) {
    let Some(Value::Object(entries)) = section.get("properties") else {
        return;
    };
    for (name, entry) in entries.iter().filter(|(name, _)| *name != SCHEMA_KEY) {
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{name}");
        match entry {
            Value::Object(schema) if !schema.contains_key("properties") => {
                keys.push(Key { path, schema });
            }
            section => add_keys(&path, section, keys),
        }
    }
}

/// Corrects what schemars can't know.
fn describe_the_file(schema: &mut Schema) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    // The environment may give what the file leaves out; and serde knows nothing of the defaults.
    schema.shift_remove("required");
    // The bounds say more than `uint32` and the like.
    let of_type = schema.get("type");
    if of_type == Some(&Value::from("integer")) || of_type == Some(&Value::from("number")) {
        schema.shift_remove("format");
    }
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
    // First, what a reader looks for first.
    for keyword in ["type", "description", "title", "$schema"] {
        if let Some(value) = schema.shift_remove(keyword) {
            schema.shift_insert(0, keyword.to_owned(), value);
        }
    }
}
