//! `dead-letters` against real servers: listing, showing and replaying dead letters.

use std::fmt::Write as _;

use bson::doc;

use crate::harness::{
    Fate, Finished, Json, MINUTE, Message, Only, OwnServers, Producer, SHORT, Signal, Worker,
    WorkerSetup, World, text,
};
use crate::operator_audit::audit;

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

#[test]
fn replay_after_an_outage_stores_everything_and_the_audit_confirms_it() {
    let own = OwnServers::start("operator-outage", Only::Mongodb);
    let world = World::on(own.servers(), 6);
    let producer = Producer::new(&world);
    producer.fill(0..1000, 6);
    let setup = world
        .worker()
        .set("consumer.max_retries", 2)
        .set("consumer.retry_backoff_ms", 10)
        .set("mongodb.reconnect_interval_ms", 500);
    let mut worker = setup.start();
    world.wait_committed_to_end(SHORT);

    own.signal("mongodb", Signal::Kill);
    producer.fill(1000..21_000, 6);
    producer.send_now(Message::refused("{", "invalid_json"));
    world.wait_committed_to_end(MINUTE);
    let list = command(&world, "list --json --reason mongodb_unavailable").run();
    assert_eq!(list.code, Some(0), "{}", list.errors);
    let list: serde_json::Value = serde_json::from_str(&list.output).unwrap();
    assert_eq!(list["count"], 20_000);
    assert_eq!(list["groups"].as_array().unwrap().len(), 6);

    let too_early = command(&world, "replay --reason mongodb_unavailable").run();
    assert_eq!(too_early.code, Some(5));
    assert!(
        too_early.errors.contains("MongoDB could not be reached"),
        "{}",
        too_early.errors
    );

    own.restart();
    worker.wait_for_log("MongoDB is available again", MINUTE);
    let counted = replay(&world, "--reason mongodb_unavailable --dry-run");
    assert_eq!(
        count(&counted, "mongodb_unavailable: to be replayed"),
        20_000
    );
    // The worker goes on during the replay.
    producer.fill(21_000..22_000, 6);
    let finished = replay(&world, "--reason mongodb_unavailable");
    assert_eq!(count(&finished, "stored in MongoDB"), 20_000);
    assert_eq!(count(&finished, "skipped: other reasons"), 1);
    world.wait_committed_to_end(SHORT);
    worker.stop();

    let (audited, report) = audit(&world, &[]);
    assert_eq!(audited.code, Some(0), "{}", audited.errors);
    assert_eq!(report["stored"], 2000);
    assert_eq!(report["both"], 20_000);
    assert_eq!(report["dead_lettered"], 1);
    let checked = world.check_allowing(&[UNAVAILABLE]);
    assert_eq!((checked.stored, checked.both), (22_000, 20_000));

    let again = replay(&world, "--reason mongodb_unavailable");
    assert_eq!(
        count(&again, "mongodb_unavailable: taken"),
        0,
        "the replay resumes after the last one"
    );
    let again = replay(&world, "--reason mongodb_unavailable --from-beginning");
    assert_eq!(count(&again, "already stored"), 20_000);
}

#[test]
fn killed_replay_resumes_at_its_committed_progress() {
    const COUNT: i64 = 20_000;
    let world = after_an_outage(3, 20_000);
    let slowly = command(&world, "replay --reason mongodb_unavailable")
        .set("consumer.batch_size", 5)
        .set("consumer.writer_threads", 2);
    let stored = || world.stored().count();
    let wait_for_more = |replay: &mut Worker, than: i64| {
        replay.wait_for("some is stored", MINUTE, |_| {
            (stored() > than).then_some(())
        });
    };
    let mut killed = slowly.start();
    wait_for_more(&mut killed, 2000);
    killed.kill();
    let after_kill = stored();
    assert!(after_kill < COUNT, "everything was stored before");

    let mut interrupted = slowly.start();
    wait_for_more(&mut interrupted, after_kill);
    interrupted.stop();
    let after_stop = stored();
    assert!(after_stop < COUNT, "everything was stored before");

    let finished = replay(&world, "--reason mongodb_unavailable");
    assert_eq!(count(&finished, "stored in MongoDB"), COUNT - after_stop);
    // The killed replay may have stored up to two batches beyond its committed progress.
    assert!(count(&finished, "already stored") <= 10);
    assert_eq!(audit(&world, &[]).0.code, Some(0));
    let report = world.check_allowing(&[UNAVAILABLE]);
    assert_eq!((report.stored, report.both), (COUNT, COUNT));
}

