//! Whether the brokers accept the logins that a configuration names.

use super::reader::TopicReader;
use super::reader_error::ReadError;
use super::topic::Topic;
use crate::config::Config;
use crate::core::partition::TopicId;

/// Logs in as the consumer, and as the dead letter producer where that has properties of its own. Takes up to 20 s for each.
/// Fails when a client can't use its properties, and when the brokers refuse or don't answer.
pub fn check_login(config: &Config) -> Result<(), ReadError> {
    ask(config)?;
    let kafka = &config.kafka;
    if kafka.producer_properties == kafka.consumer_properties {
        return Ok(());
    }
    let mut producer = config.clone();
    producer.kafka.consumer_properties = kafka.producer_properties.clone();
    ask(&producer)
}

/// Any question needs a login.
fn ask(config: &Config) -> Result<(), ReadError> {
    let topic = Topic::new(TopicId::CONSUMED, &config.kafka.topic);
    let reader = TopicReader::new(config, topic, &config.kafka.group_id)?;
    reader.partition_states().map(drop)
}
