//! `audit --repair` against real servers: what it stores, what it leaves, and how it ends early.

use std::collections::BTreeMap;

use bson::{Document, doc};
use serde_json::{Value, json};

use crate::harness::{Fate, MINUTE, Message, Producer, SHORT, Signal, World};
use crate::operator_audit::{audit, settled_world};

/// Removes the documents of these messages, as an operator's mistake would.
fn delete_documents(world: &World, ids: &[&str]) {
    let gone = doc! { "_id": { "$in": ids } };
    let deleted = world.stored().documents().delete_many(gone).run();
    assert_eq!(
        deleted.unwrap().deleted_count,
        u64::try_from(ids.len()).unwrap()
    );
}

/// Makes the group have consumed everything, as far as Kafka knows.
fn commit_to_the_end(world: &World) {
    for (partition, bounds) in world.bounds() {
        world.commit(partition, bounds.end);
    }
}

fn delete_dead_letters(world: &World) {
    let end = i64::try_from(world.dead_letters().len()).unwrap();
    world.admin.delete_records(&world.dead_letter_topic, 0, end);
}

/// The missing messages by partition, of the report of a repair.
fn by_partition(report: &Value, name: &str) -> BTreeMap<i64, i64> {
    let partitions = report["repair"]["partitions"].as_array().unwrap().iter();
    partitions
        .map(|found| {
            let number = |name: &str| found[name].as_i64().unwrap();
            (number("partition"), number(name))
        })
        .collect()
}

#[test]
fn a_repair_stores_what_is_missing_and_dead_letters_what_cannot_be_stored() {
    let world = World::new(3);
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    let producer = Producer::new(&world);
    producer.fill(0..300, 3);
    producer.send_now(
        Message::refused("{", "invalid_json")
            .partition(1)
            .key("a key")
            .header("trace", Some(b"\xff\x00")),
    );
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    let original = &world.dead_letters()[0];
    // The first three are in partition 0, the last one is in partition 1.
    let gone = [
        "msg-00000000",
        "msg-00000003",
        "msg-00000006",
        "msg-00000001",
    ];
    delete_documents(&world, &gone);
    delete_dead_letters(&world);

    let (dry, report) = audit(&world, &["--repair", "--dry-run"]);
    assert_eq!(dry.code, Some(6), "{}", dry.errors);
    assert_eq!(report["missing"], 5);
    assert_eq!(report["repair"]["dry_run"], true);
    assert_eq!(
        by_partition(&report, "to_store"),
        BTreeMap::from([(0, 3), (1, 1)])
    );
    assert_eq!(
        by_partition(&report, "to_dead_letter"),
        BTreeMap::from([(0, 0), (1, 1)])
    );
    assert_eq!(world.stored().count(), 296);
    assert!(world.dead_letters().is_empty());

    let before = world.committed();
    let (repair, report) = audit(&world, &["--repair"]);
    assert_eq!(repair.code, Some(0), "{report}\n{}", repair.errors);
    assert_eq!(report["missing"], 5, "as the audit found them");
    assert_eq!(report["ok"], true);
    assert_eq!(report["repair"]["stored"], 4);
    assert_eq!(
        report["repair"]["dead_lettered_by_reason"],
        json!({"invalid_json": 1})
    );
    assert_eq!(
        by_partition(&report, "stored"),
        BTreeMap::from([(0, 3), (1, 1)])
    );
    assert_eq!(report["repair"]["from_offsets"], Value::Null);
    assert_eq!(world.committed(), before, "a repair commits nothing");

    world.check();
    let letter = &world.dead_letters()[0];
    assert_eq!(letter.source(), original.source());
    assert_eq!(letter.key, original.key);
    assert_eq!(letter.original_headers(), original.original_headers());
    for name in ["dlq.topic", "dlq.timestamp", "dlq.consumer_group"] {
        assert_eq!(letter.header(name), original.header(name), "{name}");
    }
    let (again, report) = audit(&world, &["--repair"]);
    assert_eq!(again.code, Some(0), "{}", again.errors);
    assert_eq!(report["missing"], 0);
    assert_eq!(report["repair"]["partitions"], json!([]));
}

