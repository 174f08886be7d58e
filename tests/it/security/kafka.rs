//! Kafka with TLS, logins and access control.

use std::fs;

use super::kafka_server::{Login, SecureKafka};
use super::mongodb_server::listen_with_an_expired_certificate;
use super::{
    PASSWORD, assert_each_is_refused, assert_refused, assert_secrets_are_hidden, loud, run_command,
};
use crate::harness::{
    Authority, MINUTE, Message, Producer, Resource, Right, Signal, WorkerSetup, World, allow,
};

const LOGINS: [Login; 3] = [Login::Scram, Login::Plain, Login::Certificate];

/// What docs/SECURITY.md lists.
fn grant_the_least(world: &World, login: Login) {
    let kafka = &world.servers.kafka;
    let dead_letters = Resource::Topic(&world.dead_letter_topic);
    for (right, resource) in [
        (Right::Read, Resource::Topic(&world.topic)),
        (Right::Read, Resource::Group(&world.group)),
        (Right::Write, dead_letters),
        (Right::DescribeConfigs, dead_letters),
    ] {
        allow(kafka, login.principal(), right, resource);
    }
}

#[test]
fn worker_logs_in_over_tls_with_the_least_rights_and_faults_are_named() {
    let server = SecureKafka::start("security-kafka");
    let world = World::on(server.servers(), 1);
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    let producer = Producer::new(&world);
    producer.fill(0..10, 1);
    check_that_faults_are_named(&server, &world);

    for (login, first) in LOGINS.into_iter().zip([10, 20, 30]) {
        grant_the_least(&world, login);
        producer.fill(first..first + 10, 1);
        producer.send_now(Message::refused("{", "invalid_json"));
        let mut worker = loud(worker(&server, &world, login)).start();
        world.wait_committed_to_end(MINUTE);
        worker.wait_ready();
        assert_secrets_are_hidden(&mut worker);
        // Of the dead letter topic.
        assert!(!worker.has_logged("can't look at"), "{login:?}");
    }
    world.check();
    check_commands(&server, &world);
}

#[test]
fn the_rights_that_a_replay_after_an_outage_needs_are_named() {
    let server = SecureKafka::start("security-kafka-replay");
    let world = World::on(server.servers(), 1);
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    Producer::new(&world).fill(0..10, 1);
    let login = Login::Scram;
    grant_the_least(&world, login);
    let setup = worker(&server, &world, login).set("mongodb.replay_after_outage", true);
    let replay = format!("{}.replay.mongodb_unavailable", world.group);
    let kafka = &world.servers.kafka;
    for (right, resource) in [
        ("`Read` on the consumer group", Resource::Group(&replay)),
        (
            "`Read` on the topic",
            Resource::Topic(&world.dead_letter_topic),
        ),
    ] {
        let finished = setup.run();
        assert_eq!(finished.code, Some(3), "{}", finished.errors);
        let last = &finished.log.last().unwrap().msg;
        assert!(
            last.contains(right) && last.contains(".replay") | last.contains(".dead"),
            "{last}"
        );
        allow(kafka, login.principal(), Right::Read, resource);
    }
    let mut worker = setup.start();
    world.wait_committed_to_end(MINUTE);
    crate::harness::until("it is a member of the replay's group", MINUTE, || {
        (world.replaying_members() == 1).then_some(())
    });
    run_command(setup, "check --connect");
    worker.stop();
    world.check();
}

#[test]
fn a_new_login_in_the_file_is_used_while_the_worker_runs() {
    let server = SecureKafka::start("security-kafka-renewal");
    let world = World::on(server.servers(), 1);
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    let producer = Producer::new(&world);
    producer.fill(0..10, 1);
    grant_the_least(&world, Login::Plain);
    // Without the right to look at the dead letter topic's settings, which is missed in the log.
    let kafka = &world.servers.kafka;
    let operator = Login::Operator.principal();
    for (right, resource) in [
        (Right::Read, Resource::Topic(&world.topic)),
        (Right::Read, Resource::Group(&world.group)),
        (Right::Write, Resource::Topic(&world.dead_letter_topic)),
    ] {
        allow(kafka, operator, right, resource);
    }
    let file = world.path("properties");
    let write = |properties: String| fs::write(&file, properties).unwrap();
    write(server.properties(Login::Plain));
    let mut worker = world
        .worker()
        .set(
            "kafka.bootstrap_servers",
            server.at("127.0.0.1", Login::Plain),
        )
        .variable("CONSUMER__KAFKA__PROPERTIES_FILE", file.display())
        .start();
    world.wait_committed_to_end(MINUTE);
    worker.wait_ready();

    write(
        server
            .properties(Login::Operator)
            .replace(PASSWORD, "wrong"),
    );
    worker.signal(Signal::Hup);
    let line = worker.wait_for_log("the configuration can't be reloaded", MINUTE);
    assert!(line.msg.contains("credentials"), "{}", line.msg);
    producer.fill(10..20, 1);
    world.wait_committed_to_end(MINUTE);
    assert!(!worker.has_logged("can't look at"));

    write(server.properties(Login::Operator));
    worker.signal(Signal::Hup);
    worker.wait_for_log("can't look at the dead letter topic's settings", MINUTE);
    producer.fill(20..30, 1);
    producer.send_now(Message::refused("{", "invalid_json"));
    world.wait_committed_to_end(MINUTE);
    assert_secrets_are_hidden(&mut worker);
    world.check();
}

