//! Whoever read the log is gone.

use std::process::Child;

use crate::harness::{MINUTE, Message, Producer, SHORT, Signal, World, signal, until};

/// Killed on drop.
struct Unheard(Child);

impl Drop for Unheard {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn closed_log_output_does_not_stop_the_worker() {
    let world = World::new(2);
    let mut child = Unheard(world.worker().command().spawn().unwrap());
    // A write to either is an error from now on.
    drop(child.0.stdout.take());
    drop(child.0.stderr.take());
    let producer = Producer::new(&world);
    for round in 0..3 {
        producer.fill(round * 100..round * 100 + 100, 2);
        // Something to complain of.
        producer.send_now(Message::refused("{", "invalid_json"));
        world.wait_committed_to_end(MINUTE);
    }
    signal(child.0.id(), Signal::Term);
    let status = until("it ends", SHORT, || child.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "{status}");
    let report = world.check();
    assert_eq!((report.stored, report.dead_lettered), (300, 3));
}
