//! `mongodb.replay_after_outage`: the workers bring home what they sent to the dead letter topic during an outage.

use bson::doc;
use serde_json::Value;

use crate::harness::{
    DeadLetter, Finished, MINUTE, Message, Producer, SHORT, Worker, WorkerSetup, World, metric,
};

const UNAVAILABLE: &str = "mongodb_unavailable";

fn setup(world: &World) -> WorkerSetup {
    world
        .worker()
        .set("mongodb.replay_after_outage", true)
        .set("mongodb.reconnect_interval_ms", 200)
        .set("consumer.max_retries", 1)
        .set("consumer.offset_commit_interval_ms", 100)
        .set("kafka.poll_timeout_ms", 100)
        .consumer_property("heartbeat.interval.ms", "500")
}

/// MongoDB takes no write and answers no ping.
fn outage() -> bson::Document {
    doc! { "failCommands": ["insert", "ping"], "errorCode": 91 }
}

fn replay(world: &World) -> Finished {
    let words = ["dead-letters", "replay", "--reason", UNAVAILABLE];
    let command = words
        .iter()
        .fold(world.worker(), |setup, word| setup.argument(word));
    command.run()
}

fn page(worker: &mut Worker, path: &str) -> Value {
    serde_json::from_str(&worker.get(path).1).unwrap()
}

#[test]
fn an_outage_heals_itself_and_messages_of_others_are_passed_over() {
    let world = World::with_own_mongodb(2);
    world.admin.create_topic(&world.dead_letter_topic, 3, &[]);
    let producer = Producer::new(&world);
    producer.fill(0..100, 2);
    producer.send_now(Message::refused("{", "invalid_json"));
    let mut worker = setup(&world).start();
    world.wait_committed_to_end(MINUTE);

    let fail_point = world.fail_point("alwaysOn", outage());
    producer.fill(100..2000, 2);
    world.wait_committed_to_end(MINUTE);
    // Nothing goes back to the topic while MongoDB is away: the letters wait.
    worker.wait_until("letters wait", SHORT, |metrics| {
        metrics.sum(metric::REPLAY_WAITING) > 1000
    });
    assert_eq!(world.dead_letters().len(), 1901);
    let ready = page(&mut worker, "/ready");
    assert!(ready["outage_replay"]["waiting"].as_i64().unwrap() > 1000);
    assert_eq!(ready["ready"], false);
    drop(fail_point);

    // Live messages go on meanwhile.
    worker.wait_for_log("MongoDB is available again", MINUTE);
    producer.fill(2000..2500, 2);
    world.wait_committed_to_end(MINUTE);
    world.wait_replayed(MINUTE);
    let metrics = worker.wait_until("all is brought home", SHORT, |metrics| {
        metrics.sum(metric::REPLAY_WAITING) == 0
    });
    assert_eq!(metrics.sum(metric::REPLAY_STORED), 1900);
    assert_eq!(metrics.sum(metric::REPLAY_FAILED), 0);
    // Live messages are counted alone.
    assert_eq!(metrics.sum(metric::STORED), 600);
    assert_eq!(metrics.sum(metric::CONSUMED), 2501);
    assert_eq!(
        world.dead_letters().len(),
        1901,
        "no letter was written anew"
    );
    let status = page(&mut worker, "/status");
    let expected = serde_json::json!({"waiting": 0, "stored": 1900, "failed": 0});
    assert_eq!(status["outage_replay"], expected);
    assert_eq!(page(&mut worker, "/ready")["outage_replay"], expected);
    worker.stop();
    let report = world.check_allowing(&[UNAVAILABLE]);
    assert_eq!((report.stored, report.both), (2500, 1900));
}

#[test]
fn what_mongodb_refuses_afterwards_is_a_dead_letter_of_its_original_place_again() {
    let world = World::with_own_mongodb(1);
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    let fail_point = world.fail_point("alwaysOn", outage());
    Producer::new(&world).fill(0..10, 1);
    let mut worker = setup(&world).start();
    world.wait_committed_to_end(MINUTE);
    // Another message took the id of one meanwhile.
    let id = world.ledger.entries()[4].content.message_id().unwrap();
    let other =
        doc! { "_id": &id, "message_id": &id, "created_at": "2026-01-01T00:00:00Z", "other": true };
    world.stored().documents().insert_one(other).run().unwrap();
    drop(fail_point);
    worker.wait_until("the rest is brought home", MINUTE, |metrics| {
        metrics.sum(metric::REPLAY_STORED) == 9 && metrics.sum(metric::REPLAY_FAILED) == 1
    });
    world.wait_replayed(MINUTE);
    worker.stop();
    let letters = world.dead_letters();
    let again: Vec<&DeadLetter> = letters
        .iter()
        .filter(|letter| letter.reason() != UNAVAILABLE)
        .collect();
    assert_eq!(again.len(), 1, "{again:?}");
    assert_eq!(again[0].reason(), "id_conflict");
    assert_eq!(again[0].source(), (0, 4));
    assert_eq!(again[0].header("dlq.replay_count"), "1");
}

