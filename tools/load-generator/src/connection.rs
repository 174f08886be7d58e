//! How Kafka is reached, and what is asked of it.

use std::error::Error;
use std::time::Duration;

use clap::Args;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{Client, ClientContext, DefaultClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::MetadataPartition;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The longest that one request to a broker may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The partitions of a topic that is made without a number of them.
const DEFAULT_PARTITIONS: i32 = 6;

/// Where Kafka is, and how to log in to it.
#[derive(Debug, Args)]
pub struct Connection {
    /// Kafka's bootstrap servers; by default those in `KAFKA_BOOTSTRAP_SERVERS`.
    #[arg(long, value_name = "HOST:PORT,...")]
    brokers: Option<String>,
    /// A librdkafka property, for TLS, SASL and the like; may be repeated.
    #[arg(long = "property", value_name = "KEY=VALUE", value_parser = property)]
    properties: Vec<(String, String)>,
}

fn property(text: &str) -> std::result::Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("`{text}` is not KEY=VALUE"))
}

impl Connection {
    /// A client configuration with these defaults; the properties of the command line override them.
    pub fn client_config(&self, defaults: &[(&str, &str)]) -> Result<ClientConfig> {
        let brokers = self
            .brokers
            .clone()
            .or_else(|| std::env::var("KAFKA_BOOTSTRAP_SERVERS").ok())
            .ok_or("where is Kafka? give --brokers or set KAFKA_BOOTSTRAP_SERVERS")?;
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers);
        for (key, value) in defaults {
            config.set(*key, *value);
        }
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        Ok(config)
    }

    /// The partitions of a topic, which is created if it doesn't exist. An existing topic must have as many
    /// partitions as are `wanted`.
    pub fn prepare_topic(&self, topic: &str, wanted: Option<i32>) -> Result<Vec<i32>> {
        let admin: AdminClient<DefaultClientContext> = self.client_config(&[])?.create()?;
        let existing = partitions_of(admin.inner(), topic)?;
        if !existing.is_empty() {
            let count = i32::try_from(existing.len())?;
            return match wanted {
                Some(wanted) if wanted != count => {
                    Err(format!("`{topic}` has {count} partitions, not {wanted}").into())
                }
                Some(_) | None => Ok(existing),
            };
        }
        let partitions = wanted.unwrap_or(DEFAULT_PARTITIONS);
        // -1 leaves the number of copies to the broker.
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
        let options = AdminOptions::new().operation_timeout(Some(REQUEST_TIMEOUT));
        for result in pollster::block_on(admin.create_topics(&[new], &options))? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(format!("could not create `{name}`: {code}").into());
                }
            }
        }
        Ok((0..partitions).collect())
    }
}

/// The partitions of a topic, in order; none if there is no such topic. The request is for all topics: a
/// request for this one alone could make the broker create it.
fn partitions_of<C: ClientContext>(client: &Client<C>, topic: &str) -> Result<Vec<i32>> {
    let metadata = client
        .fetch_metadata(None, REQUEST_TIMEOUT)
        .map_err(|error| format!("could not ask Kafka for its topics: {error}"))?;
    let mut partitions: Vec<i32> = metadata
        .topics()
        .iter()
        .filter(|known| known.name() == topic)
        .flat_map(|known| known.partitions().iter().map(MetadataPartition::id))
        .collect();
    partitions.sort_unstable();
    Ok(partitions)
}
