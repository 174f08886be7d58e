//! The events of the poller.

use crate::kafka::{ConsumedMessage, PollError, Polled, Recreation};

/// What the poller has done, or has received after a wait.
pub(super) enum Event<'a> {
    Message(ConsumedMessage<'a>),
    NothingReady,
    PollFailed(PollError),
    /// The topic was deleted and recreated.
    TopicRecreated(Recreation),
    /// What was read of the topic before it was recreated is settled.
    OldTopicSettled,
    /// An operator has ordered a pause, or its end.
    PauseOrdered,
    /// A batch went to the writers.
    Dispatched,
    /// A full batch still waits for room, and it isn't time to poll.
    WaitedForRoom,
}

impl<'a> Event<'a> {
    pub(super) fn of(polled: Polled<'a>) -> Self {
        match polled {
            Polled::Message(message) => Self::Message(message),
            Polled::Nothing => Self::NothingReady,
            Polled::Error(error) => Self::PollFailed(error),
        }
    }
}