#[test]
fn workers_share_the_letters_and_the_command_leaves_them_to_it() {
    let world = World::with_own_mongodb(2);
    world.admin.create_topic(&world.dead_letter_topic, 4, &[]);
    let mut workers: Vec<Worker> = (0..2).map(|_| setup(&world).start()).collect();
    crate::harness::until("both bring letters home", MINUTE, || {
        (world.replaying_members() == 2 && world.members() == 2).then_some(())
    });
    let fail_point = world.fail_point("alwaysOn", outage());
    Producer::new(&world).fill(0..2000, 2);
    world.wait_committed_to_end(MINUTE);
    let refused = replay(&world);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    for words in [
        "the workers store these dead letters themselves",
        "has 2 members",
    ] {
        assert!(refused.errors.contains(words), "{}", refused.errors);
    }
    // One of them is killed while its letters wait: the other one takes them over.
    workers[0].kill();
    drop(fail_point);
    world.wait_replayed(MINUTE);
    assert_eq!(world.stored().count(), 2000);
    workers[1].stop();
    // Nothing is left for the command.
    let finished = replay(&world);
    assert_eq!(finished.code, Some(0), "{}", finished.errors);
    assert!(finished.output.contains("taken"), "{}", finished.output);
    world.check_allowing(&[UNAVAILABLE]);
}

#[test]
fn letters_that_wait_do_not_hold_up_a_stop_or_get_lost_by_it() {
    let world = World::with_own_mongodb(1);
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    let fail_point = world.fail_point("alwaysOn", outage());
    Producer::new(&world).fill(0..500, 1);
    let mut worker = setup(&world).start();
    world.wait_committed_to_end(MINUTE);
    worker.wait_until("letters wait", SHORT, |metrics| {
        metrics.sum(metric::REPLAY_WAITING) == 500
    });
    worker.stop();
    assert_eq!(world.dead_letters().len(), 500);
    drop(fail_point);
    let mut worker = setup(&world).start();
    world.wait_replayed(MINUTE);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.stored().count(), 500);
}

/// Retention of the dead letter topic was faster than the outage. The running worker says so, as for the topic.
#[test]
fn letters_that_retention_deletes_while_they_wait_are_counted_as_lost() {
    let world = World::with_own_mongodb(1);
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    let mut worker = setup(&world).start();
    worker.wait_ready();
    let fail_point = world.fail_point("alwaysOn", outage());
    // More than the client fetches ahead.
    Producer::new(&world).fill(0..8000, 1);
    worker.wait_until("all letters wait", MINUTE, |metrics| {
        metrics.sum(metric::REPLAY_WAITING) == 8000
    });
    world
        .admin
        .delete_records(&world.dead_letter_topic, 0, 7900);
    drop(fail_point);
    let metrics = worker.wait_until("what is left is brought home", MINUTE, |metrics| {
        metrics.sum(metric::REPLAY_WAITING) == 0
    });
    let (stored, skipped) = (
        metrics.sum(metric::REPLAY_STORED),
        metrics.sum(metric::OFFSETS_SKIPPED),
    );
    assert!(skipped > 0, "{stored} were stored");
    assert_eq!(stored + skipped, 8000);
    worker.stop();
}

#[test]
fn without_a_dead_letter_topic_the_worker_is_quiet_and_brings_home_what_comes_later() {
    let world = World::with_own_mongodb(1);
    let producer = Producer::new(&world);
    producer.fill(0..10, 1);
    let mut worker = setup(&world).start();
    world.wait_committed_to_end(MINUTE);
    worker.wait_ready();
    assert!(!world.has_dead_letter_topic());
    assert_eq!(world.replaying_members(), 0);
    // The first dead letter creates the topic.
    let fail_point = world.fail_point("alwaysOn", outage());
    producer.fill(10..100, 1);
    world.wait_committed_to_end(MINUTE);
    drop(fail_point);
    world.wait_replayed(MINUTE);
    worker.wait_until("all is brought home", MINUTE, |metrics| {
        metrics.sum(metric::REPLAY_STORED) == 90
    });
    assert!(!worker.has_logged("is missing: waiting for it"));
    worker.stop();
    assert_eq!(world.stored().count(), 100);
}
