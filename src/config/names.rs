//! The parts of the schema for names, addresses and URIs: which texts Kafka and MongoDB accept.
//!
//! A rule is a pattern where possible, so that editors check it too. Any other rule is a format of our own, with a
//! function in [`FORMATS`].

use std::net::{IpAddr, Ipv6Addr};

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

/// The longest database name of MongoDB is 63 bytes.
const DATABASE_BYTES: usize = 63;

const URI: &str = "a URI that begins with `mongodb://` or `mongodb+srv://`";

/// The name of a format, and a function that checks it.
type Format = (&'static str, fn(&str) -> bool);

/// The formats that are ours.
pub(super) const FORMATS: [Format; 5] = [
    ("ip-address", |text| text.parse::<IpAddr>().is_ok()),
    ("kafka-servers", |list| servers_in(list).all(is_server)),
    ("mongodb-database", |name| name.len() <= DATABASE_BYTES),
    ("mongodb-uri", |uri| fault_of_uri(uri).is_none()),
    ("mongodb-write-concern", is_name_of_w),
];

pub(super) fn servers(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "format": "kafka-servers",
        "errorMessage": "expected `host:port`, or several of them separated by commas",
    })
}

/// Kafka's rule for topic names. It also keeps out `^…`, which librdkafka takes for a pattern.
pub(super) fn topic(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "pattern": r"^(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}$",
        "errorMessage": "expected a topic name: 1 to 249 of the characters a-z, A-Z, 0-9, `.`, `_` \
             and `-`, not `.` or `..`",
    })
}

/// librdkafka removes leading white space, so it would join a group with another name.
pub(super) fn group(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "pattern": r"^(?!\s)[^\x00-\x1f\x7f-\x9f]+(?<!\s)$",
        "errorMessage": "expected a name that is not empty, without white space at its ends",
    })
}

pub(super) fn mongodb_uri(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "format": "mongodb-uri",
        "pattern": r"^mongodb(\+srv)?://",
        "writeOnly": true,
        "errorMessage": format!("expected {URI}"),
    })
}

/// The server's own databases are refused. `local`, for example, isn't replicated.
pub(super) fn database(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "format": "mongodb-database",
        "pattern": r#"^[^\s\x00-\x1f\x7f-\x9f/\\"$.]+$"#,
        "not": {"enum": ["admin", "config", "local"]},
        "errorMessage": "expected a database name: 1 to 63 bytes, without white space, `/`, `\\`, \
             `\"`, `$` and `.`",
    })
}

pub(super) fn collection(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "pattern": r"^(?!\.|system\.)[^$\x00]+$",
        "errorMessage": "expected a collection name: not empty, without `$`, not beginning with `.` \
             or `system.`",
    })
}

pub(super) fn ip_address(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "format": "ip-address",
        "errorMessage": "expected an IP address such as `0.0.0.0` or `::1`",
    })
}

/// The system takes at most 107 bytes for the path of a socket.
pub(super) fn socket(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "pattern": r"^(/[^\x00]{1,106})?$",
        "errorMessage": "expected an absolute path of at most 107 characters, or an empty text",
    })
}

pub(super) fn is_internal_database(name: &str) -> bool {
    matches!(name, "admin" | "config" | "local")
}

/// ASCII letters, digits, `.`, `_` and `-`, at least one of them.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

pub(super) fn is_whole_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// What is wrong with a MongoDB URI. The driver parses it; this refuses only what would be misread. Never quotes the
/// URI.
pub(super) fn fault_of_uri(uri: &str) -> Option<String> {
    let (_, options) = uri.split_once('?').unwrap_or_default();
    if !uri.starts_with("mongodb://") && !uri.starts_with("mongodb+srv://") {
        Some(format!("found another beginning, expected {URI}"))
    } else if uri.contains(|c: char| c.is_whitespace() || c.is_control()) {
        Some(format!(
            "found white space or a control character in it, expected {URI}"
        ))
    } else if options.contains('@') {
        // Most likely the `?` is a part of the password.
        let fault = "found an `@` after a `?`; write `%3F` for a `?` in the credentials, and `%40` \
                     for an `@` in an option";
        Some(fault.to_owned())
    } else {
        None
    }
}

/// Kafka servers without the white space around them.
pub(super) fn trimmed_servers<'de, D: Deserializer<'de>>(list: D) -> Result<String, D::Error> {
    let list = String::deserialize(list)?;
    Ok(servers_in(&list).collect::<Vec<_>>().join(","))
}

