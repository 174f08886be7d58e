//! The configuration as it takes effect, for people: as JSON without secrets, and what to be warned of.

use std::time::Duration;

use serde_json::{Value, json};

use super::masking::masked;
use super::model::{Config, W};
use super::properties::trusts_any_broker;

impl Config {
    /// The effective configuration in the form of the file, defaults filled in and secrets masked.
    /// `kafka.properties` is empty in it: what it says is in the two objects that it goes into.
    #[must_use]
    pub fn redacted_json(&self) -> Value {
        let Self {
            kafka,
            mongodb,
            consumer,
            logging,
            metrics,
        } = self;
        json!({
            "kafka": {
                "bootstrap_servers": kafka.bootstrap_servers,
                "topic": kafka.topic,
                "group_id": kafka.group_id,
                "dead_letter_topic": kafka.dead_letter_topic,
                "auto_offset_reset": kafka.auto_offset_reset.as_str(),
                "enable_auto_commit": false,
                "poll_timeout_ms": millis(kafka.poll_timeout),
                "properties": {},
                "consumer_properties": masked(&kafka.consumer_properties),
                "producer_properties": masked(&kafka.producer_properties),
                "dead_letter_oversize": kafka.dead_letter_oversize.as_str(),
            },
            "mongodb": {
                "uri": mongodb.uri.to_string(),
                "database": mongodb.database,
                "collection": mongodb.collection,
                "on_unavailable": mongodb.on_unavailable.as_str(),
                "reconnect_interval_ms": millis(mongodb.reconnect_interval),
                "write_concern": {
                    "w": match &mongodb.write_concern.w {
                        W::Nodes(nodes) => json!(nodes),
                        w @ (W::Majority | W::Tag(_)) => json!(w.to_string()),
                    },
                    "journal": mongodb.write_concern.journal,
                },
            },
            "consumer": {
                "batch_size": consumer.batch_size,
                "batch_bytes": consumer.batch_bytes,
                "offset_commit_frequency": consumer.offset_commit_frequency,
                "offset_commit_interval_ms": millis(consumer.offset_commit_interval),
                "max_retries": consumer.max_retries,
                "retry_backoff_ms": millis(consumer.retry_backoff),
                "writer_threads": consumer.writer_threads,
                "max_in_flight_bytes": consumer.max_in_flight_bytes,
                "max_in_flight_messages": consumer.max_in_flight_messages,
                "max_consecutive_rejections": consumer.max_consecutive_rejections,
                "shutdown_timeout_ms": millis(consumer.shutdown_timeout),
            },
            "logging": {
                "level": logging.level.as_str(),
                "format": logging.format.as_str(),
            },
            "metrics": {
                "enabled": metrics.enabled,
                "host": metrics.host.to_string(),
                "port": metrics.port,
            },
        })
    }

    /// What is allowed and yet weakens a promise: to be logged at the start.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.mongodb.write_concern.journal {
            warnings.push(
                "`mongodb.write_concern.journal` is `false`: a crash of the MongoDB server can lose \
                 messages whose offsets are committed already"
                    .to_owned(),
            );
        }
        for (path, properties) in [
            ("consumer", &self.kafka.consumer_properties),
            ("producer", &self.kafka.producer_properties),
        ] {
            if trusts_any_broker(properties) {
                warnings.push(format!(
                    "the {path}'s properties switch off the check of the broker's certificate: \
                     anyone on the way can read and change what is sent"
                ));
            }
        }
        warnings
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
