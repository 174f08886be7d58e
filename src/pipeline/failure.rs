//! Why the process ends otherwise than as asked, and the exit code of each.

use std::process::ExitCode;

use crate::config::ConfigErrors;

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Exit code 1.
    #[error("{0}")]
    Running(String),
    /// Exit code 2.
    #[error("{0}")]
    Configuration(#[from] ConfigErrors),
    /// Exit code 2: a library refuses a setting.
    #[error("{0}")]
    Setting(String),
    /// Exit code 3.
    #[error("Kafka could not be reached: {0}")]
    KafkaUnreachable(String),
    /// Exit code 4.
    #[error("MongoDB refused us: {0}")]
    MongoDbRefused(String),
    /// Exit code 4: a command that can do nothing without it.
    #[error("MongoDB could not be reached: {0}")]
    MongoDbUnreachable(String),
}

impl Failure {
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Running(_) => 1,
            Self::Configuration(_) | Self::Setting(_) => 2,
            Self::KafkaUnreachable(_) => 3,
            Self::MongoDbRefused(_) | Self::MongoDbUnreachable(_) => 4,
        })
    }
}
