//! `dead-letters` against real servers: listing, showing and replaying dead letters.

mod outages;
mod selection;
mod show;

use bson::doc;

use crate::harness::{Finished, MINUTE, Producer, WorkerSetup, World};

const UNAVAILABLE: &str = "mongodb_unavailable";

fn command(world: &World, arguments: &str) -> WorkerSetup {
    let command = world.worker().argument("dead-letters");
    arguments.split(' ').fold(command, WorkerSetup::argument)
}

#[track_caller]
fn replay(world: &World, arguments: &str) -> Finished {
    let finished = command(world, &format!("replay {arguments}")).run();
    assert_eq!(finished.code, Some(0), "{}", finished.errors);
    finished
}

/// The count after a name in the summary.
#[track_caller]
fn count(finished: &Finished, name: &str) -> i64 {
    let line = finished
        .output
        .lines()
        .find(|line| line.trim_start().starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no `{name}` in {}", finished.output));
    line.split_whitespace().last().unwrap().parse().unwrap()
}

/// A world whose messages were redirected during an outage of MongoDB that has ended.
fn after_an_outage(partitions: i32, messages: u64) -> World {
    let world = World::with_own_mongodb(partitions);
    // With one partition, the order of the replay is known.
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    let producer = Producer::new(&world);
    producer.fill(0..messages, partitions);
    let fail_point = world.fail_point(
        "alwaysOn",
        doc! { "failCommands": ["insert", "ping"], "errorCode": 91 },
    );
    let mut worker = world.worker().set("consumer.max_retries", 1).start();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    drop(fail_point);
    assert_eq!(world.stored().count(), 0);
    world
}
