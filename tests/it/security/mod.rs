//! TLS, logins and the least privileges, on servers that demand them.

mod examples;
#[cfg(any(feature = "aws", feature = "oidc"))]
mod http_server;
mod kafka;
#[cfg(feature = "aws")]
mod kafka_iam;
mod kafka_server;
#[cfg(feature = "oidc")]
mod kafka_token;
mod mongodb;
mod mongodb_server;
#[cfg(feature = "aws")]
mod msk;
#[cfg(feature = "oidc")]
mod token_server;

use std::thread;

use crate::harness::{Finished, Worker, WorkerSetup, World};

/// Not a part of any other text.
const PASSWORD: &str = "hunter2-Zauber";

/// What nothing may show: the password, the session of AWS credentials, and the beginnings of the tokens of both kinds, which
/// are in base 64, with what a signed address would contain in clear.
const SECRETS: [&str; 5] = [
    PASSWORD,
    "a/session+token=",
    "eyJhbGciOiJub25lIn0",
    "aHR0cHM6Ly9rYWZrYS",
    "X-Amz-Signature",
];

#[track_caller]
fn assert_no_secret(text: &str, place: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{place} shows `{secret}`");
    }
}

/// Runs a command, which must succeed and show no password.
#[track_caller]
fn run_command(setup: WorkerSetup, command: &str) {
    let add = |setup: WorkerSetup, argument| setup.argument(argument);
    let finished = command.split(' ').fold(setup, add).run();
    let (errors, output) = (&finished.errors, &finished.output);
    assert_eq!(finished.code, Some(0), "{command}: {output}{errors}");
    for text in [errors, output] {
        assert_no_secret(text, command);
    }
}

/// A worker that logs as much as possible.
fn loud(setup: WorkerSetup) -> WorkerSetup {
    setup
        .variable("RUST_LOG", "trace")
        .property("kafka.properties", "debug", "all")
}

/// Nothing that a running worker shows has a secret, with which it has logged in.
#[track_caller]
fn assert_secrets_are_hidden(worker: &mut Worker) {
    for path in ["/", "/status", "/metrics", "/health", "/ready"] {
        let (_, page) = worker.get(path);
        assert_no_secret(&page, path);
    }
    worker.stop();
    for line in worker.log() {
        assert_no_secret(&line.raw, "the log");
    }
    assert_no_secret(&worker.output(), "the output");
}

/// The worker ended with this code, the last line says why, and nothing was done with the messages.
#[track_caller]
fn assert_refused(case: &str, world: &World, finished: &Finished, code: i32, words: &[&str]) {
    assert_eq!(finished.code, Some(code), "{case}: {}", finished.errors);
    let last = finished.log.last().unwrap();
    assert!(last.is_error(), "{case}: {}", last.msg);
    for word in words {
        assert!(last.msg.contains(word), "{case}: {word}: {}", last.msg);
    }
    for output in [&finished.errors, &finished.output] {
        assert_no_secret(output, case);
    }
    assert_eq!(world.dead_letters().len(), 0, "{case}");
    let committed = world.committed();
    let has_begun = |offset: &Option<i64>| offset.unwrap_or(0) != 0;
    assert!(!committed.values().any(has_begun), "{case}: {committed:?}");
}

/// Each of these workers ends for its own reason, without having reached Kafka. They run at the same time.
fn assert_each_is_refused(world: &World, cases: &[(&str, WorkerSetup, [&str; 2])]) {
    thread::scope(|scope| {
        for (case, setup, words) in cases {
            scope.spawn(move || {
                let finished = setup.run();
                assert_refused(case, world, &finished, 3, words);
                assert_refused(case, world, &finished, 3, &["Kafka could not be reached"]);
            });
        }
    });
}
