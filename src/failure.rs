//! Why the process ends other than as asked, and the exit code of each kind of failure.

use std::error::Error;
use std::fmt;

use crate::config::ConfigErrors;

/// A failure that ends the process: its kind, what was attempted, and the chain of causes below it.
#[derive(Debug)]
pub struct Failure {
    kind: FailureKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The kinds that a script can tell apart by the exit code. docs/COMMANDS.md lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The process failed while it was running.
    Running,
    /// The configuration, the command line or a setting of a library can't be used.
    Configuration,
    /// No Kafka broker could be reached, or the brokers refuse the worker. A new process may succeed.
    KafkaUnreachable,
    /// Kafka or MongoDB can't be used until an operator acts: credentials, rights, a missing topic, an unfit collection,
    /// a group that is in use, or an error code to the setup that isn't known to pass by itself.
    Refused,
    /// MongoDB could not be reached by a command, which doesn't wait for it, or the worker has no address to wait for.
    MongoDbUnreachable,
    /// An audit found missing or altered messages.
    AuditFailed,
}

impl Failure {
    pub fn running(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Running, message.into())
    }

    pub fn configuration(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Configuration, message.into())
    }

    pub fn kafka_unreachable() -> Self {
        Self::new(
            FailureKind::KafkaUnreachable,
            "Kafka could not be reached".to_owned(),
        )
    }

    /// Kafka answers, and the worker lacks a right. Unlike a command, it is started again until it has the right.
    pub fn kafka_refused_worker(message: impl Into<String>) -> Self {
        Self::new(FailureKind::KafkaUnreachable, message.into())
    }

    /// Kafka answers, and an operator has to grant a right or to correct the credentials.
    pub fn kafka_refused() -> Self {
        Self::new(FailureKind::Refused, "Kafka refused us".to_owned())
    }

    pub fn mongodb_refused() -> Self {
        Self::new(FailureKind::Refused, "MongoDB refused us".to_owned())
    }

    pub fn mongodb_unreachable() -> Self {
        Self::new(
            FailureKind::MongoDbUnreachable,
            "MongoDB could not be reached".to_owned(),
        )
    }

    pub fn audit_failed(message: impl Into<String>) -> Self {
        Self::new(FailureKind::AuditFailed, message.into())
    }

    /// Kafka or MongoDB can't be used until an operator acts.
    pub fn needs_operator(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Refused, message.into())
    }

    /// One failure for several: it has the kind of the first one by exit code. `None` if there are none.
    pub fn of_all(message: impl Into<String>, failures: Vec<Self>) -> Option<Self> {
        let first = failures.into_iter().min_by_key(Self::exit_code)?;
        Some(Self::new(first.kind, message.into()).because(first))
    }

    fn new(kind: FailureKind, message: String) -> Self {
        Self {
            kind,
            message,
            source: None,
        }
    }

    /// The same failure with its cause, which is printed behind the message.
    pub fn because(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            source: Some(source.into()),
            ..self
        }
    }

    pub fn exit_code(&self) -> u8 {
        match self.kind {
            FailureKind::Running => 1,
            FailureKind::Configuration => 2,
            FailureKind::KafkaUnreachable => 3,
            FailureKind::Refused => 4,
            FailureKind::MongoDbUnreachable => 5,
            FailureKind::AuditFailed => 6,
        }
    }

    /// The message and its causes, outermost first, joined by `: `.
    pub fn chain(&self) -> impl fmt::Display {
        let mut text = self.message.clone();
        let mut source = self.source();
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        text
    }
}

/// The message alone, as is usual for an error; [`Failure::chain`] prints the causes too.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::configuration(errors.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer cause")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_are_printed_outermost_first() {
        let cause = Outer(std::io::Error::other("inner cause"));
        let failure = Failure::running("what was attempted").because(cause);
        assert_eq!(
            failure.chain().to_string(),
            "what was attempted: outer cause: inner cause"
        );
        assert_eq!(failure.to_string(), "what was attempted");
    }

    #[test]
    fn each_kind_has_an_exit_code_of_its_own() {
        let failures = [
            Failure::running(""),
            Failure::configuration(""),
            Failure::kafka_unreachable(),
            Failure::mongodb_refused(),
            Failure::mongodb_unreachable(),
            Failure::audit_failed(""),
        ];
        let codes = failures.map(|failure| failure.exit_code());
        assert_eq!(codes, [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn several_failures_have_the_first_exit_code() {
        let failures = vec![
            Failure::mongodb_unreachable(),
            Failure::kafka_unreachable().because("no answer"),
            Failure::kafka_refused(),
        ];
        let all = Failure::of_all("3 checks failed", failures).unwrap();
        assert_eq!(all.exit_code(), 3);
        let text = "3 checks failed: Kafka could not be reached: no answer";
        assert_eq!(all.chain().to_string(), text);
        assert!(Failure::of_all("none", Vec::new()).is_none());
    }
}
