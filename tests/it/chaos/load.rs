//! A steady stream of messages, some of them faulty, some sent twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::harness::{Json, Message, Producer, World};

/// How often the messages that are due are sent.
const INTERVAL: Duration = Duration::from_millis(25);
/// The time between two messages: 200 a second.
const MILLIS_PER_MESSAGE: u128 = 5;

/// The producer of this stream. Dropping it stops the stream.
pub struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    pub fn start(world: &World, partitions: i32) -> Self {
        let producer = Producer::new(world);
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = thread::Builder::new()
            .name("load".to_owned())
            .spawn(move || {
                let started = Instant::now();
                let mut number = 0;
                while !stopped.load(Ordering::Relaxed) {
                    let elapsed = started.elapsed().as_millis();
                    while u128::from(number) * MILLIS_PER_MESSAGE < elapsed {
                        send(&producer, number, partitions);
                        number += 1;
                    }
                    counter.store(number, Ordering::Relaxed);
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

    /// Stops producing, and waits until Kafka has acknowledged everything.
    pub fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.sent.load(Ordering::Relaxed)
    }
}

fn send(producer: &Producer, number: u64, partitions: i32) {
    producer.send(producer.numbered(number, partitions, 0));
    let partition = i32::try_from(number % u64::try_from(partitions).unwrap()).unwrap();
    match number % 100 {
        17 => producer.send(
            Message::refused(format!("no JSON {number}"), "invalid_json").partition(partition),
        ),
        53 => producer.send(
            Message::refused(
                Json::message(&format!("bad-{number}")).without("name"),
                "missing_field",
            )
            .key(format!("key {number}"))
            .partition(partition),
        ),
        // A message that was sent before.
        71 if number > 1000 => producer.send(producer.numbered(number - 1000, partitions, 0)),
        _ => {}
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The run's own panic matters more than one of this thread.
            let _ = thread.join();
        }
    }
}
