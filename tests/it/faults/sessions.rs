//! The inserts of each writer share a session of the server. The session must not make inserts wait, a killed
//! session must do no harm, and a server without sessions must work.

use bson::{Bson, doc};
use mongodb::sync::Client;

use super::{OUTAGE, settled, wait_for_more_stored};
use crate::harness::{
    Background, MINUTE, MongoDbProxy, Only, OwnServers, Producer, SHORT, World, metric, until,
};

#[test]
fn inserts_share_sessions_without_waiting_and_survive_killed_ones() {
    let members = OwnServers::start("faults-sessions", Only::ReplicaSet);
    let world = World::on(members.servers(), 2);
    let client = Client::with_uri_str(&world.servers.mongodb).unwrap();
    let admin = client.database("admin");
    let primary = until("there is a primary", OUTAGE, || {
        let hello = admin.run_command(doc! { "hello": 1 }).run().ok()?;
        Some(hello.get_str("primary").ok()?.to_owned())
    });
    let proxy = MongoDbProxy::start(&primary, false);
    let mut worker = world
        .worker()
        .set("mongodb.uri", proxy.uri())
        .set("consumer.retry_backoff_ms", 50)
        // One batch may fail many times.
        .set("consumer.max_retries", 100)
        .start();
    let load = Background::start(&world, 0, 2000, 2);
    wait_for_more_stored(&mut worker, 2000);
    assert!(proxy.sessions() > 0, "no session was named");
    assert_eq!(proxy.waits(), 0, "commands waited for a cluster time");

    until("an insert fails", MINUTE, || {
        for _ in 0..20 {
            let kill = doc! { "killAllSessions": Bson::Array(Vec::new()) };
            admin.run_command(kill).run().unwrap();
        }
        let retries = worker.metrics().sum(metric::MONGODB_RETRIES);
        (retries > 0).then_some(())
    });
    wait_for_more_stored(&mut worker, 500);
    load.stop();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().dead_lettered, 0);
}

#[test]
fn inserts_use_no_session_on_a_server_without_sessions() {
    const COUNT: u64 = 500;
    let world = World::new(2);
    let (_, rest) = world.servers.mongodb.split_once("://").unwrap();
    let server = rest.split(['/', '?']).next().unwrap();
    let proxy = MongoDbProxy::start(server, true);
    let producer = Producer::new(&world);
    let mut worker = world
        .worker()
        .set("mongodb.uri", proxy.uri())
        .set("consumer.max_retries", 1)
        .start();
    for first in (0..COUNT).step_by(100) {
        producer.fill(first..first + 100, 2);
        let total = i64::try_from(first + 100).unwrap();
        worker.wait_until("all is stored", SHORT, |metrics| settled(metrics) == total);
    }
    world.wait_committed_to_end(SHORT);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().dead_lettered, 0);
    assert!(proxy.hidden() > 0, "nothing was hidden");
    assert_eq!(proxy.sessions(), 0, "commands named a session");
}
