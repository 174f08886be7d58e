//! How the values of some types stand in the file.

/// A duration, in milliseconds.
pub(super) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        u64::try_from(value.as_millis())
            .unwrap_or(u64::MAX)
            .serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// A log level, in any case, and `warning` as Python calls it.
pub(super) mod level {
    use log::LevelFilter;
    use schemars::{Schema, SchemaGenerator, json_schema};
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::{Serialize, Serializer};

    /// In lower and in upper case, since editors tell these apart; the program takes any.
    pub fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "enum": [
                "error", "warn", "warning", "info", "debug", "trace", "off",
                "ERROR", "WARN", "WARNING", "INFO", "DEBUG", "TRACE", "OFF"
            ],
        })
    }

    #[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it so.
    pub fn serialize<S: Serializer>(value: &LevelFilter, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_str().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<LevelFilter, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_warning = text.eq_ignore_ascii_case("warning");
        let name = if is_warning { "warn" } else { &text };
        name.parse().map_err(D::Error::custom)
    }
}
