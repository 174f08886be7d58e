//! Which librdkafka properties may be shown; the rest may hold secrets.

use std::collections::BTreeMap;

/// What stands for a value that isn't shown.
const MASK: &str = "***";

/// The properties with every value masked that isn't known to be harmless.
pub(super) fn masked(properties: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    properties
        .iter()
        .map(|(name, value)| {
            let shown = if is_harmless(name) { value } else { MASK };
            (name.as_str(), shown)
        })
        .collect()
}

/// Names with one of these in them are never shown, whatever they end with.
const SECRET_WORDS: [&str; 12] = [
    "assertion",
    "credential",
    "jaas",
    "key",
    "kinit",
    "oauth",
    "pass",
    "pem",
    "pwd",
    "secret",
    "token",
    "url",
];

/// Names that end like this have a size, a time, a path or the like.
const HARMLESS_ENDINGS: [&str; 9] = [
    ".bytes",
    ".cnt",
    ".count",
    ".kbytes",
    ".location",
    ".max.retries",
    ".messages",
    ".ms",
    ".strategy",
];

const HARMLESS_NAMES: [&str; 29] = [
    "acks",
    "allow.auto.create.topics",
    "batch.size",
    "broker.address.family",
    "check.crcs",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "compression.codec",
    "compression.level",
    "compression.type",
    "debug",
    "delivery.report.only.error",
    "enable.idempotence",
    "enable.metrics.push",
    "enable.partition.eof",
    "enable.ssl.certificate.verification",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "isolation.level",
    "request.required.acks",
    "retries",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "security.protocol",
    "socket.keepalive.enable",
    "ssl.endpoint.identification.algorithm",
];

/// Whether the value of a librdkafka property may be shown. Only properties known to be harmless are. So a mistyped name
/// such as `sasl.pasword` is masked too.
pub fn is_harmless(name: &str) -> bool {
    let name = name.to_lowercase();
    !SECRET_WORDS.iter().any(|word| name.contains(word))
        && (HARMLESS_NAMES.contains(&name.as_str())
            || HARMLESS_ENDINGS.iter().any(|end| name.ends_with(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_be_harmless_is_shown() {
        for name in [
            "client.id",
            "session.timeout.ms",
            "ssl.ca.location",
            "sasl.username",
        ] {
            assert!(is_harmless(name), "{name}");
        }
        for name in [
            "sasl.password",
            "sasl.pasword",
            "ssl.key.password",
            "ssl.key.pem",
            "ssl.ca.pem",
            "sasl.oauthbearer.config",
            "sasl.oauthbearer.client.secret",
            "sasl.jaas.config",
            "sasl.kerberos.kinit.cmd",
            "ssl.key.location",
            "token.timeout.ms",
            "SASL.PASSWORD",
            "x",
        ] {
            assert!(!is_harmless(name), "{name}");
        }
    }
}
