//! A broker that is killed or frozen.

use super::{OUTAGE, assert_committed_is_settled, wait_for_more_stored};
use crate::harness::{
    Background, MINUTE, Only, OwnServers, Producer, SHORT, Signal, WorkerSetup, World, metric,
};

const PARTITIONS: i32 = 2;

/// A broker that the test may kill.
struct Broker {
    servers: OwnServers,
}

impl Broker {
    fn start(instance: &str) -> Self {
        Self {
            servers: OwnServers::start(instance, Only::Kafka),
        }
    }

    fn world(&self) -> World {
        World::on(self.servers.servers(), PARTITIONS)
    }

    fn signal(&self, signal: Signal) {
        self.servers.signal("kafka", signal);
    }
}

/// A worker whose group notices soon that it has ended without leaving.
fn worker_of(world: &World) -> WorkerSetup {
    world
        .worker()
        .consumer_property("session.timeout.ms", "6000")
}

#[test]
fn worker_continues_after_a_broker_outage() {
    let broker = Broker::start("faults-broker-back");
    let world = broker.world();
    // On a busy machine it takes a while until the broker is back.
    let mut worker = worker_of(&world).set("consumer.max_retries", 20).start();
    let load = Background::start(&world, 0, 200, PARTITIONS);
    wait_for_more_stored(&mut worker, 400);
    broker.signal(Signal::Kill);
    worker.wait_for_log("Kafka could not be reached, trying again", OUTAGE);
    worker.wait_until("it shows that Kafka is unreachable", SHORT, |metrics| {
        metrics.get(metric::ACTIVE_CONNECTIONS, &[("target", "kafka")]) == Some(0)
    });
    assert_eq!(worker.get("/health").0, 200);
    broker.servers.restart();
    wait_for_more_stored(&mut worker, 1000);
    worker.wait_until("it shows that Kafka is reachable", SHORT, |metrics| {
        metrics.get(metric::ACTIVE_CONNECTIONS, &[("target", "kafka")]) == Some(1)
    });
    worker.wait_ready();
    load.stop();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().dead_lettered, 0);
}

#[test]
fn lasting_broker_outage_exits_with_3() {
    let broker = Broker::start("faults-broker-lost");
    let world = broker.world();
    let setup = worker_of(&world)
        .set("consumer.max_retries", 2)
        .set("consumer.retry_backoff_ms", 100);
    let mut worker = setup.start();
    let load = Background::start(&world, 0, 200, PARTITIONS);
    wait_for_more_stored(&mut worker, 400);
    broker.signal(Signal::Kill);
    assert_eq!(worker.wait_exit(OUTAGE).code(), Some(3));
    worker.logged("stopped: Kafka could not be reached");

    broker.servers.restart();
    load.stop();
    assert_committed_is_settled(&world);
    let mut worker = setup.start();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().dead_lettered, 0);
}

#[test]
fn stop_ends_in_time_while_the_broker_is_frozen() {
    let broker = Broker::start("faults-broker-frozen");
    let world = broker.world();
    let setup = worker_of(&world)
        // Short, so that Kafka doesn't take the frozen broker for a dead one.
        .set("consumer.shutdown_timeout_ms", 3000)
        // So the stop has something to commit.
        .set("consumer.offset_commit_frequency", 1_000_000)
        .set("consumer.offset_commit_interval_ms", 3_600_000);
    let mut worker = setup.start();
    Producer::new(&world).fill(0..1000, PARTITIONS);
    wait_for_more_stored(&mut worker, 0);
    worker.wait_until("all is stored", SHORT, |metrics| {
        super::stored(metrics) == 1000
    });
    broker.signal(Signal::Stop);
    worker.signal(Signal::Term);
    let status = worker.wait_exit(SHORT);
    assert!(status.code().is_some(), "ended by itself: {status}");

    broker.signal(Signal::Cont);
    let mut worker = setup.start();
    worker.wait_until(
        "it has settled what the first one left",
        MINUTE,
        |metrics| metrics.count(metric::LAG) == 2 && metrics.sum(metric::LAG) == 0,
    );
    worker.stop();
    world.wait_committed_to_end(MINUTE);
    assert_eq!(world.check().stored, 1000);
}
