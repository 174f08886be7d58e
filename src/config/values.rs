//! The value of every key, from the file, the environment or the table's defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::environment::Override;
use super::errors::{ConfigErrors, quoted};
use super::json::Node;
use super::keys::{self, Fallback, Key};
use super::kind::Value;
use super::model::W;
use super::properties;
use super::secret_uri::SecretUri;
use super::suggest::nearest;

/// The values by path. One that was given and is faulty has none, and its error has been noted.
#[derive(Default)]
pub(super) struct Values {
    given: BTreeMap<&'static str, Value>,
    faulty: BTreeSet<&'static str>,
    defaults: BTreeMap<&'static str, Value>,
}

impl Values {
    /// The file's values, the environment's over them, and the defaults for the rest.
    pub fn collect(
        file: Vec<(String, Node)>,
        overrides: Vec<Override>,
        errors: &mut ConfigErrors,
    ) -> Self {
        let mut values = Self::default();
        values.read_object("", file, errors);
        for Override {
            key,
            variable,
            node,
        } in overrides
        {
            let place = format!("`{}` (from `{variable}`)", key.path);
            let value = node.and_then(|node| key.kind.read(node, &place, errors));
            values.insert(key, value);
        }
        for key in keys::keys() {
            values.fall_back(key, errors);
        }
        values
    }

    fn read_object(&mut self, path: &str, entries: Vec<(String, Node)>, errors: &mut ConfigErrors) {
        let mut seen = BTreeSet::new();
        for (name, node) in entries {
            let dot = if path.is_empty() { "" } else { "." };
            let below = format!("{path}{dot}{name}");
            let place = quoted(&below);
            if !seen.insert(name.clone()) {
                errors.add(&place, "given more than once in the file; keep one");
            } else if name.contains('.') {
                let fault = "unknown key: the parts of a path are objects, one in the other";
                errors.add(&place, fault);
            } else if let Some(key) = keys::find(&below) {
                let value = key.kind.read(node, &place, errors);
                self.insert(key, value);
            } else if keys::is_section(&below) {
                match node {
                    Node::Object(entries) => self.read_object(&below, entries, errors),
                    other => {
                        let found = other.type_name();
                        errors.add(&place, format!("found {found}, expected an object"));
                        let keys = keys::keys().iter().map(|key| key.path);
                        self.faulty
                            .extend(keys.filter(|key| keys::is_below(key, &below)));
                    }
                }
            } else {
                errors.add(&place, unknown(path, &below));
            }
        }
    }

    fn insert(&mut self, key: &'static Key, value: Option<Value>) {
        match (value, self.given.get_mut(key.path)) {
            (Some(Value::Properties(over)), Some(Value::Properties(base))) => {
                *base = properties::merged(base, &over);
            }
            (Some(value), _) => {
                self.given.insert(key.path, value);
            }
            (None, _) => {
                self.faulty.insert(key.path);
            }
        }
    }

    fn fall_back(&mut self, key: &'static Key, errors: &mut ConfigErrors) {
        if self.given.contains_key(key.path) || self.faulty.contains(key.path) {
            return;
        }
        let place = format!("`{}`", key.path);
        let node = match key.default {
            Fallback::Required => {
                let by_file = key
                    .env_file_name()
                    .map(|name| format!(", or `{name}` to a file that holds it"))
                    .unwrap_or_default();
                let fault = format!(
                    "missing, expected {}; put it into the file, or set `{}` to it{by_file}",
                    key.kind,
                    key.env_name()
                );
                errors.add(place, fault);
                return;
            }
            Fallback::Text(text) => Node::Text(text.into()),
            Fallback::Integer(value) => Node::Integer(value.into()),
            Fallback::Boolean(value) => Node::Boolean(value),
            Fallback::EmptyObject => Node::Object(Vec::new()),
        };
        if let Some(value) = key.kind.read(node, &place, errors) {
            self.defaults.insert(key.path, value);
        }
    }

    /// Whether the file or the environment gives this key a value.
    pub fn is_given(&self, path: &str) -> bool {
        self.given.contains_key(path)
    }

    fn get(&self, path: &str) -> Option<&Value> {
        if self.faulty.contains(path) {
            return None;
        }
        self.given.get(path).or_else(|| self.defaults.get(path))
    }
}

/// The value of a key by its type; `None` if it was faulty or missing.
macro_rules! getter {
    ($name:ident, $variant:ident, $type:ty) => {
        pub fn $name(&self, path: &str) -> Option<$type> {
            match self.get(path)? {
                Value::$variant(value) => Some(value.clone()),
                _ => None,
            }
        }
    };
}

impl Values {
    getter!(text, Text, String);
    getter!(uri, Uri, SecretUri);
    getter!(choice, Choice, &'static str);
    getter!(ip_address, IpAddress, IpAddr);
    getter!(boolean, Boolean, bool);
    getter!(acknowledgement, Acknowledgement, W);
    getter!(properties, Properties, BTreeMap<String, String>);

    /// A whole number, in the type that the program wants.
    pub fn integer<T: TryFrom<u32>>(&self, path: &str) -> Option<T> {
        match self.get(path)? {
            Value::Integer(value) => T::try_from(*value).ok(),
            _ => None,
        }
    }

    /// A number of milliseconds.
    pub fn millis(&self, path: &str) -> Option<Duration> {
        self.integer(path).map(Duration::from_millis)
    }
}

fn unknown(section: &str, path: &str) -> String {
    let paths = || keys::keys().iter().map(|key| key.path);
    let sections: BTreeSet<&str> = paths()
        .flat_map(|path| path.match_indices('.').map(move |(dot, _)| &path[..dot]))
        .collect();
    if let Some(nearest) = nearest(path, paths().chain(sections.iter().copied())) {
        return format!("unknown key; did you mean `{nearest}`?");
    }
    let known: Vec<String> = if section.is_empty() {
        sections
            .iter()
            .filter(|section| !section.contains('.'))
            .map(|section| format!("`{section}`"))
            .collect()
    } else {
        paths()
            .filter(|path| keys::is_below(path, section))
            .map(|path| format!("`{path}`"))
            .collect()
    };
    format!("unknown key; known here are {}", known.join(", "))
}
