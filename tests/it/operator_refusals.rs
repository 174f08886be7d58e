//! Commands that Kafka refuses: the exit code, and the words for what is missing.

use std::time::Instant;

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::types::RDKafkaApiKey as Api;
use rdkafka::types::RDKafkaRespErr as Code;

use crate::harness::{Admin, Finished, SHORT, Servers, WorkerSetup, World};

type Cluster = MockCluster<'static, DefaultProducerContext>;

/// Runs a command that must be refused, and soon.
#[track_caller]
fn refused(setup: &WorkerSetup, words: &[&str]) {
    let started = Instant::now();
    let finished: Finished = setup.run();
    assert_eq!(finished.code, Some(4), "{}", finished.errors);
    assert!(
        finished.errors.contains("Kafka refused us"),
        "{}",
        finished.errors
    );
    for words in words {
        assert!(
            finished.errors.contains(words),
            "{words}: {}",
            finished.errors
        );
    }
    assert!(started.elapsed() < SHORT / 3, "{:?}", started.elapsed());
}

fn with_arguments(world: &World, arguments: &str) -> WorkerSetup {
    arguments
        .split(' ')
        .fold(world.worker(), WorkerSetup::argument)
}

/// A mock cluster with both topics, and a world on it.
fn world_on_a_mock() -> (Cluster, World) {
    let cluster = MockCluster::new(1).unwrap();
    let servers = Servers {
        kafka: cluster.bootstrap_servers(),
        ..Servers::of_the_run()
    };
    let mut world = World::bare(servers);
    // The mock can't delete topics, so the world deletes its topics on the shared server, where they don't exist.
    world.admin = Admin::new(&Servers::of_the_run().kafka);
    for topic in [&world.topic, &world.dead_letter_topic] {
        cluster.create_topic(topic, 1, 1).unwrap();
    }
    (cluster, world)
}

#[test]
fn a_missing_right_is_named_at_once() {
    let (cluster, world) = world_on_a_mock();
    let group = format!("the consumer group `{}`", world.group);
    let replay_group = format!("the consumer group `{}.replay.invalid_json`", world.group);
    let topic = format!("the topic `{}`", world.topic);
    let dead_letter_topic = format!("the topic `{}`", world.dead_letter_topic);
    let group_refused = Code::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
    let topic_refused = Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    for (arguments, api, code, thing) in [
        (
            "dead-letters replay --reason invalid_json",
            Api::FindCoordinator,
            group_refused,
            &replay_group,
        ),
        ("audit", Api::FindCoordinator, group_refused, &group),
        ("audit", Api::OffsetFetch, group_refused, &group),
        ("audit", Api::ListOffsets, topic_refused, &topic),
        (
            "dead-letters list",
            Api::ListOffsets,
            topic_refused,
            &dead_letter_topic,
        ),
        (
            "dead-letters show 0 0",
            Api::ListOffsets,
            topic_refused,
            &dead_letter_topic,
        ),
    ] {
        cluster.request_errors(api, &[code; 1000]);
        refused(
            &with_arguments(&world, arguments),
            &["grant it `Read`", thing],
        );
        cluster.clear_request_errors(api);
    }
}

#[test]
fn credentials_that_a_broker_does_not_accept_are_named_at_once() {
    // The server of the tests takes no credentials at all.
    let world = World::new(1);
    let setup = [
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "somebody"),
        ("sasl.password", "something"),
    ]
    .into_iter()
    .fold(
        with_arguments(&world, "dead-letters list"),
        |setup, (name, value)| setup.property("kafka.properties", name, value),
    );
    refused(
        &setup,
        &[
            "doesn't accept this client's credentials",
            "`kafka.properties`",
        ],
    );
}

#[test]
fn a_replay_whose_commits_are_refused_names_the_refusal() {
    let (cluster, world) = world_on_a_mock();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .create()
        .unwrap();
    // A replay passes over it, and commits that.
    let record = BaseRecord::<(), _>::to(&world.dead_letter_topic).payload("something else");
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(SHORT).unwrap();
    let refused = Code::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
    cluster.request_errors(Api::OffsetCommit, &[refused; 1000]);
    for _ in 0..5 {
        let finished = with_arguments(&world, "dead-letters replay --reason invalid_json").run();
        assert_ne!(finished.code, Some(0));
        let words = "Kafka refuses our commits";
        assert!(finished.errors.contains(words), "{}", finished.errors);
    }
}
