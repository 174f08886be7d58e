//! A write concern that the replica set can't satisfy.

use super::failover::primary;
use super::{OUTAGE, is_available, settled, worker_with_short_timeouts};
use crate::harness::{MINUTE, Only, OwnServers, Producer, Signal, World};

#[test]
fn a_write_concern_that_cannot_be_satisfied_is_an_outage_until_it_can() {
    const COUNT: u64 = 50;
    let members = OwnServers::start("faults-write-concern", Only::ReplicaSet);
    let world = World::on(members.servers(), 1);
    let producer = Producer::new(&world);
    let uri = world.servers.mongodb_with(&format!(
        "appName={}&serverSelectionTimeoutMS=2000&wtimeoutMS=500",
        world.app_name
    ));
    let mut worker = worker_with_short_timeouts(&world)
        .set("mongodb.uri", uri)
        .set("mongodb.write_concern.w", 3)
        .set("mongodb.on_unavailable", "pause")
        .start();
    worker.wait_ready();
    let primary = primary(&world.servers);
    let secondary = (1..=3).map(|number| format!("mongodb-{number}"));
    let secondary = secondary.into_iter().find(|name| *name != primary).unwrap();
    members.signal(&secondary, Signal::Stop);

    producer.fill(0..COUNT, 1);
    worker.wait_until("MongoDB counts as unavailable", OUTAGE, |metrics| {
        !is_available(metrics)
    });
    assert_eq!(worker.get("/ready").0, 503);
    assert_eq!(settled(&worker.metrics()), 0);
    assert_eq!(world.committed()[&0], Some(0));

    members.signal(&secondary, Signal::Cont);
    world.wait_committed_to_end(MINUTE);
    worker.wait_until("MongoDB counts as available", OUTAGE, is_available);
    worker.stop();
    assert_eq!(super::assert_one_outage(&worker), 0);
    assert_eq!(world.check().stored, 50);
}