#[test]
fn outage_stops_a_replay_without_new_dead_letters() {
    let world = after_an_outage(1, 100);
    let fail_point = world.fail_point(
        "alwaysOn",
        doc! { "failCommands": ["insert"], "errorCode": 91 },
    );
    let finished = command(&world, "replay --reason mongodb_unavailable")
        .set("consumer.max_retries", 2)
        .set("consumer.retry_backoff_ms", 10)
        .run();
    assert_eq!(finished.code, Some(5));
    assert!(
        finished
            .errors
            .contains("what isn't replayed yet waits in the dead letter topic"),
        "{}",
        finished.errors
    );
    assert_eq!(count(&finished, "not settled"), 100);
    assert_eq!(world.dead_letters().len(), 100);
    let refuse = doc! { "failCommands": ["insert"], "errorCode": 13 };
    fail_point.set(&world.app_name, "alwaysOn", refuse);
    let refused = command(&world, "replay --reason mongodb_unavailable").run();
    assert_eq!(refused.code, Some(4), "{}", refused.errors);
    drop(fail_point);
    let finished = replay(&world, "--reason mongodb_unavailable");
    assert_eq!(count(&finished, "stored in MongoDB"), 100);
    world.check_allowing(&[UNAVAILABLE]);
}

#[test]
fn letters_refused_for_an_unknown_reason_dont_end_a_replay_that_stores_others() {
    let world = World::new(1);
    let database = world.mongodb();
    let create = database.create_collection("messages");
    create.validator(doc! { "name": "other" }).run().unwrap();
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    let producer = Producer::new(&world);
    let faulty = r#"[{"0":1},2]"#;
    for (id, value) in [("a", faulty), ("b", faulty), ("c", "1")] {
        let fate = Fate::DeadLettered("write_rejected");
        producer.send(Message::stored(Json::message(id).add("value", value)).fate(fate));
        producer.flush();
    }
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    // From now on an index refuses the faulty ones, with a code that isn't in the worker's table.
    let change = doc! { "collMod": "messages", "validator": {} };
    database.run_command(change).run().unwrap();
    let index = doc! { "key": { "value.0": 1 }, "name": "value" };
    let create = doc! { "createIndexes": "messages", "indexes": [index] };
    database.run_command(create).run().unwrap();
    let with_retries = |arguments: &str| {
        command(&world, arguments)
            .set("consumer.max_retries", 2)
            .set("consumer.retry_backoff_ms", 10)
            .set("consumer.batch_size", 1)
            .set("consumer.writer_threads", 1)
            .set("mongodb.reconnect_interval_ms", 100)
    };
    let finished = with_retries("replay --reason write_rejected").run();
    assert_eq!(finished.code, Some(0), "{}", finished.errors);
    assert_eq!(count(&finished, "stored in MongoDB"), 1);
    assert_eq!(world.dead_letters().len(), 5);
    // Now nothing but such letters is left: nothing shows that the server isn't the cause.
    let finished = with_retries("replay --reason write_rejected").run();
    assert_eq!(finished.code, Some(5), "{}", finished.errors);
    assert_eq!(world.dead_letters().len(), 5);
}

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

#[test]
fn show_prints_a_dead_letter() {
    let world = World::new(1);
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    let value = b"\xff\x00 not JSON \x1b[2J";
    Producer::new(&world).send_now(
        Message::refused(value, "invalid_json")
            .key("the key")
            .header("trace", Some(b"\x01\xfe"))
            .header("nothing", None),
    );
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    assert_eq!(world.dead_letters().len(), 1);
    let shown = command(&world, "show 0 0").run();
    assert_eq!(shown.code, Some(0), "{}", shown.errors);
    for words in [
        "dlq.reason",
        "invalid_json",
        "\\u{1}\\xfe",
        "(none)",
        "key    the key",
        "value  \\xff\\u{0} not JSON \\u{1b}[2J",
    ] {
        assert!(shown.output.contains(words), "{words}: {}", shown.output);
    }
    let raw = command(&world, "show 0 0 --raw").run();
    assert_eq!(
        raw.output.as_bytes(),
        String::from_utf8_lossy(value).as_bytes()
    );
    for (arguments, words) in [
        ("show 0 1", "has no offset 1"),
        ("show 9 0", "no partition 9"),
    ] {
        let finished = command(&world, arguments).run();
        assert_eq!(finished.code, Some(1));
        assert!(finished.errors.contains(words), "{}", finished.errors);
    }
}
