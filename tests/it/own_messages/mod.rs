//! Messages of other kinds than the specification's: `message.schema`, `message.id` and `mongodb.indexes`.

mod documentation;
mod ids;
mod indexes;
mod schemas;

use std::fs;

use bson::{Bson, Document, doc};
use mongodb::sync::Collection;
use serde_json::Value;

use crate::harness::{Finished, SHORT, WorkerSetup, World};

/// A worker that takes everything from this configuration but the servers and the names of this world.
fn worker_of(world: &World, name: &str, config: &str) -> WorkerSetup {
    let file = world.path(&format!("{name}.json"));
    fs::write(&file, config).unwrap();
    world.worker().config_file(file)
}

#[track_caller]
fn run(setup: WorkerSetup, arguments: &str) -> Finished {
    let finished = arguments
        .split(' ')
        .fold(setup, WorkerSetup::argument)
        .run();
    assert_eq!(finished.code, Some(0), "{arguments}: {}", finished.errors);
    finished
}

#[track_caller]
fn report(setup: &WorkerSetup, arguments: &str) -> Value {
    let output = run(setup.clone(), arguments).output;
    serde_json::from_str(&output).unwrap()
}

/// Lets a worker settle all that is in the topic.
#[track_caller]
fn settle(world: &World, setup: &WorkerSetup) {
    let mut worker = setup.start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    worker.assert_no_errors();
}

fn collection(world: &World, name: &str) -> Collection<Document> {
    world.mongodb().collection(name)
}

fn ids(collection: &Collection<Document>) -> Vec<Bson> {
    let documents = collection
        .find(doc! {})
        .sort(doc! { "_id": 1 })
        .run()
        .unwrap();
    documents
        .map(|document| document.unwrap().remove("_id").unwrap())
        .collect()
}

/// The reasons of the dead letters, in the order of their messages.
fn reasons(world: &World) -> Vec<(i64, String)> {
    let letters = world.dead_letters();
    let mut reasons: Vec<_> = letters
        .iter()
        .map(|letter| (letter.source().1, letter.reason().to_owned()))
        .collect();
    reasons.sort();
    reasons
}

fn owned((offset, reason): (i64, &str)) -> (i64, String) {
    (offset, reason.to_owned())
}

/// Audits, and compares how many messages are stored and dead-lettered.
#[track_caller]
fn assert_audited(setup: &WorkerSetup, expected: [i64; 2]) {
    let audited = report(setup, "audit --json");
    let found = [&audited["stored"], &audited["dead_lettered"]];
    assert_eq!(found, expected, "{audited}");
}
