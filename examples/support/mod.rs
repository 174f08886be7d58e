//! What the examples share: how they reach Kafka. Nothing of the worker's own Kafka code is used, so
//! that they can be its judges.

use std::error::Error;
use std::time::Duration;

use clap::Args;
use rdkafka::ClientConfig;
use rdkafka::client::{Client, ClientContext};
use rdkafka::metadata::MetadataPartition;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The longest that one question to a broker may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Where Kafka is and how to get in.
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
    /// A client configuration with the defaults given, which the properties of the command line beat.
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
}

/// The partitions of a topic, in order; none if there is no such topic. Asking for all topics rather
/// than for this one keeps the broker from creating it.
pub fn partitions_of<C: ClientContext>(client: &Client<C>, topic: &str) -> Result<Vec<i32>> {
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
