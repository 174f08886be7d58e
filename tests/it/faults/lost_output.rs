//! The reader of the log has gone away.

use std::process::Child;

use crate::harness::{MINUTE, Message, Producer, SHORT, Signal, World, signal, until};

/// A process; the drop kills it.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn closed_log_output_does_not_stop_the_worker() {
    let world = World::new(2);
    let mut child = KilledOnDrop(world.worker().command().spawn().unwrap());
    // From now on, a write to either is an error.
    drop(child.0.stdout.take());
    drop(child.0.stderr.take());
    let producer = Producer::new(&world);
    for round in 0..3 {
        producer.fill(round * 100..round * 100 + 100, 2);
        // The worker logs this rejection.
        producer.send_now(Message::refused("{", "invalid_json"));
        world.wait_committed_to_end(MINUTE);
    }
    signal(child.0.id(), Signal::Term);
    let status = until("it ends", SHORT, || child.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "{status}");
    let report = world.check();
    assert_eq!((report.stored, report.dead_lettered), (300, 3));
}
