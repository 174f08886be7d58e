//! A replica set whose primary is killed.

use bson::doc;
use mongodb::sync::Client;

use super::{OUTAGE, wait_for_more_stored};
use crate::harness::{Background, MINUTE, Only, OwnServers, SHORT, Servers, Signal, World, until};

const WARNING: &str = "a failover can roll back";

#[test]
fn killed_primary_loses_nothing_under_majority() {
    let members = OwnServers::start("faults-failover", Only::ReplicaSet);
    let world = World::on(members.servers(), 2);

    let mut default = world.worker().start();
    default.wait_for_log(WARNING, SHORT);
    default.stop();

    let mut worker = world
        .worker()
        .set("mongodb.write_concern.w", "majority")
        .set("consumer.max_retries", 6)
        .start();
    let load = Background::start(&world, 0, 200, 2);
    wait_for_more_stored(&mut worker, 400);
    assert!(!worker.has_logged(WARNING));
    for _ in 0..2 {
        let primary = primary(&world.servers);
        members.signal(&primary, Signal::Kill);
        // Two of three members are still a majority.
        wait_for_more_stored(&mut worker, 1000);
        members.restart();
        wait_for_more_stored(&mut worker, 200);
    }
    load.stop();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    worker.assert_no_errors();
    world.check();
}

/// Which of `mongodb-1` to `mongodb-3` is the primary.
pub(super) fn primary(servers: &Servers) -> String {
    let client = Client::with_uri_str(&servers.mongodb).unwrap();
    let admin = client.database("admin");
    until("there is a primary", OUTAGE, || {
        let hello = admin.run_command(doc! { "hello": 1 }).run().ok()?;
        let host = hello.get_str("primary").ok()?;
        let hosts = servers
            .mongodb
            .strip_prefix("mongodb://")?
            .split('/')
            .next()?;
        let index = hosts.split(',').position(|member| member == host)?;
        Some(format!("mongodb-{}", index + 1))
    })
}
