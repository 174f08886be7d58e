//! What the worker says about the dead letter topic at the start, and without the right to write to it.

use rdkafka::types::RDKafkaApiKey as Api;
use rdkafka::types::RDKafkaRespErr as Code;

use super::broker_errors::world_on_a_mock_with;
use super::logged;
use crate::harness::{
    Fate, MINUTE, Message, Only, OwnServers, Producer, SHORT, World, forbid_writing,
    wait_for_commits,
};

#[test]
fn missing_right_to_write_dead_letters_is_named_at_the_start_and_at_the_first_letter() {
    let (cluster, world) = world_on_a_mock_with(1);
    // Kafka's answer to an idempotent producer that may write to no topic.
    cluster.request_errors(
        Api::InitProducerId,
        &[Code::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED; 50],
    );
    let mut worker = world.worker().start();
    let right = format!("WRITE on topic `{}`", world.dead_letter_topic);
    let said = worker.wait_for_log("nothing can be written to the topic", SHORT);
    assert!(said.is_error() && said.msg.contains(&right), "{}", said.msg);

    // The broker refuses every idempotent producer.
    let producer = Producer::with(&world, &[("enable.idempotence", "false")]);
    producer.send_now(Message::refused("{", "invalid_json"));
    assert_eq!(worker.wait_exit(MINUTE).code(), Some(1));
    let stopped = worker.logged("stopped: the record at partition 0, offset 0");
    for part in [&right, "IDEMPOTENT_WRITE", "Cluster authorization failed"] {
        assert!(stopped.msg.contains(part), "{part}: {}", stopped.msg);
    }
    assert_eq!(logged(&worker, "nothing can be written").len(), 1);
}

/// Kafka tells a producer at its start whether it may write to any topic at all. Whether it may write to this one, Kafka
/// tells at the first letter.
#[test]
fn missing_right_to_write_to_the_dead_letter_topic_alone_is_named_at_the_first_letter() {
    let own = OwnServers::start("faults-dead-letter-rights", Only::KafkaWithAcls);
    let world = World::on(own.servers(), 1);
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    forbid_writing(&world.servers.kafka, &world.dead_letter_topic);
    let producer = Producer::new(&world);
    producer.fill(0..10, 1);
    let mut worker = world.worker().start();
    world.wait_committed_to_end(MINUTE);
    assert!(worker.is_ready());
    worker.assert_no_errors();
    producer.send_now(Message::refused("{", "invalid_json").fate(Fate::Absent));
    assert_eq!(worker.wait_exit(MINUTE).code(), Some(1));
    let right = format!("WRITE on topic `{}`", world.dead_letter_topic);
    let stopped = worker.logged("stopped: the record at partition 0, offset 10");
    assert!(stopped.msg.contains(&right), "{}", stopped.msg);
    wait_for_commits(&world, &[10]);
}

#[test]
fn weak_points_of_a_fresh_dead_letter_topic_are_one_warning() {
    let world = World::new(1);
    // The retention is Kafka's default.
    world.admin.create_topic(
        &world.dead_letter_topic,
        1,
        &[("retention.ms", "604800000")],
    );
    let mut worker = world.worker().start();
    let warning = worker.wait_for_log("may lose dead letters", SHORT).msg;
    for part in ["`max.message.bytes`", "`retention.ms`", "single copy"] {
        assert!(warning.contains(part), "{part}: {warning}");
    }
    worker.stop();
    let about_it = format!("the dead letter topic `{}`", world.dead_letter_topic);
    assert_eq!(logged(&worker, &about_it).len(), 1);
}
