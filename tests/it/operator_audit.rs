//! `audit` against real servers: its counts, the problems that it names, and its exit codes.

use bson::doc;
use serde_json::{Value, json};

use crate::harness::{
    Fate, Finished, Json, MINUTE, Message, Producer, SHORT, WorkerSetup, World, metric, text, until,
};

/// Runs an audit and parses the JSON that it prints.
#[track_caller]
pub fn audit(world: &World, arguments: &[&str]) -> (Finished, Value) {
    let setup = ["audit", "--json"].iter().chain(arguments);
    let finished = setup
        .fold(world.worker(), |setup, argument| setup.argument(argument))
        .run();
    let report = serde_json::from_str(&finished.output)
        .unwrap_or_else(|error| panic!("{error}: {finished:?}"));
    (finished, report)
}

fn message(id: &str, name: &str) -> Json {
    Json::message(id)
        .set("name", text(name))
        .set("metadata", r#"{"n":[1,2.5]}"#)
}

/// Produces messages of every fate and lets a worker settle them.
pub fn settled_world() -> World {
    let world = World::new(3);
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    let producer = Producer::new(&world);
    producer.fill(0..300, 3);
    producer.send(Message::refused("{", "invalid_json").partition(0));
    producer.send(Message::refused("[]", "not_an_object").partition(1));
    producer.send_now(Message::stored(message("twice", "first")).partition(1));
    let fate = Fate::Conflict("id_conflict");
    producer.send_now(
        Message::stored(message("twice", "second"))
            .partition(1)
            .fate(fate),
    );
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    world
}

#[test]
fn audit_counts_each_message_by_where_it_ended() {
    let world = World::new(3);
    let producer = Producer::new(&world);
    producer.fill(0..30, 3);
    let (finished, report) = audit(&world, &[]);
    assert_eq!(finished.code, Some(0));
    assert_eq!(report["pending"], 30, "the group has committed nothing");
    drop(world);

    let world = settled_world();
    Producer::new(&world).fill(1000..1010, 1);
    let (finished, report) = audit(&world, &[]);
    assert_eq!(finished.code, Some(0), "{}", finished.errors);
    assert_eq!(
        report,
        json!({
            "topic": world.topic,
            "ok": true,
            "checked": 314,
            "stored": 301,
            "dead_lettered": 3,
            "dead_lettered_by_reason": {"id_conflict": 1, "invalid_json": 1, "not_an_object": 1},
            "dead_lettered_without_value": 0,
            "both": 0,
            "pending": 10,
            "missing": 0,
            "altered": 0,
            "dead_letters_of_other_groups": 0,
            "problems": [],
        })
    );
}

#[test]
fn audit_names_missing_and_altered_messages() {
    let world = settled_world();
    let entries = world.ledger.entries();
    let of = |number: usize| {
        let entry = &entries[number];
        (
            entry.partition,
            entry.offset,
            entry.content.message_id().unwrap(),
        )
    };
    let (gone, changed) = (of(7), of(100));
    let documents = world.stored().documents();
    documents.delete_one(doc! { "_id": &gone.2 }).run().unwrap();
    let change = doc! { "$set": { "name": "changed by someone" } };
    documents
        .update_one(doc! { "_id": &changed.2 }, change)
        .run()
        .unwrap();
    let (finished, report) = audit(&world, &[]);
    assert_eq!(finished.code, Some(6));
    let counts = (&report["missing"], &report["altered"], &report["stored"]);
    assert_eq!(counts, (&json!(1), &json!(1), &json!(299)));
    for (kind, (partition, offset, id)) in [("missing", &gone), ("altered", &changed)] {
        let problems = report["problems"].as_array().unwrap();
        let problem = problems.iter().find(|problem| problem["kind"] == kind);
        let problem = problem.unwrap_or_else(|| panic!("no {kind} in {problems:?}"));
        assert_eq!(problem["partition"], *partition);
        assert_eq!(problem["offset"], *offset);
        assert_eq!(problem["message_id"], **id);
    }

    let in_words = world
        .worker()
        .argument("audit")
        .argument("--limit-report=1")
        .run();
    assert_eq!(in_words.code, Some(6));
    assert!(
        in_words.output.contains("and 1 more"),
        "{}",
        in_words.output
    );
    assert!(
        in_words
            .errors
            .contains("1 messages are missing, 1 are altered"),
        "{}",
        in_words.errors
    );
}

#[test]
fn message_of_a_deleted_dead_letter_counts_as_missing() {
    let world = settled_world();
    let end = i64::try_from(world.dead_letters().len()).unwrap();
    world.admin.delete_records(&world.dead_letter_topic, 0, end);
    let (finished, report) = audit(&world, &[]);
    assert_eq!(finished.code, Some(6));
    // The message of the conflict counts as altered: MongoDB holds another document under its id.
    assert_eq!(report["missing"], 2);
    assert_eq!(report["altered"], 1);
}

#[test]
fn letters_of_a_deleted_topic_do_not_prove_the_messages_of_a_new_one() {
    const COUNT: usize = 20;
    let world = World::new(1);
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    let producer = Producer::new(&world);
    for number in 0..COUNT {
        let value = format!("{{ {number}");
        producer.send(Message::refused(value, "invalid_json").partition(0));
    }
    producer.flush();
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    let (before, report) = audit(&world, &[]);
    assert_eq!(before.code, Some(0), "{}", before.errors);
    assert_eq!(report["dead_lettered"], COUNT);

    world.admin.delete_topics(&[&world.topic]);
    until("the topic is gone", MINUTE, || {
        world.bounds().is_empty().then_some(())
    });
    world.admin.create_topic(&world.topic, 1, &[]);
    Producer::new(&world).fill(0..u64::try_from(COUNT).unwrap(), 1);
    // The group's offsets may have been deleted with the topic: nothing is to be pending.
    world.commit(0, i64::try_from(COUNT).unwrap());
    let (after, report) = audit(&world, &[]);
    assert_eq!(after.code, Some(6), "{report}");
    assert_eq!(report["missing"], COUNT);
    assert_eq!(report["dead_lettered"], 0);
    let problem = &report["problems"][0];
    assert_eq!(problem["message_id"], "msg-00000000");
    assert_eq!(
        problem["cause"],
        "is not stored, and is not dead-lettered: the dead letter for its partition and offset belongs to another message"
    );
}

#[test]
fn letters_of_another_group_prove_nothing_and_are_not_replayed() {
    let world = World::new(1);
    let other_group = format!("{}-other", world.group);
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    Producer::new(&world).send_now(Message::refused("{", "invalid_json").partition(0));
    let setup = world.worker().set("kafka.group_id", &other_group);
    let mut other = setup.start();
    other.wait_until("the letter is written", SHORT, |metrics| {
        metrics.sum(metric::DEAD_LETTERS) == 1
    });
    other.stop();
    world.commit(0, 1);
    let (ours, report) = audit(&world, &[]);
    assert_eq!(ours.code, Some(6), "{report}");
    assert_eq!(report["missing"], 1);
    assert_eq!(report["dead_letters_of_other_groups"], 1);

    let replay = |setup: WorkerSetup| {
        let words = [
            "dead-letters",
            "replay",
            "--reason",
            "invalid_json",
            "--dry-run",
        ];
        let finished = words
            .iter()
            .fold(setup, |setup, word| setup.argument(word))
            .run();
        assert_eq!(finished.code, Some(0), "{}", finished.errors);
        finished.output
    };
    let output = replay(world.worker());
    let row = output
        .lines()
        .find(|line| line.contains("other consumer groups"));
    assert!(row.is_some_and(|row| row.ends_with(" 1")), "{output}");
    let output = replay(setup);
    assert!(!output.contains("other consumer groups"), "{output}");
}

#[test]
fn audit_checks_only_messages_from_the_given_offsets_or_time_on() {
    let world = settled_world();
    let count = |arguments: &[&str]| audit(&world, arguments).1["checked"].as_i64().unwrap();
    assert_eq!(count(&["--from-beginning"]), 304);
    assert_eq!(count(&["--from-offsets", "0:100,2:95"]), 1 + 5);
    assert_eq!(count(&["--from-offsets", "0:100000"]), 0);
    assert_eq!(count(&["--since", "1h"]), 304);
    assert_eq!(count(&["--since", "2100-01-01T00:00:00Z"]), 0);
}

#[test]
fn audit_beside_a_worker_neither_joins_the_group_nor_commits() {
    for protocol in ["classic", "consumer"] {
        let world = World::new(3);
        let producer = Producer::new(&world);
        producer.fill(0..3000, 3);
        let setup = world.worker().consumer_property("group.protocol", protocol);
        let mut worker = setup.start();
        world.wait_committed_to_end(SHORT);
        let before = (world.committed(), world.members());
        let finished = setup.argument("audit").run();
        assert_eq!(finished.code, Some(0), "{protocol}: {}", finished.errors);
        assert_eq!((world.committed(), world.members()), before, "{protocol}");
        producer.fill(3000..3100, 3);
        world.wait_committed_to_end(SHORT);
        worker.stop();
        worker.assert_no_errors();
        let (finished, report) = audit(&world, &[]);
        assert_eq!(finished.code, Some(0), "{protocol}");
        assert_eq!(report["stored"], 3100, "{protocol}");
    }
}

#[test]
fn audit_ignores_aborted_and_open_transactions() {
    let world = World::new(1);
    Producer::new(&world).fill(0..10, 1);
    let transactional = Producer::with(&world, &[("transactional.id", &world.topic)]);
    transactional.begin();
    for number in 10..20 {
        transactional.send(transactional.numbered(number, 1, 0));
    }
    transactional.commit();
    transactional.begin();
    for number in 20..30 {
        transactional.send(transactional.numbered(number, 1, 0).fate(Fate::Absent));
    }
    transactional.abort();
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    let (finished, report) = audit(&world, &[]);
    assert_eq!(finished.code, Some(0), "{}", finished.errors);
    assert_eq!(
        (&report["checked"], &report["stored"]),
        (&json!(20), &json!(20))
    );

    transactional.begin();
    transactional.send(transactional.numbered(30, 1, 0));
    transactional.flush();
    let (finished, report) = audit(&world, &[]);
    assert_eq!(finished.code, Some(0), "{}", finished.errors);
    assert_eq!(
        (&report["checked"], &report["pending"]),
        (&json!(20), &json!(0))
    );
}

#[test]
fn each_audit_failure_has_its_exit_code() {
    let world = World::new(1);
    let audit = world.worker().argument("audit");
    let no_kafka = audit.clone().set("kafka.bootstrap_servers", "127.0.0.1:1");
    let no_mongodb = audit.clone().set(
        "mongodb.uri",
        "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=500",
    );
    for (setup, code, words) in [
        (no_kafka, 3, "Kafka could not be reached"),
        (no_mongodb, 5, "MongoDB could not be reached"),
        (
            audit.clone().argument("--since=yesterday"),
            2,
            "an age such as",
        ),
        (
            audit.clone().argument("--from-offsets=7:0"),
            2,
            "has no partition 7",
        ),
        (
            audit.clone().set("kafka.topic", "nowhere"),
            2,
            "there is no topic `nowhere`",
        ),
        (audit.set("consumer.batch_size", 0), 2, "batch_size"),
    ] {
        let finished = setup.run();
        assert_eq!(finished.code, Some(code), "{words}: {}", finished.errors);
        assert!(
            finished.errors.contains(words),
            "{words}: {}",
            finished.errors
        );
    }
}
