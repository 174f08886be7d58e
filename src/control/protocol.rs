//! What is asked over the control socket, and what is answered.

use serde::{Deserialize, Serialize};

use crate::observe::status::{Pause, Status};

/// The longest request.
pub(super) const MAX_REQUEST: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    Status,
    /// Take no more messages off Kafka. The partitions stay with this worker.
    Pause {
        by: String,
        reason: Option<String>,
    },
    Resume {
        by: String,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    Status(Box<Status>),
    /// The order is given; `before` is the pause that was ordered before it.
    Ordered {
        before: Option<Pause>,
    },
    /// Why the request can't be answered.
    Refused(String),
}
