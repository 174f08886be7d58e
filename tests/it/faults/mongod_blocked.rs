//! mongod answers, but blocks writes for longer than `max.poll.interval.ms`.

use bson::doc;
use mongodb::sync::Client;

use super::{OUTAGE, wait_for_more_stored};
use crate::harness::{Background, MINUTE, Only, OwnServers, World, metric};

#[test]
fn writes_blocked_beyond_the_poll_interval_cause_no_rebalance() {
    const POLL_INTERVAL_MS: &str = "10000";
    const BEYOND_IT_SECONDS: i64 = 15;
    let mongod = OwnServers::start("faults-blocked", Only::Mongodb);
    let world = World::on(mongod.servers(), 2);
    let mut worker = world
        .worker()
        .consumer_property("max.poll.interval.ms", POLL_INTERVAL_MS)
        .consumer_property("session.timeout.ms", "6000")
        .set("consumer.stalled_after_ms", 2000)
        .start();
    let load = Background::start(&world, 0, 200, 2);
    wait_for_more_stored(&mut worker, 200);

    let admin = Client::with_uri_str(&world.servers.mongodb).unwrap();
    let admin = admin.database("admin");
    admin
        .run_command(doc! { "fsync": 1, "lock": true })
        .run()
        .unwrap();
    worker.wait_until(
        "writes hang for longer than the poll interval",
        OUTAGE,
        |metrics| metrics.sum(metric::OLDEST_IN_FLIGHT) > BEYOND_IT_SECONDS,
    );
    assert_eq!(worker.get("/health").0, 200);
    // MongoDB doesn't count as unavailable, because no insert has failed. But the standstill is reported.
    assert!(worker.metrics().sum(metric::STALLED_PARTITIONS) > 0);
    let line = worker.logged("inserts wait for MongoDB's answer");
    assert_eq!(line.level, "WARN");
    let (status, body) = worker.get("/ready");
    assert_eq!(status, 503);
    assert!(body.contains("does not move on"), "{body}");
    assert_eq!(world.members(), 1);
    admin.run_command(doc! { "fsyncUnlock": 1 }).run().unwrap();

    let metrics = wait_for_more_stored(&mut worker, 500);
    assert_eq!(metrics.sum(metric::POLL_INTERVAL_EXCEEDED), 0);
    for event in ["revoke", "lost"] {
        let count = metrics.get(metric::REBALANCES, &[("event", event)]);
        assert_eq!(count, Some(0), "{event}");
    }
    worker.wait_ready();
    assert_eq!(worker.metrics().sum(metric::STALLED_PARTITIONS), 0);
    load.stop();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    worker.assert_no_errors();
    world.check();
}
