//! Replays after an outage of MongoDB, and replays that an outage, a signal or a fault ends.

use bson::doc;

use super::{UNAVAILABLE, after_an_outage, command, count, replay};
use crate::harness::{
    Fate, Json, MINUTE, Message, Only, OwnServers, Producer, SHORT, Signal, Worker, World,
};
use crate::operator_audit::audit;

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
fn a_signal_after_the_last_letter_was_read_interrupts_a_replay_whose_letters_hang() {
    let world = after_an_outage(1, 100);
    let fail_point = world.fail_point(
        "alwaysOn",
        doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 20_000 },
    );
    let mut hanging = command(&world, "replay --reason mongodb_unavailable")
        .set("consumer.shutdown_timeout_ms", 1000)
        .start();
    hanging.wait_for_log("read 100 of 100 dead letters", SHORT);
    hanging.signal(Signal::Term);
    let interrupted = hanging.finish();
    assert_eq!(interrupted.code, Some(0), "{}", interrupted.errors);
    assert_eq!(count(&interrupted, "not settled"), 100);
    let words = "interrupted: the same command continues";
    assert!(interrupted.output.contains(words), "{interrupted:?}");
    drop(fail_point);
    let finished = replay(&world, "--reason mongodb_unavailable");
    assert_eq!(world.stored().count(), 100);
    assert_eq!(count(&finished, "mongodb_unavailable: taken"), 100);
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