#[test]
fn a_repair_reports_what_is_altered_and_leaves_it() {
    let world = settled_world();
    delete_documents(&world, &["msg-00000007"]);
    let documents = world.stored().documents();
    let change = doc! { "$set": { "name": "changed by someone" } };
    let by_id = doc! { "_id": "msg-00000100" };
    documents.update_one(by_id.clone(), change).run().unwrap();

    let words = ["audit", "--repair"];
    let setup = words
        .iter()
        .fold(world.worker(), |setup, word| setup.argument(word));
    let repair = setup.run();
    assert_eq!(repair.code, Some(6), "{}", repair.errors);
    assert!(
        repair
            .errors
            .contains("0 messages are missing, 1 are altered"),
        "{}",
        repair.errors
    );
    assert!(
        repair
            .output
            .contains("partition 1: 1 missing, 1 stored, 0 dead-lettered"),
        "{}",
        repair.output
    );
    let document: Document = documents.find_one(by_id).run().unwrap().unwrap();
    assert_eq!(document.get_str("name").unwrap(), "changed by someone");
    let (_, report) = audit(&world, &[]);
    assert_eq!(
        (&report["missing"], &report["altered"]),
        (&json!(0), &json!(1))
    );
}

#[test]
fn a_repair_does_not_touch_what_the_group_has_not_consumed() {
    let world = World::new(1);
    Producer::new(&world).fill(0..20, 1);
    world.commit(0, 5);
    let (repair, report) = audit(&world, &["--repair"]);
    assert_eq!(repair.code, Some(0), "{}", repair.errors);
    assert_eq!(
        (&report["missing"], &report["pending"]),
        (&json!(5), &json!(15))
    );
    assert_eq!(report["repair"]["stored"], 5);
    assert_eq!(world.stored().count(), 5);
}

#[test]
fn a_repair_beside_a_worker_that_reads_the_same_again_stores_everything_once() {
    let world = World::with_own_mongodb(3);
    Producer::new(&world).fill(0..12_000, 3);
    commit_to_the_end(&world);
    let fault = doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 100 };
    let slow = world.fail_point("alwaysOn", fault);
    let repair = world.worker().set("consumer.writer_threads", 2);
    let repair = repair
        .argument("audit")
        .argument("--repair")
        .argument("--json");
    let mut repair = repair.start();
    repair.wait_for("it has begun to store", SHORT, |_| {
        (world.stored().count() > 0).then_some(())
    });
    let reset = ["offsets", "reset", "--to-earliest"];
    let reset = reset
        .iter()
        .fold(world.worker(), |setup, word| setup.argument(word));
    let reset = reset.run();
    assert_eq!(reset.code, Some(0), "{}", reset.errors);
    let mut worker = world.worker().start();
    let repair = repair.finish();
    assert_eq!(repair.code, Some(0), "{}", repair.errors);
    let report: Value = serde_json::from_str(&repair.output).unwrap();
    let count = |name: &str| report["repair"][name].as_i64().unwrap();
    assert!(count("already_stored") > 0, "they didn't meet: {report}");
    assert_eq!(count("stored") + count("already_stored"), report["missing"]);
    world.wait_committed_to_end(MINUTE);
    drop(slow);
    worker.stop();
    worker.assert_no_errors();
    world.check();
}

#[test]
fn an_outage_ends_a_repair_and_nothing_is_dead_lettered() {
    let world = World::with_own_mongodb(2);
    Producer::new(&world).fill(0..50, 2);
    commit_to_the_end(&world);
    let fault = doc! { "failCommands": ["insert"], "errorCode": 11600 };
    let outage = world.fail_point("alwaysOn", fault);
    let setup = world.worker().set("consumer.retry_backoff_ms", 10);
    let setup = setup
        .argument("audit")
        .argument("--repair")
        .argument("--json");
    let failed = setup.run();
    drop(outage);
    assert_eq!(failed.code, Some(5), "{}", failed.errors);
    assert!(
        failed.errors.contains("MongoDB could not be reached"),
        "{}",
        failed.errors
    );
    let report: Value = serde_json::from_str(&failed.output).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(report["repair"]["from_offsets"], "0:0,1:0");
    assert!(world.dead_letters().is_empty());
    assert_eq!(world.stored().count(), 0);

    let (repair, report) = audit(&world, &["--repair"]);
    assert_eq!(repair.code, Some(0), "{}", repair.errors);
    assert_eq!(report["repair"]["stored"], 50);
    world.check();
}

