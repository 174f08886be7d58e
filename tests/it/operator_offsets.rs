//! `offsets` against real servers: what it shows, what it sets, and when it refuses.

use bson::doc;
use serde_json::Value;

use crate::harness::{
    Finished, MINUTE, Message, Producer, SHORT, Worker, WorkerSetup, World, until,
};

fn run(world: &World, arguments: &str) -> Finished {
    arguments
        .split(' ')
        .fold(world.worker().argument("offsets"), WorkerSetup::argument)
        .run()
}

#[track_caller]
fn show(world: &World) -> Value {
    let finished = run(world, "show --json");
    assert_eq!(finished.code, Some(0), "{finished:?}");
    serde_json::from_str(&finished.output).unwrap()
}

#[track_caller]
fn refused(world: &World, arguments: &str, code: i32, words: &[&str]) {
    let before = world.committed();
    let finished = run(world, arguments);
    assert_eq!(finished.code, Some(code), "{arguments}: {finished:?}");
    for words in words {
        assert!(finished.errors.contains(words), "{words}: {finished:?}");
    }
    assert_eq!(finished.output, "", "{arguments}");
    assert_eq!(world.committed(), before, "{arguments}");
}

/// A topic with 20 messages in each of 2 partitions, all of them stored and committed.
fn settled_world() -> World {
    let world = World::new(2);
    Producer::new(&world).fill(0..40, 2);
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    world
}

/// Lets a worker read what the group has not committed, into an empty collection.
#[track_caller]
fn stored_again(world: &World) -> i64 {
    let messages = world.mongodb().collection::<bson::Document>("messages");
    messages.delete_many(doc! {}).run().unwrap();
    let mut worker = world.worker().start();
    worker.wait_ready();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    world.stored().count()
}

#[test]
fn show_tells_lag_and_members() {
    let world = World::new(2);
    Producer::new(&world).fill(0..40, 2);
    let shown = show(&world);
    assert_eq!(shown["state"], Value::Null, "{shown}");
    assert_eq!(shown["partitions"][0]["committed"], Value::Null);
    assert_eq!(shown["partitions"][0]["end"], 20);
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    let shown = show(&world);
    assert_eq!(shown["members"], 1, "{shown}");
    assert_eq!(shown["state"], "Stable");
    for partition in 0..2 {
        let row = &shown["partitions"][partition];
        assert_eq!(row["partition"], partition);
        assert_eq!((&row["beginning"], &row["lag"]), (&0.into(), &0.into()));
        let member = row["member"].as_str().unwrap();
        assert!(member.contains("kafka-mongo-consumer"), "{member}");
    }
    worker.stop();
    world.commit(1, 5);
    let shown = show(&world);
    assert_eq!((&shown["members"], &shown["lag"]), (&0.into(), &15.into()));
    let finished = run(&world, "show");
    assert!(finished.output.contains("lag in all: 15"), "{finished:?}");
}

#[test]
fn a_worker_begins_where_a_reset_says() {
    let world = settled_world();
    let finished = run(&world, "reset --to-offset 0:5");
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(finished.output.trim_end(), "partition 0: 20 → 5");
    assert_eq!(world.committed(), [(0, Some(5)), (1, Some(20))].into());
    assert_eq!(stored_again(&world), 15);

    let finished = run(&world, "reset --to-earliest --partitions 1");
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(stored_again(&world), 20);

    let finished = run(&world, "reset --to-offset 18");
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(stored_again(&world), 4);

    let before = world.committed();
    let finished = run(&world, "reset --to-earliest --dry-run");
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(
        finished.output.contains("partition 1: 20 → 0"),
        "{finished:?}"
    );
    assert_eq!(world.committed(), before);

    for _ in 0..2 {
        assert_eq!(run(&world, "reset --to-earliest").code, Some(0));
        assert_eq!(run(&world, "reset --to-latest").code, Some(0));
    }
    assert_eq!(stored_again(&world), 0);
}

