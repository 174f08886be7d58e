//! Messages that are produced while a test does something else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::producer::Producer;
use super::world::World;

/// The time between two groups of messages.
const INTERVAL: Duration = Duration::from_millis(20);
const INTERVALS_PER_SECOND: u64 = 50;

/// A producer with a steady rate. Dropping it stops it.
pub struct Background {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Produces `per_second` valid messages a second, numbered from `first`, evenly over the partitions.
    pub fn start(world: &World, first: u64, per_second: u64, partitions: i32) -> Self {
        let producer = Producer::new(world);
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = thread::Builder::new()
            .name("background".to_owned())
            .spawn(move || {
                let mut number = first;
                while !stopped.load(Ordering::Relaxed) {
                    for _ in 0..per_second.div_ceil(INTERVALS_PER_SECOND) {
                        producer.send(producer.numbered(number, partitions, 0));
                        number += 1;
                    }
                    counter.store(number - first, Ordering::Relaxed);
                    thread::park_timeout(INTERVAL);
                }
                producer.flush();
            })
            .unwrap();
        Self {
            stop,
            sent,
            thread: Some(thread),
        }
    }

    /// How many messages were sent so far.
    pub fn sent(&self) -> i64 {
        i64::try_from(self.sent.load(Ordering::Relaxed)).unwrap()
    }

    /// Stops producing, waits for all acknowledgements, and returns the number of messages.
    pub fn stop(mut self) -> i64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.sent()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The test's own panic matters more than one of this thread.
            let _ = thread.join();
        }
    }
}