#[test]
fn a_repair_that_a_signal_stopped_goes_on_where_it_says() {
    const COUNT: u64 = 6000;
    let world = World::with_own_mongodb(2);
    Producer::new(&world).fill(0..COUNT, 2);
    commit_to_the_end(&world);
    let fault = doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 200 };
    let slow = world.fail_point("alwaysOn", fault);
    let setup = world.worker().set("consumer.writer_threads", 1);
    let setup = setup
        .argument("audit")
        .argument("--repair")
        .argument("--json");
    let mut repairing = setup.start();
    repairing.wait_for("it has stored a part", MINUTE, |_| {
        (world.stored().count() > 1000).then_some(())
    });
    repairing.signal(Signal::Term);
    let stopped = repairing.finish();
    drop(slow);
    assert_eq!(stopped.code, Some(1), "{}", stopped.errors);
    assert!(
        stopped
            .errors
            .contains("the repair was stopped before its end"),
        "{}",
        stopped.errors
    );
    let report: Value = serde_json::from_str(&stopped.output).unwrap();
    assert_eq!(report["ok"], false);
    let stored = report["repair"]["stored"].as_i64().unwrap();
    assert_eq!(
        world.stored().count(),
        stored,
        "what is in flight is settled and counted"
    );
    assert!(stored < i64::try_from(COUNT).unwrap());

    let from = report["repair"]["from_offsets"].as_str().unwrap();
    let (rest, report) = audit(&world, &["--repair", "--from-offsets", from]);
    assert_eq!(rest.code, Some(0), "{}", rest.errors);
    let checked = report["checked"].as_i64().unwrap();
    assert!(
        checked < i64::try_from(COUNT).unwrap(),
        "a part was done: {checked}"
    );
    world.check();
    let (whole, report) = audit(&world, &[]);
    assert_eq!(whole.code, Some(0), "{}", whole.errors);
    assert_eq!(report["stored"], COUNT);
}

#[test]
fn a_document_that_mongodb_refuses_is_dead_lettered_by_a_repair() {
    let world = World::new(1);
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    let producer = Producer::new(&world);
    producer.fill(0..9, 1);
    producer.send_now(
        producer
            .numbered(9, 1, 0)
            .fate(Fate::DeadLettered("write_rejected")),
    );
    commit_to_the_end(&world);
    let validator = doc! { "_id": { "$ne": "msg-00000009" } };
    world
        .mongodb()
        .create_collection("messages")
        .validator(validator)
        .run()
        .unwrap();
    let (dry, report) = audit(&world, &["--repair", "--dry-run"]);
    assert_eq!(dry.code, Some(6), "{}", dry.errors);
    assert_eq!(report["repair"]["to_store"], 10);
    let (repair, report) = audit(&world, &["--repair"]);
    assert_eq!(repair.code, Some(0), "{}", repair.errors);
    assert_eq!(
        (
            &report["repair"]["stored"],
            &report["repair"]["dead_lettered"]
        ),
        (&json!(9), &json!(1))
    );
    world.check();
}

#[test]
fn a_long_audit_shows_its_progress_on_standard_error_alone() {
    let world = World::with_own_mongodb(1);
    Producer::new(&world).fill(0..8000, 1);
    commit_to_the_end(&world);
    // Eight look-ups of a thousand messages: the first line comes after five seconds.
    let fault = doc! { "failCommands": ["find"], "blockConnection": true, "blockTimeMS": 1000 };
    let slow = world.fail_point("alwaysOn", fault);
    let (finished, report) = audit(&world, &["--since", "1h"]);
    drop(slow);
    assert_eq!(finished.code, Some(6), "{}", finished.errors);
    assert_eq!(report["missing"], 8000);
    let line = finished
        .log
        .iter()
        .find(|line| line.msg.starts_with("checked "));
    let line = &line.unwrap_or_else(|| panic!("{}", finished.errors)).msg;
    for words in [
        " messages: ",
        " % of the offsets, ",
        " offsets/s, about ",
        " left",
    ] {
        assert!(line.contains(words), "`{words}` is missing in: {line}");
    }
}
