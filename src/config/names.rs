//! Which names Kafka and MongoDB accept. Each check returns what is expected, where it isn't met.

/// The longest database name of MongoDB is 63 bytes.
const DATABASE_BYTES: usize = 63;

/// The longest `database.collection` of MongoDB, in bytes (of an unsharded collection).
pub(super) const NAMESPACE_BYTES: usize = 255;

pub(super) const TOPIC: &str =
    "a topic name: 1 to 249 of the characters a-z, A-Z, 0-9, `.`, `_` and `-`, not `.` or `..`";

pub(super) const SERVERS: &str = "`host:port`, or several of them separated by commas";

pub(super) const GROUP: &str = "a name that is not empty, without white space at its ends";

pub(super) const DATABASE: &str =
    "a database name: 1 to 63 bytes, without white space, `/`, `\\`, `\"`, `$` and `.`";

pub(super) const COLLECTION: &str =
    "a collection name: not empty, without `$`, not beginning with `.` or `system.`";

/// Kafka's rule for topic names. It also keeps out `^…`, which librdkafka takes for a pattern.
pub(super) fn is_topic(name: &str) -> bool {
    name.len() <= 249 && name != "." && name != ".." && is_word(name)
}

/// What a librdkafka property can be called; no known one has another character.
pub(super) fn is_property(name: &str) -> bool {
    is_word(name)
}

/// ASCII letters, digits, `.`, `_` and `-`, at least one of them.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// librdkafka cuts white space off the front, and so would join another group than the one named.
pub(super) fn is_group(name: &str) -> bool {
    !name.is_empty() && name.trim() == name && !name.contains(char::is_control)
}

pub(super) fn is_database(name: &str) -> bool {
    (1..=DATABASE_BYTES).contains(&name.len())
        && !name.contains(|c: char| {
            c.is_whitespace() || c.is_control() || matches!(c, '/' | '\\' | '"' | '$' | '.')
        })
}

/// The server's own databases: `local` isn't even replicated.
pub(super) fn is_internal_database(name: &str) -> bool {
    matches!(name, "admin" | "config" | "local")
}

pub(super) fn is_collection(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && !name.starts_with("system.")
        && !name.contains(['$', '\0'])
}

/// The servers without the white space around them, or `None` where one of them is no `host[:port]`.
pub(super) fn servers(list: &str) -> Option<String> {
    let servers: Vec<&str> = list.split(',').map(str::trim).collect();
    servers
        .iter()
        .all(|server| is_server(server))
        .then(|| servers.join(","))
}

fn is_server(server: &str) -> bool {
    let (host, port) = match server.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, rest)) => match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None => return false,
            },
            None => return false,
        },
        None => match server.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (server, None),
        },
    };
    let host_is_good = if server.starts_with('[') {
        host.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        is_word(host)
    };
    let port_is_good = match port {
        Some(port) => {
            port.bytes().all(|byte| byte.is_ascii_digit())
                && port.parse::<u16>().is_ok_and(|port| port > 0)
        }
        None => true,
    };
    host_is_good && port_is_good
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_follow_the_rule_of_kafka() {
        let longest = "x".repeat(249);
        for good in ["data-topic", "a", "a.b_C-9", "...", &longest] {
            assert!(is_topic(good), "{good}");
        }
        let too_long = "x".repeat(250);
        for bad in ["", ".", "..", "^data", "a b", "ä", "a/b", "a\0", &too_long] {
            assert!(!is_topic(bad), "{bad}");
        }
    }

    #[test]
    fn servers_are_hosts_with_or_without_a_port() {
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
            assert_eq!(servers(given).as_deref(), Some(expected));
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
            assert_eq!(servers(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_of_mongodb_follow_its_rules() {
        let longest = "x".repeat(63);
        for good in ["pubsub_data", "Daten-ä", &longest] {
            assert!(is_database(good), "{good}");
        }
        let too_long = "x".repeat(64);
        for bad in [
            "", "a b", "a/b", "a\\b", "a\"b", "a$b", "a.b", "a\0b", &too_long,
        ] {
            assert!(!is_database(bad), "{bad}");
        }
        for good in ["messages", "a.b", "system", "my system.x"] {
            assert!(is_collection(good), "{good}");
        }
        for bad in ["", ".a", "system.x", "a$b", "a\0"] {
            assert!(!is_collection(bad), "{bad}");
        }
    }

    #[test]
    fn groups_are_names_that_librdkafka_leaves_as_they_are() {
        assert!(is_group("data-consumer-group"));
        assert!(is_group("group of ours"));
        for bad in ["", " ", " a", "a\n", "a\0b"] {
            assert!(!is_group(bad), "{bad:?}");
        }
    }
}
