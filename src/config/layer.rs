//! The values from one source, the file or the environment: their check against the schema, and the error message
//! for each value that it refuses.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value};

use super::errors::{ConfigErrors, quoted};
use super::json::{Pointer, escaped, type_name, unescaped};
use super::names::{self, is_internal_database};
use super::schema::{Key, SCHEMA_KEY, Type, keys, validator};
use super::suggest::nearest;
use super::write_concern::{UNACKNOWLEDGED, W_PATH};

/// Why `enable_auto_commit` must be false.
const NO_AUTO_COMMIT: &str = "found `true`, expected `false`: Kafka's client would commit offsets by \
     time, whether or not their messages are stored, and a crash would lose those; remove the key";

/// Values from one source, in the form of the file.
pub(super) struct Layer {
    values: Value,
    /// Pointers to names that are given more than once.
    repeated: Vec<Pointer>,
    /// The environment variable of each value that comes from the environment, by the path of its key.
    variables: BTreeMap<&'static str, String>,
}

/// The keys and sections with a value that was refused, by their paths.
#[derive(Default)]
pub(super) struct Faulty(BTreeSet<String>);

impl Faulty {
    pub fn add(&mut self, path: impl Into<String>) {
        self.0.insert(path.into());
    }

    /// Whether the key of this path, or a section around it, is among them.
    pub fn contains(&self, path: &str) -> bool {
        let sections = path.match_indices('.').map(|(dot, _)| &path[..dot]);
        sections.chain([path]).any(|path| self.0.contains(path))
    }
}

impl Layer {
    pub fn new(values: Map<String, Value>, repeated: Vec<Pointer>) -> Self {
        Self {
            values: Value::Object(values),
            repeated,
            variables: BTreeMap::new(),
        }
    }

    /// Sets the value of a key to what a variable says.
    pub fn set(&mut self, key: &'static Key, variable: String, value: Value, repeated: &[Pointer]) {
        *entry(&mut self.values, &key.path) = value;
        let within_key = |rest: &Pointer| key.pointer() + rest;
        self.repeated.extend(repeated.iter().map(within_key));
        self.variables.insert(&key.path, variable);
    }

    /// Returns the values that the schema accepts, and reports all others.
    pub fn checked(mut self, faulty: &mut Faulty, errors: &mut ConfigErrors) -> Value {
        for pointer in &self.repeated {
            let is_property = key_at(pointer).is_some_and(|(_, property)| property.is_some());
            let within = if is_property { "" } else { " in the file" };
            let fault = format!("given more than once{within}; keep one");
            errors.add(self.place(pointer), fault);
        }
        self.spell_names_as_the_schema_does();
        let mut judged = without_fractions(&self.values);
        for key in keys().iter().filter(|key| key.value_type() == Type::Number) {
            if let Some(value) = self.values.pointer(&key.pointer()) {
                *entry(&mut judged, &key.path) = value.clone();
            }
        }
        // A value can be refused for several reasons. Only the first one is reported.
        let mut refused = BTreeSet::new();
        for error in validator().iter_errors(&judged) {
            let pointer = outside_of_lists(error.instance_path().as_str());
            let pointer = pointer.as_str();
            if let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() {
                for name in unexpected {
                    let pointer = format!("{pointer}/{}", escaped(name));
                    errors.add(self.place(&pointer), unknown(&pointer));
                    refused.insert(pointer);
                }
            } else if refused.insert(pointer.to_owned()) {
                let value = self.values.pointer(pointer).unwrap_or(&Value::Null);
                errors.add(self.place(pointer), refusal(pointer, value));
                let key = key_at(pointer).map(|(key, _)| key.path.clone());
                faulty.add(key.unwrap_or_else(|| path_of(pointer)));
            }
        }
        for pointer in refused {
            remove(&mut self.values, &pointer);
        }
        self.values
    }

    fn spell_names_as_the_schema_does(&mut self) {
        for key in keys() {
            if let Some(Value::String(text)) = self.values.pointer_mut(&key.pointer())
                && let Some(name) = key.names().find(|name| name.eq_ignore_ascii_case(text))
            {
                name.clone_into(text);
            }
        }
    }

    /// The name of a value in error messages: its key, its variable and its property.
    fn place(&self, pointer: &str) -> String {
        let Some((key, property)) = key_at(pointer) else {
            return quoted(&path_of(pointer));
        };
        let variable = self.variables.get(key.path.as_str());
        let source = variable.map(|variable| format!(" (from `{variable}`)"));
        let property = property.map(|name| format!(" {}", quoted(&unescaped(name))));
        format!(
            "`{}`{}{}",
            key.path,
            source.unwrap_or_default(),
            property.unwrap_or_default()
        )
    }
}