fn worker(server: &SecureKafka, world: &World, login: Login) -> WorkerSetup {
    server
        .log_in(world.worker(), login)
        // On a busy machine an attempt may time out.
        .set("consumer.max_retries", 3)
}

fn check_that_faults_are_named(server: &SecureKafka, world: &World) {
    let worker = |login| worker(server, world, login);
    let property =
        |setup: WorkerSetup, name, value| setup.property("kafka.properties", name, value);
    let foreign = Authority::new(&world.path("foreign"), "foreign").file;
    let elsewhere = server.at("localhost", Login::Scram);
    let without_certificate = property(worker(Login::Certificate), "ssl.key.location", "");
    let expired = listen_with_an_expired_certificate(&server.authority);
    let cases: [(&str, WorkerSetup, [&str; 2]); 7] = [
        (
            "wrong password of SCRAM",
            property(worker(Login::Scram), "sasl.password", "wrong"),
            ["Authentication failed", "`sasl.password`"],
        ),
        (
            "wrong password of PLAIN",
            property(worker(Login::Plain), "sasl.password", "wrong"),
            ["Authentication failed", "`sasl.password`"],
        ),
        (
            "unknown authority",
            property(
                worker(Login::Scram),
                "ssl.ca.location",
                foreign.to_str().unwrap(),
            ),
            ["certificate verify failed", "`ssl.ca.location`"],
        ),
        (
            "wrong host name",
            worker(Login::Scram).set("kafka.bootstrap_servers", elsewhere),
            ["certificate verify failed", "`kafka.bootstrap_servers`"],
        ),
        (
            "expired certificate",
            worker(Login::Scram).set("kafka.bootstrap_servers", expired),
            ["certificate verify failed", "has expired"],
        ),
        (
            "no certificate of the client",
            property(without_certificate, "ssl.certificate.location", ""),
            ["certificate", "`ssl.certificate.location`"],
        ),
        (
            "no rights",
            worker(Login::Scram),
            ["Kafka", "`Read` on the topic"],
        ),
    ];
    assert_each_is_refused(world, &cases);

    let topic = Resource::Topic(&world.topic);
    let principal = Login::Scram.principal();
    allow(&world.servers.kafka, principal, Right::Read, topic);
    let finished = worker(Login::Scram).run();
    let words = ["Kafka", "`Read` on the consumer group"];
    assert_refused("no right on the group", world, &finished, 3, &words);
}

/// Each command has the rights that docs/SECURITY.md lists, and those of the commands before it.
fn check_commands(server: &SecureKafka, world: &World) {
    let run = |login, command| run_command(worker(server, world, login), command);
    for command in [
        "check --connect",
        "offsets show",
        "offsets reset --to-latest",
    ] {
        run(Login::Scram, command);
    }
    let operator = Login::Operator;
    let give = |right, resource| {
        allow(&world.servers.kafka, operator.principal(), right, resource);
    };
    let dead_letters = Resource::Topic(&world.dead_letter_topic);
    let replay = format!("{}.replay.invalid_json", world.group);
    give(Right::Read, dead_letters);
    give(Right::Read, Resource::Group(&replay));
    let elsewhere = format!("{}-elsewhere", world.topic);
    world.admin.create_topic(&elsewhere, 1, &[]);
    give(Right::Write, Resource::Topic(&elsewhere));
    let replay_to = format!("dead-letters replay --reason invalid_json --to {elsewhere}");
    run(operator, &replay_to);
    world.admin.delete_topics(&[&elsewhere]);
    give(Right::Write, dead_letters);
    run(
        operator,
        "dead-letters replay --reason invalid_json --from-beginning",
    );
    give(Right::Read, Resource::Group(&world.group));
    for command in ["dead-letters list", "dead-letters show 0 0"] {
        run(operator, command);
    }
    give(Right::Read, Resource::Topic(&world.topic));
    for command in [
        "check --sample 10 --from-beginning",
        "audit",
        "audit --repair",
    ] {
        run(operator, command);
    }
}
