//! The lag while consumption is paused: librdkafka reports a partition's end only while it fetches.

use std::time::{Duration, Instant};

use log::debug;

use crate::commit::{CommitterHandle, CommitterMessage};
use crate::kafka::KafkaConsumer;

/// How often the brokers are asked for the ends.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long the poller waits for the answer.
const TIMEOUT: Duration = Duration::from_secs(1);

pub struct PausedLag {
    committer: CommitterHandle,
    next_look: Instant,
}

impl PausedLag {
    pub fn new(committer: CommitterHandle, now: Instant) -> Self {
        Self {
            committer,
            next_look: now,
        }
    }

    /// Now and then, asks where the partitions end.
    pub fn look_if_due(&mut self, consumer: &KafkaConsumer) {
        let began = Instant::now();
        if began < self.next_look {
            return;
        }
        match consumer.ends(TIMEOUT) {
            Ok(ends) => self.committer.send(CommitterMessage::EndOffsets(ends)),
            // The lag stays as it was. That a broker can't be reached is noticed elsewhere.
            Err(error) => debug!("can't ask where the partitions end: {error}"),
        }
        // A broker that doesn't answer must not hold up the poll loop.
        self.next_look = Instant::now() + INTERVAL.max(began.elapsed() * 9);
    }
}