#[test]
fn a_reset_to_a_time_begins_at_its_first_message() {
    let world = World::new(2);
    let producer = Producer::new(&world);
    // 2023-07-15T12:00:00Z and one minute for each further message.
    for number in 0..10 {
        let message: Message = producer.numbered(u64::try_from(number).unwrap(), 1, 0);
        producer.send_now(
            message
                .partition(0)
                .timestamp(1_689_422_400_000 + number * 60_000),
        );
    }
    let finished = run(&world, "reset --to-datetime 2023-07-15T12:07:30Z");
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(world.committed(), [(0, Some(8)), (1, Some(0))].into());
    let finished = run(&world, "reset --to-datetime 1h");
    assert!(
        finished.output.contains("partition 0: 8 → 10"),
        "{finished:?}"
    );
}

#[test]
fn what_is_outside_of_the_log_is_refused_with_its_bounds() {
    let world = settled_world();
    world.admin.delete_records(&world.topic, 0, 7);
    let bounds = ["partition 0", "begins at 7 and ends at 20"];
    refused(&world, "reset --to-offset 0:6", 2, &bounds);
    refused(&world, "reset --to-offset 0:21", 2, &bounds);
    refused(
        &world,
        "reset --to-offset 21",
        2,
        &["partition 1", "ends at 20"],
    );
    refused(&world, "reset --to-offset 2:5", 2, &["no partition 2"]);
    refused(
        &world,
        "reset --to-latest --partitions 0,9",
        2,
        &["no partition 9"],
    );
}

#[test]
fn a_running_worker_refuses_a_reset() {
    for (protocol, words) in [("classic", "1 member"), ("consumer", "members")] {
        let world = settled_world();
        let mut worker = world
            .worker()
            .consumer_property("group.protocol", protocol)
            .start();
        worker.wait_ready();
        let words = [words, "stop the workers", &world.group];
        refused(&world, "reset --to-earliest", 4, &words);
        // Of the newer protocol the brokers tell only at the commit that there are members.
        if protocol == "classic" {
            refused(&world, "reset --to-earliest --dry-run", 4, &words);
        }
        worker.stop();
        until("a reset is accepted", MINUTE, || {
            (run(&world, "reset --to-earliest").code == Some(0)).then_some(())
        });
        assert_eq!(world.committed(), [(0, Some(0)), (1, Some(0))].into());
    }
}

#[test]
fn a_static_member_that_is_away_counts_until_its_session_expires() {
    let world = settled_world();
    let start = || -> Worker {
        world
            .worker()
            .consumer_property("group.instance.id", "stays")
            .consumer_property("session.timeout.ms", "10000")
            .start()
    };
    let mut worker = start();
    worker.wait_ready();
    worker.stop();
    assert_eq!(world.members(), 1);
    refused(
        &world,
        "reset --to-earliest",
        4,
        &["1 member", "a static member"],
    );
    until("its session expires", MINUTE, || {
        (world.members() == 0).then_some(())
    });
    assert_eq!(run(&world, "reset --to-earliest").code, Some(0));
}

/// Under `latest` the commits say how many partitions the topic had at the group's first start.
#[test]
fn a_reset_keeps_what_the_commits_say_of_the_first_start() {
    let latest = |world: &World| world.worker().set("kafka.auto_offset_reset", "latest");
    let reset = |world: &World, arguments: &str| {
        let setup = latest(world).argument("offsets").argument("reset");
        let setup = arguments.split(' ').fold(setup, WorkerSetup::argument);
        let finished = setup.run();
        assert_eq!(finished.code, Some(0), "{finished:?}");
    };
    // A reset of one partition is the group's first start: the other one begins at its end, as the setting says.
    let world = World::new(2);
    Producer::new(&world).fill(0..40, 2);
    reset(&world, "--to-earliest --partitions 0");
    let mut worker = latest(&world).start();
    world.wait_committed_to_end(SHORT);
    assert_eq!(world.stored().count(), 20);
    worker.stop();
    // A partition that is added later is read from its beginning, also after another reset.
    reset(&world, "--to-latest");
    world.admin.add_partitions(&world.topic, 3);
    let producer = Producer::new(&world);
    for number in 100..105 {
        producer.send_now(producer.numbered(number, 1, 0).partition(2));
    }
    let mut worker = latest(&world).start();
    world.wait_committed_to_end(SHORT);
    assert_eq!(world.stored().count(), 25);
    worker.stop();
}
