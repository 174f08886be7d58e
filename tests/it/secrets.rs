//! The worker never prints a password.

use crate::harness::{Finished, WorkerSetup, World};

const SECRET: &str = "hunter2-Zaubert%C3%BCr";
/// The same password, decoded.
const DECODED: &str = "hunter2-Zaubertür";

/// A worker that logs as much as possible.
fn loud(setup: WorkerSetup) -> WorkerSetup {
    setup
        .set("logging.level", "TRACE")
        .variable("RUST_LOG", "trace")
        .set("consumer.max_retries", 1)
        .set("consumer.retry_backoff_ms", 10)
        .property("kafka.properties", "debug", "all")
}

#[track_caller]
fn assert_hidden(finished: &Finished) {
    let pages = [&finished.errors, &finished.output];
    for secret in [SECRET, DECODED, "hunter2"] {
        assert!(
            pages.iter().all(|page| !page.contains(secret)),
            "{secret} was shown"
        );
    }
    assert!(
        !finished.errors.is_empty() || !finished.output.is_empty(),
        "there was no output"
    );
}

fn with_password(world: &World) -> WorkerSetup {
    let credentials = format!("mongodb://worker:{SECRET}@");
    let uri = world.servers.mongodb.replace("mongodb://", &credentials);
    world.worker().set("mongodb.uri", uri)
}

#[test]
fn refused_mongodb_password_is_not_shown() {
    let world = World::new(1);
    let finished = loud(with_password(&world)).run();
    assert_eq!(finished.code, Some(4));
    assert_hidden(&finished);
}

#[test]
fn mongodb_password_is_shown_neither_by_check_nor_in_errors() {
    let world = World::new(1);
    let finished = with_password(&world).argument("check").run();
    assert_eq!(finished.code, Some(0), "{}", finished.errors);
    assert_hidden(&finished);
    for broken in [
        format!("mongodb://worker:{SECRET}@"),
        format!("mongodb://worker:{SECRET}@host/?w=0"),
        format!("mongodb://worker:{SECRET}@host/?noSuchOption=1"),
        format!("mongodb://worker:{SECRET}@host:port/"),
        format!("mongodb:worker:{SECRET}@host"),
        format!("worker:{SECRET}@host"),
    ] {
        let finished = world.worker().set("mongodb.uri", &broken).run();
        assert_ne!(finished.code, Some(0), "{broken}");
        assert_hidden(&finished);
    }
    // A URI under the wrong key.
    let finished = world
        .worker()
        .set("kafka.topic", format!("mongodb://worker:{SECRET}@host"))
        .run();
    assert_eq!(finished.code, Some(2));
    assert_hidden(&finished);
}

#[test]
fn the_value_of_a_refused_kafka_property_is_not_shown() {
    let world = World::new(1);
    for (name, value) in [
        ("sasl.pasword", SECRET.to_owned()),
        // Of Java's clients.
        (
            "sasl.jaas.config",
            format!("Login required password=\"{SECRET}\";"),
        ),
    ] {
        let setup = world.worker().property("kafka.properties", name, &value);
        let setup = setup.property("kafka.producer_properties", "linger.sm", "5");
        for command in ["run", "check", "print-config", "offsets show"] {
            let with_command = |setup: WorkerSetup, word| setup.argument(word);
            let finished = command.split(' ').fold(setup.clone(), with_command).run();
            assert_eq!(finished.code, Some(2), "{command}: {}", finished.errors);
            assert_hidden(&finished);
            for property in [name, "linger.sm"] {
                let names_it = format!("Kafka property `{property}`");
                assert!(finished.errors.contains(&names_it), "{}", finished.errors);
            }
        }
    }
}

#[test]
fn a_malformed_token_configuration_is_not_shown() {
    let world = World::new(1);
    let property =
        |setup: WorkerSetup, (name, value)| setup.property("kafka.properties", name, value);
    let setup = [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "OAUTHBEARER"),
        ("enable.sasl.oauthbearer.unsecure.jwt", "true"),
        ("sasl.oauthbearer.config", SECRET),
    ]
    .into_iter()
    .fold(loud(world.worker()), property);
    let finished = setup.run();
    assert_eq!(finished.code, Some(3), "{}", finished.errors);
    assert_hidden(&finished);
}

#[test]
fn kafka_password_is_not_shown() {
    let world = World::new(1);
    let sasl = |setup: WorkerSetup| {
        setup
            .property("kafka.properties", "security.protocol", "sasl_plaintext")
            .property("kafka.properties", "sasl.mechanism", "PLAIN")
            .property("kafka.properties", "sasl.username", "worker")
            .property("kafka.properties", "sasl.password", SECRET)
    };
    // This Kafka doesn't support SASL, so it can't be reached.
    let finished = loud(sasl(world.worker())).run();
    assert_eq!(finished.code, Some(3), "{}", finished.errors);
    assert_hidden(&finished);
    let finished = sasl(world.worker()).argument("check").run();
    assert_eq!(finished.code, Some(0), "{}", finished.errors);
    assert_hidden(&finished);
    let refused = sasl(world.worker())
        .property("kafka.properties", "acks", "0")
        .run();
    assert_eq!(refused.code, Some(2));
    assert_hidden(&refused);
}
