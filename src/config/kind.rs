//! Which values a key takes, and the one place where a value is turned into what it means.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use super::errors::{ConfigErrors, quoted};
use super::json::Node;
use super::model::W;
use super::names;
use super::secret_uri::SecretUri;

/// Which values a key takes. `Display` says it for errors and the documentation.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A text with a rule.
    Name {
        is_legal: fn(&str) -> bool,
        expected: &'static str,
    },
    /// Addresses of Kafka brokers.
    Servers,
    /// A database of MongoDB, but none of the server's own.
    Database,
    /// A MongoDB connection string; a secret.
    MongoUri,
    /// One of these, whatever its case.
    Choice(&'static [&'static str]),
    IpAddress,
    Integer {
        min: u32,
        max: u32,
    },
    Boolean,
    /// `enable_auto_commit`: the specification has it, and it must be off.
    AlwaysFalse,
    /// `w` of a write concern.
    Acknowledgement,
    /// librdkafka properties; their values may be secrets.
    Properties,
}

/// A value that its key takes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Uri(SecretUri),
    /// One of the names, as the key's kind spells it.
    Choice(&'static str),
    IpAddress(IpAddr),
    Integer(u32),
    Boolean(bool),
    Acknowledgement(W),
    Properties(BTreeMap<String, String>),
}

/// Why `enable_auto_commit` must be false.
const NO_AUTO_COMMIT: &str = "found `true`, expected `false`: Kafka's client would commit offsets by \
     time, whether or not their messages are stored, and a crash would lose those; remove the key";

impl Kind {
    /// Whether the value is a text or an object, which a file can hold.
    pub(super) fn is_textual(self) -> bool {
        match self {
            Self::Name { .. }
            | Self::Servers
            | Self::Database
            | Self::MongoUri
            | Self::Choice(_)
            | Self::IpAddress
            | Self::Properties => true,
            Self::Integer { .. } | Self::Boolean | Self::AlwaysFalse | Self::Acknowledgement => {
                false
            }
        }
    }

    /// What the text of an environment variable or a file says, as JSON would say it.
    pub(super) fn node_of(self, text: &str) -> Result<Node, String> {
        if text.is_empty() {
            return Err(format!(
                "empty, expected {self}; give it a value, or unset it"
            ));
        }
        let expected = |node: Option<Node>| {
            node.ok_or_else(|| format!("found {}, expected {self}", quoted(text)))
        };
        match self {
            Self::Integer { .. } => expected(integer(text)),
            Self::Boolean | Self::AlwaysFalse => expected(text.parse().ok().map(Node::Boolean)),
            Self::Acknowledgement => Ok(integer(text).unwrap_or_else(|| Node::Text(text.into()))),
            Self::Properties => Node::parse(text).map_err(|error| {
                format!(
                    "no JSON, expected {self}: {} at line {}, column {}",
                    error.message, error.line, error.column
                )
            }),
            Self::Name { .. }
            | Self::Servers
            | Self::Database
            | Self::MongoUri
            | Self::Choice(_)
            | Self::IpAddress => Ok(Node::Text(text.into())),
        }
    }

    /// What the value means, or a fault at `place`.
    pub(super) fn read(self, node: Node, place: &str, errors: &mut ConfigErrors) -> Option<Value> {
        if let (Self::Properties, Node::Object(entries)) = (self, &node) {
            return properties(entries, place, errors).map(Value::Properties);
        }
        self.read_single(node)
            .map_err(|fault| errors.add(place, fault))
            .ok()
    }

    fn read_single(self, node: Node) -> Result<Value, String> {
        let unexpected = |found: String| format!("found {found}, expected {self}");
        match (self, node) {
            (Self::Name { is_legal, .. }, Node::Text(text)) => {
                let is_legal = is_legal(&text);
                let fault = unexpected(quoted(&text));
                is_legal.then_some(Value::Text(text)).ok_or(fault)
            }
            (Self::Servers, Node::Text(text)) => names::servers(&text)
                .map(Value::Text)
                .ok_or_else(|| unexpected(quoted(&text))),
            (Self::Database, Node::Text(text)) if names::is_internal_database(&text) => {
                Err(format!(
                    "found {}, a database of the server's own; use another",
                    quoted(&text)
                ))
            }
            (Self::Database, Node::Text(text)) => {
                let is_legal = names::is_database(&text);
                let fault = unexpected(quoted(&text));
                is_legal.then_some(Value::Text(text)).ok_or(fault)
            }
            (Self::MongoUri, Node::Text(text)) => mongo_uri(text),
            (Self::MongoUri, node) => Err(unexpected(node.type_name().into())),
            (Self::Choice(names), Node::Text(text)) => names
                .iter()
                .find(|name| name.eq_ignore_ascii_case(&text))
                .map(|name| Value::Choice(name))
                .ok_or_else(|| unexpected(quoted(&text))),
            (Self::IpAddress, Node::Text(text)) => text
                .parse()
                .map(Value::IpAddress)
                .map_err(|_| unexpected(quoted(&text))),
            (Self::Integer { min, max }, Node::Integer(value)) => u32::try_from(value)
                .ok()
                .filter(|value| (min..=max).contains(value))
                .map(Value::Integer)
                .ok_or_else(|| unexpected(format!("`{value}`"))),
            (Self::AlwaysFalse, Node::Boolean(true)) => Err(NO_AUTO_COMMIT.into()),
            (Self::Boolean | Self::AlwaysFalse, Node::Boolean(value)) => Ok(Value::Boolean(value)),
            (Self::Acknowledgement, Node::Integer(0)) => Err(unacknowledged()),
            (Self::Acknowledgement, Node::Integer(value)) => acknowledgement(value)
                .map(Value::Acknowledgement)
                .ok_or_else(|| unexpected(format!("`{value}`"))),
            (Self::Acknowledgement, Node::Text(text)) => tag(&text)
                .map(Value::Acknowledgement)
                .ok_or_else(|| unexpected(quoted(&text))),
            (_, node) => Err(unexpected(node.found())),
        }
    }
}