fn servers_in(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

/// Whether `w` can be this text. The server would look for a custom write concern named `1` or `Majority`, so a number
/// in quotes and other spellings of `majority` are refused.
pub(super) fn is_name_of_w(text: &str) -> bool {
    let is_misspelt = text.eq_ignore_ascii_case("majority") && text != "majority";
    !text.is_empty() && !text.contains(char::is_control) && !is_whole_number(text) && !is_misspelt
}

/// `host` or `host:port`, where an IPv6 address stands in brackets.
pub(super) fn is_server(server: &str) -> bool {
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if !server.ends_with(']') => (host, Some(port)),
        _ => (server, None),
    };
    let is_host = match host.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => is_word(host),
    };
    let is_port = |port: &str| {
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        is_number && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    is_host && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::config::schema;
    use crate::config::tests::{MINIMAL, file_with, load};

    /// Whether the schema lets the key of this path have this text.
    fn takes(path: &str, text: &str) -> bool {
        let file = file_with(&[(path, json!(text))]);
        let file = serde_json::from_str(&file).unwrap();
        schema::validator().is_valid(&file)
    }

    #[test]
    fn topics_follow_the_rule_of_kafka() {
        let longest = "x".repeat(249);
        for good in ["data-topic", "a", "a.b_C-9", "...", &longest] {
            assert!(takes("kafka.topic", good), "{good}");
        }
        let too_long = "x".repeat(250);
        for bad in [
            "", ".", "..", "^data", "a b", "ä", "a/b", "a\0", "a\n", &too_long,
        ] {
            assert!(!takes("kafka.topic", bad), "{bad:?}");
        }
    }

    #[test]
    fn servers_are_hosts_with_or_without_a_port() {
        let servers = |list: &str| {
            let file = file_with(&[("kafka.bootstrap_servers", json!(list))]);
            load(file, &[]).map(|config| config.kafka.bootstrap_servers)
        };
        for (given, expected) in [
            ("kafka:9092", "kafka:9092"),
            ("kafka", "kafka"),
            (
                "a:1, b-2.example.org:65535 ,10.0.0.1",
                "a:1,b-2.example.org:65535,10.0.0.1",
            ),
            ("[::1]:9092", "[::1]:9092"),
            ("[fe80::1]", "[fe80::1]"),
        ] {
            assert_eq!(servers(given).as_deref(), Ok(expected));
        }
        for bad in [
            "",
            ",",
            "a:1,",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:1:2",
            ":9092",
            "a b:1",
            "SSL://a:1",
            "::1",
            "[::1",
            "[::1]9092",
            "[x]:1",
            "a\0:1",
        ] {
            assert!(!takes("kafka.bootstrap_servers", bad), "{bad:?}");
        }
    }

    #[test]
    fn names_of_mongodb_follow_its_rules() {
        let longest = "x".repeat(63);
        for good in ["pubsub_data", "Daten-ä", "adminx", &longest] {
            assert!(takes("mongodb.database", good), "{good}");
        }
        let too_long = "x".repeat(64);
        let too_many_bytes = "ä".repeat(32);
        for bad in [
            "",
            "a b",
            "a/b",
            "a\\b",
            "a\"b",
            "a$b",
            "a.b",
            "a\0b",
            "a\n",
            "a\u{a0}b",
            "admin",
            "config",
            "local",
            &too_long,
            &too_many_bytes,
        ] {
            assert!(!takes("mongodb.database", bad), "{bad:?}");
        }
        for good in ["messages", "a.b", "system", "my system.x", "Daten-ä"] {
            assert!(takes("mongodb.collection", good), "{good}");
        }
        for bad in ["", ".a", "system.x", "a$b", "a\0"] {
            assert!(!takes("mongodb.collection", bad), "{bad:?}");
        }
    }

    #[test]
    fn group_names_that_librdkafka_would_change_are_refused() {
        for good in ["data-consumer-group", "group of ours", "g", "Gruppe-ä"] {
            assert!(takes("kafka.group_id", good), "{good}");
        }
        for bad in ["", " ", " a", "a ", "a\n", "a\0b", "a\u{85}b", "\u{3000}a"] {
            assert!(!takes("kafka.group_id", bad), "{bad:?}");
        }
    }

    #[test]
    fn the_smallest_file_is_valid() {
        assert!(schema::validator().is_valid(&serde_json::from_str(MINIMAL).unwrap()));
    }
}
