//! Kafka with logins by token (`OAUTHBEARER`), which the worker gets from an identity provider.

use super::kafka_server::{Login, SecureKafka};
use super::token_server::{FUTURE, start_token_server};
use super::{assert_each_is_refused, assert_secrets_are_hidden, loud, run_command};
use crate::harness::{MINUTE, Producer, Resource, Right, WorkerSetup, World, allow};

#[test]
fn worker_logs_in_by_tokens_and_faults_are_named() {
    let server = SecureKafka::start("security-token");
    let tokens = start_token_server(&server.authority.server("tokens"));
    let world = World::on(server.servers(), 1);
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    let principal = Login::Token.principal();
    for (right, resource) in [
        (Right::Read, Resource::Topic(&world.topic)),
        (Right::Read, Resource::Group(&world.group)),
        (Right::Write, Resource::Topic(&world.dead_letter_topic)),
    ] {
        allow(&world.servers.kafka, principal, right, resource);
    }
    let producer = Producer::new(&world);
    producer.fill(0..10, 1);
    let worker = || {
        let setup = server.log_in(world.worker(), Login::Token);
        let authority = server.authority.file.to_str().unwrap();
        property(setup, "token.endpoint.url", &tokens.address)
            .property("kafka.properties", "https.ca.location", authority)
            // On a busy machine an attempt may time out.
            .set("consumer.max_retries", 2)
    };
    check_that_faults_are_named(&world, &worker());

    let mut running = loud(worker()).start();
    world.wait_committed_to_end(MINUTE);
    let given = tokens.given();
    // The consumer's and the producer's, each before the first one ends.
    running.wait_for("the next tokens", MINUTE, |_| {
        (tokens.given() >= given + 2).then_some(())
    });
    producer.fill(10..20, 1);
    world.wait_committed_to_end(MINUTE);
    running.wait_ready();
    assert_secrets_are_hidden(&mut running);
    world.check();
    for command in ["check --connect", "offsets show"] {
        run_command(worker(), command);
    }
}

fn property(setup: WorkerSetup, name: &str, value: &str) -> WorkerSetup {
    setup.property(
        "kafka.properties",
        &format!("sasl.oauthbearer.{name}"),
        value,
    )
}

fn check_that_faults_are_named(world: &World, worker: &WorkerSetup) {
    let worker = || worker.clone();
    let secret = "`sasl.oauthbearer.client.secret`";
    let cases: [(&str, WorkerSetup, [&str; 2]); 4] = [
        (
            "a token server of an unknown authority",
            worker().property("kafka.properties", "https.ca.location", ""),
            ["certificate", "`sasl.oauthbearer.token.endpoint.url`"],
        ),
        (
            "a token server that is away",
            property(worker(), "token.endpoint.url", "http://127.0.0.1:1/token"),
            ["127.0.0.1", "`sasl.oauthbearer.token.endpoint.url`"],
        ),
        (
            "a wrong secret",
            property(worker(), "client.secret", "wrong"),
            ["invalid_client", secret],
        ),
        (
            "a token that the broker refuses",
            property(worker(), "client.id", FUTURE),
            ["invalid_token", secret],
        ),
    ];
    assert_each_is_refused(world, &cases);
}
