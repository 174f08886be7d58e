//! What several commands need of Kafka and MongoDB: a reader of a topic, and the failure that a MongoDB error means.

use crate::config::Config;
use crate::core::partition::TopicId;
use crate::failure::Failure;
use crate::kafka::{Topic, TopicReader};
use crate::mongo::MongoDbError;

/// A reader of the topic `name`. It can look up the offsets that the workers' group has committed, but never joins
/// the group.
pub(super) fn reader_of(config: &Config, id: TopicId, name: &str) -> Result<TopicReader, Failure> {
    let topic = Topic::new(id, name);
    Ok(TopicReader::new(config, topic, &config.kafka.group_id)?)
}

pub(super) fn failed_mongodb(error: MongoDbError) -> Failure {
    match error {
        MongoDbError::Refused(why) => Failure::mongodb_refused().because(why),
        MongoDbError::Unavailable(why) => Failure::mongodb_unreachable().because(why),
    }
}
