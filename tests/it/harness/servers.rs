//! The addresses of the servers.

use std::env;

/// The addresses of a Kafka and a MongoDB.
#[derive(Debug, Clone)]
pub struct Servers {
    pub kafka: String,
    pub mongodb: String,
}

impl Servers {
    /// The shared servers of this test run. Without them the test fails; it must not pass without them.
    pub fn of_the_run() -> Self {
        Self {
            kafka: required("KAFKA_BOOTSTRAP_SERVERS"),
            mongodb: required("MONGODB_URI"),
        }
    }

    /// The URI with an additional option.
    pub fn mongodb_with(&self, option: &str) -> String {
        with_option(&self.mongodb, option)
    }
}

fn required(variable: &str) -> String {
    env::var(variable).unwrap_or_else(|_| {
        panic!(
            "`{variable}` is not set: this test needs a Kafka and a MongoDB; run the tests with \
             scripts/test, which starts both"
        )
    })
}

fn with_option(uri: &str, option: &str) -> String {
    let has_path = uri
        .split_once("://")
        .is_some_and(|(_, rest)| rest.contains('/'));
    match (uri.contains('?'), has_path) {
        (true, _) => format!("{uri}&{option}"),
        (false, true) => format!("{uri}?{option}"),
        (false, false) => format!("{uri}/?{option}"),
    }
}