/// The value of a key in values of the file's form, `null` if there was none.
pub(super) fn entry<'a>(values: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('.').fold(values, |value, name| &mut value[name])
}

/// The names in a pointer, joined by dots.
fn path_of(pointer: &str) -> String {
    let names = pointer.trim_start_matches('/');
    unescaped(&names.replace('/', "."))
}

/// The key that a pointer leads to or, with the name of a property, into.
fn key_at(pointer: &str) -> Option<(&'static Key, Option<&str>)> {
    keys().iter().find_map(|key| {
        let rest = pointer.strip_prefix(&key.pointer())?;
        let property = rest.strip_prefix('/');
        (rest.is_empty() || property.is_some()).then_some((key, property))
    })
}

fn remove(values: &mut Value, pointer: &str) {
    if let Some((section, name)) = pointer.rsplit_once('/')
        && let Some(Value::Object(section)) = values.pointer_mut(section)
    {
        section.shift_remove(&unescaped(name));
    }
}

/// Replaces each number that has a decimal point by `null`, which no key accepts; the keys that take fractions are excepted
/// later. The schema would accept 1.0 as an
/// integer, but someone who writes a decimal point may mean something else.
fn without_fractions(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => Value::Null,
        Value::Object(object) => object
            .iter()
            .map(|(name, value)| (name.clone(), without_fractions(value)))
            .collect(),
        other => other.clone(),
    }
}

/// A list is refused as a whole: the pointer to it for a value in it.
fn outside_of_lists(pointer: &str) -> Pointer {
    match key_at(pointer) {
        Some((key, _)) if key.value_type() == Type::Array => key.pointer(),
        Some(_) | None => pointer.to_owned(),
    }
}

/// The error message for a value that the schema refuses.
fn refusal(pointer: &str, value: &Value) -> String {
    let found = type_name(value);
    let Some((key, property)) = key_at(pointer) else {
        let is_section = path_of(pointer) != SCHEMA_KEY;
        let expected = if is_section { "an object" } else { "a text" };
        return format!("found {found}, expected {expected}");
    };
    if property.is_some() {
        return match value {
            Value::String(_) => "found a NUL in the text, which librdkafka can't take".to_owned(),
            Value::Number(_) => {
                "found a number with a decimal point; put it in quotes to pass it to librdkafka as it is".to_owned()
            }
            _ => format!("found {found}, expected a text, a whole number or a boolean"),
        };
    }
    match (key.path.as_str(), value) {
        ("kafka.enable_auto_commit", Value::Bool(true)) => return NO_AUTO_COMMIT.to_owned(),
        (W_PATH, Value::Number(number)) if number.as_u64() == Some(0) => {
            return UNACKNOWLEDGED.to_owned();
        }
        ("mongodb.database", Value::String(name)) if is_internal_database(name) => {
            return format!("found `{name}`, a database of the server's own; use another");
        }
        ("mongodb.uri", Value::String(uri)) => {
            if let Some(fault) = names::fault_of_uri(uri) {
                return fault;
            }
        }
        _ => {}
    }
    let takes_text = matches!(key.value_type(), Type::Text | Type::IntegerOrText);
    if key.value_type() == Type::Array && value.is_array() {
        return format!(
            "found a list with other values in it, expected {}",
            key.expected()
        );
    }
    let found = match value {
        _ if key.is_secret() => found.to_owned(),
        Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
        Value::String(text) if takes_text => quoted(text),
        _ => found.to_owned(),
    };
    format!("found {found}, expected {}", key.expected())
}

/// The error message for a name that the schema doesn't have.
fn unknown(pointer: &str) -> String {
    if key_at(pointer).is_some() {
        return "not a name of a property; such a name has only letters, digits, `.`, `_` and `-`"
            .to_owned();
    }
    if pointer.contains('.') {
        return "unknown key: write the path as nested objects".to_owned();
    }
    let path = path_of(pointer);
    let keys = || keys().iter().map(|key| key.path.as_str());
    let sections: BTreeSet<&str> = keys()
        .flat_map(|path| path.match_indices('.').map(move |(dot, _)| &path[..dot]))
        .collect();
    if let Some(nearest) = nearest(&path, keys().chain(sections.iter().copied())) {
        return format!("unknown key; did you mean `{nearest}`?");
    }
    let known: Vec<&str> = match path.rsplit_once('.') {
        None => sections
            .into_iter()
            .filter(|path| !path.contains('.'))
            .collect(),
        Some((section, _)) => {
            let is_below = |path: &&str| {
                path.strip_prefix(section)
                    .is_some_and(|rest| rest.starts_with('.'))
            };
            keys().filter(is_below).collect()
        }
    };
    format!("unknown key; known here are `{}`", known.join("`, `"))
}