/// `w` as an option of a URI says it.
pub(super) fn acknowledgement_of_uri(text: &str) -> Result<W, String> {
    match integer(text) {
        Some(Node::Integer(0)) => return Err(unacknowledged()),
        Some(Node::Integer(value)) => acknowledgement(value),
        _ => tag(text),
    }
    .ok_or_else(|| format!("found {}, expected {}", quoted(text), Kind::Acknowledgement))
}

fn acknowledgement(nodes: i128) -> Option<W> {
    u32::try_from(nodes)
        .ok()
        .filter(|nodes| (1..=MOST_NODES).contains(nodes))
        .map(W::Nodes)
}

/// A replica set has no more members than this.
const MOST_NODES: u32 = 50;

fn unacknowledged() -> String {
    "found `0`, with which the server acknowledges nothing and messages can be lost; expected at \
     least `1`"
        .into()
}

/// A number in quotes would be taken for a tag, and `Majority` for another one than `majority`.
fn tag(text: &str) -> Option<W> {
    match text {
        "majority" => Some(W::Majority),
        _ if text.is_empty() || text.contains(char::is_control) => None,
        _ if text.eq_ignore_ascii_case("majority") || integer(text).is_some() => None,
        _ => Some(W::Tag(text.into())),
    }
}

fn integer(text: &str) -> Option<Node> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok().map(Node::Integer))
        .flatten()
}

/// The driver takes the URI apart; here only what would be misread is kept out. Never quoted.
fn mongo_uri(text: String) -> Result<Value, String> {
    let expected = Kind::MongoUri;
    if !text.starts_with("mongodb://") && !text.starts_with("mongodb+srv://") {
        return Err(format!("found another beginning, expected {expected}"));
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!(
            "found white space or a control character in it, expected {expected}"
        ));
    }
    // Most likely the `?` is one of the password's, and what follows it no option but the rest of it.
    if text
        .split_once('?')
        .is_some_and(|(_, options)| options.contains('@'))
    {
        return Err(
            "found an `@` behind a `?`; write `%3F` for a `?` in the credentials, and `%40` for an \
             `@` in an option"
                .into(),
        );
    }
    Ok(Value::Uri(SecretUri::new(text)))
}

/// All properties as texts, or `None` if one of them is faulty.
fn properties(
    entries: &[(String, Node)],
    place: &str,
    errors: &mut ConfigErrors,
) -> Option<BTreeMap<String, String>> {
    let mut properties = BTreeMap::new();
    let mut is_good = true;
    for (name, node) in entries {
        let value = match node {
            Node::Text(text) if !text.contains('\0') => Ok(text.clone()),
            Node::Text(_) => Err("found a NUL in the text, which librdkafka can't take".into()),
            Node::Boolean(value) => Ok(value.to_string()),
            Node::Integer(value) => Ok(value.to_string()),
            Node::Fraction(_) => Err(
                "found a number that isn't a whole one; put it in quotes, as it is meant".into(),
            ),
            Node::Null | Node::Array | Node::Object(_) => Err(format!(
                "found {}, expected a text, a whole number or a boolean",
                node.type_name()
            )),
        };
        let value = if !names::is_property(name) {
            Err("unknown property; a name has letters, digits, `.`, `_` and `-`".into())
        } else if properties.contains_key(name) {
            Err("given more than once; keep one".to_owned())
        } else {
            value
        };
        match value {
            Ok(value) => {
                properties.insert(name.clone(), value);
            }
            Err(fault) => {
                is_good = false;
                errors.add(format!("{place} {}", quoted(name)), fault);
            }
        }
    }
    is_good.then_some(properties)
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { expected, .. } => f.write_str(expected),
            Self::Servers => f.write_str(names::SERVERS),
            Self::Database => f.write_str(names::DATABASE),
            Self::MongoUri => {
                f.write_str("a URI that begins with `mongodb://` or `mongodb+srv://`")
            }
            Self::Choice(names) => {
                for (index, name) in names.iter().enumerate() {
                    let separator = match index {
                        0 => "",
                        _ if index + 1 == names.len() => " or ",
                        _ => ", ",
                    };
                    write!(f, "{separator}`{name}`")?;
                }
                Ok(())
            }
            Self::IpAddress => f.write_str("an IP address such as `0.0.0.0` or `::1`"),
            Self::Integer { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Boolean => f.write_str("`true` or `false`"),
            Self::AlwaysFalse => f.write_str("`false`"),
            Self::Acknowledgement => write!(
                f,
                "a whole number from 1 to {MOST_NODES}, `majority` or the name of a custom write \
                 concern"
            ),
            Self::Properties => f.write_str("an object of librdkafka properties"),
        }
    }
}
