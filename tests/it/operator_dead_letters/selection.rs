//! Which dead letters a replay takes, how often, and where they go.

use std::fmt::Write as _;

use bson::doc;

use super::{UNAVAILABLE, after_an_outage, command, count, replay};
use crate::harness::{Fate, Json, Message, Producer, SHORT, World, text};
use crate::operator_audit::audit;

#[test]
fn repeated_failure_keeps_its_origin_and_stops_at_max_replays() {
    let world = World::new(2);
    let validator = doc! { "name": { "$ne": "refused" } };
    let database = world.mongodb();
    database
        .create_collection("messages")
        .validator(validator)
        .run()
        .unwrap();
    let value = Json::message("a").set("name", text("refused"));
    let producer = Producer::new(&world);
    producer.fill(0..10, 2);
    producer.send_now(
        Message::stored(value)
            .fate(Fate::DeadLettered("write_rejected"))
            .partition(1)
            .key("the key")
            .header("trace", Some(b"1"))
            .header("trace", None)
            .timestamp(1_700_000_000_123),
    );
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    let first = world.dead_letters().remove(0);
    for replays in 1..=2 {
        let finished = replay(&world, "--reason write_rejected --max-replays 2");
        assert_eq!(count(&finished, "dead-lettered again"), 1);
        let letters = world.dead_letters();
        assert_eq!(letters.len(), 1 + replays);
        let newest = letters
            .iter()
            .find(|letter| letter.header("dlq.replay_count") == replays.to_string())
            .unwrap();
        assert_eq!((&newest.key, &newest.value), (&first.key, &first.value));
        assert_eq!(newest.original_headers(), first.original_headers());
        for name in [
            "dlq.topic",
            "dlq.partition",
            "dlq.offset",
            "dlq.timestamp",
            "dlq.timestamp_type",
            "dlq.error_code",
            "dlq.consumer_group",
        ] {
            assert_eq!(newest.header(name), first.header(name), "{name}");
        }
    }
    let finished = replay(&world, "--reason write_rejected --max-replays 2");
    assert_eq!(count(&finished, "write_rejected: taken"), 0);
    assert_eq!(count(&finished, "skipped: replayed 2 times or more"), 1);
    assert_eq!(
        audit(&world, &[]).1["dead_lettered_by_reason"]["write_rejected"],
        1
    );

    // The validator is removed: now the message can be stored.
    let unlock = doc! { "collMod": "messages", "validator": {} };
    database.run_command(unlock).run().unwrap();
    let finished = replay(&world, "--reason write_rejected --from-beginning");
    assert_eq!(count(&finished, "stored in MongoDB"), 1);
    assert_eq!(count(&finished, "already stored"), 2);
    world.ledger.change_fate(
        |entry| entry.content.message_id().as_deref() == Some("a"),
        Fate::Stored,
    );
    world.check_allowing(&["write_rejected"]);
}

#[test]
fn replay_limit_is_kept_and_each_reason_has_its_own_progress() {
    let world = after_an_outage(1, 30);
    let producer = Producer::new(&world);
    producer.send_now(Message::refused("{", "invalid_json"));
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    for stored in [20, 30] {
        let finished = replay(&world, "--reason mongodb_unavailable --limit 20");
        assert_eq!(
            finished.output.contains("the limit was reached"),
            stored < 30
        );
        assert_eq!(world.stored().count(), stored);
    }
    let finished = replay(&world, "--reason invalid_json");
    assert_eq!(count(&finished, "dead-lettered again"), 1);
    assert_eq!(count(&finished, "skipped: other reasons"), 30);
}

#[test]
fn replay_can_publish_to_a_topic() {
    let world = after_an_outage(1, 50);
    let missing = command(&world, "replay --reason mongodb_unavailable --to nowhere").run();
    assert_eq!(missing.code, Some(2), "{}", missing.errors);
    let itself = format!(
        "replay --reason mongodb_unavailable --to {}",
        world.dead_letter_topic
    );
    assert_eq!(command(&world, &itself).run().code, Some(2));

    let finished = replay(
        &world,
        &format!("--reason mongodb_unavailable --to {}", world.topic),
    );
    assert_eq!(count(&finished, "published to"), 50);
    assert_eq!(world.bounds()[&0].end, 100);
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    let report = world.check_allowing(&[UNAVAILABLE]);
    assert_eq!((report.stored, report.both), (50, 50));
    let again = replay(
        &world,
        &format!("--reason mongodb_unavailable --to {}", world.topic),
    );
    assert_eq!(count(&again, "mongodb_unavailable: taken"), 0);
}

#[test]
fn replay_skips_a_dead_letter_without_value() {
    let world = World::new(1);
    let small = [("max.message.bytes", "2000")];
    world
        .admin
        .create_topic(&world.dead_letter_topic, 1, &small);
    let mut large = String::from("not JSON: ");
    for number in 0..2000 {
        // Compression must not make it fit.
        let _ = write!(large, "{:x}", number * 7_919_777 % 1_000_003);
    }
    Producer::new(&world).send_now(Message::refused(large, "invalid_json"));
    let mut worker = world
        .worker()
        .set("kafka.dead_letter_oversize", "omit_value")
        .start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    let finished = replay(&world, "--reason invalid_json");
    assert_eq!(count(&finished, "skipped: without their value"), 1);
    assert_eq!(world.dead_letters().len(), 1);
    let (audited, report) = audit(&world, &[]);
    assert_eq!(audited.code, Some(0));
    assert_eq!(report["dead_lettered_without_value"], 1);
}
