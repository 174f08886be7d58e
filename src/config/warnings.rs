//! Settings that are allowed but weaken a guarantee.

use super::indexes::EXPIRE_AFTER;
use super::model::Config;
use super::properties::trusts_any_broker;

impl Config {
    /// Warnings about settings that are allowed but weaken a guarantee: to be logged at the start.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.mongodb.write_concern.journal {
            warnings.push(
                "`mongodb.write_concern.journal` is `false`: a crash of the MongoDB server can lose \
                 messages whose offsets are committed already"
                    .to_owned(),
            );
        }
        for index in &self.mongodb.indexes {
            if index.options.contains_key(EXPIRE_AFTER) {
                warnings.push(format!(
                    "the index `{}` of `mongodb.indexes` has `{EXPIRE_AFTER}`: MongoDB deletes only by values of BSON's date \
                     type, which JSON doesn't have, so it deletes nothing that the worker stores; whatever is \
                     deleted otherwise, an audit reports as missing",
                    index.name()
                ));
            }
        }
        for (path, properties) in [
            ("consumer", &self.kafka.consumer_properties),
            ("producer", &self.kafka.producer_properties),
        ] {
            if trusts_any_broker(properties) {
                warnings.push(format!(
                    "the {path}'s properties switch off the check of the broker's certificate: \
                     anyone between the worker and the broker can read and change what is sent"
                ));
            }
        }
        warnings
    }
}
