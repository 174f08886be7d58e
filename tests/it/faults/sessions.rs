//! Each writer's inserts share a session of the server: one that is killed, and a server that has none.

use bson::{Bson, doc};
use mongodb::sync::Client;

use super::{settled, wait_for_more_stored};
use crate::harness::{
    Background, MINUTE, Only, OwnServers, Producer, SHORT, SessionlessProxy, World,
};

#[test]
fn sessions_that_are_killed_again_and_again_cost_nothing() {
    let mongod = OwnServers::start("faults-sessions", Only::Mongodb);
    let world = World::on(mongod.servers(), 2);
    let mut worker = world.worker().set("consumer.retry_backoff_ms", 50).start();
    let load = Background::start(&world, 0, 2000, 2);
    wait_for_more_stored(&mut worker, 200);

    let client = Client::with_uri_str(&world.servers.mongodb).unwrap();
    for _ in 0..20 {
        let kill = doc! { "killAllSessions": Bson::Array(Vec::new()) };
        client.database("admin").run_command(kill).run().unwrap();
        wait_for_more_stored(&mut worker, 100);
    }
    load.stop();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().dead_lettered, 0);
}

#[test]
fn a_server_without_sessions_gets_its_inserts_without_one() {
    const COUNT: u64 = 500;
    let world = World::new(2);
    let proxy = SessionlessProxy::start(&world.servers.mongodb);
    let uri = format!("mongodb://{}/?directConnection=true", proxy.address());
    let producer = Producer::new(&world);
    let mut worker = world
        .worker()
        .set("mongodb.uri", uri)
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
    assert_eq!(proxy.named(), 0, "commands named a session");
}
