//! Errors that a real broker doesn't return on demand; a mock broker does.

use std::collections::BTreeMap;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::RDKafkaApiKey as Api;
use rdkafka::types::RDKafkaRespErr as Code;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::settled;
use crate::harness::{Admin, Fate, MINUTE, Message, Producer, SHORT, Servers, World};

const PARTITIONS: i32 = 2;
const ROUNDS: u64 = 4;
const PER_ROUND: u64 = 100;

pub(super) type Cluster = MockCluster<'static, DefaultProducerContext>;

fn world_on_a_mock() -> (Cluster, World) {
    world_on_a_mock_with(PARTITIONS)
}

/// A mock broker with a topic of this many partitions.
pub(super) fn world_on_a_mock_with(partitions: i32) -> (Cluster, World) {
    world_on_mocks(1, partitions)
}

/// So many mock brokers, with ids from 1 on.
pub(super) fn world_on_mocks(brokers: i32, partitions: i32) -> (Cluster, World) {
    let cluster = MockCluster::new(brokers).unwrap();
    let servers = Servers {
        kafka: cluster.bootstrap_servers(),
        ..Servers::of_the_run()
    };
    let mut world = World::bare(servers);
    // The mock can't delete topics, so the world deletes its topics on the shared server, where they don't exist.
    world.admin = Admin::new(&Servers::of_the_run().kafka);
    cluster.create_topic(&world.topic, partitions, 1).unwrap();
    cluster
        .create_topic(&world.dead_letter_topic, 1, 1)
        .unwrap();
    (cluster, world)
}

/// The worker continues while the broker answers requests of this kind with these errors, and the committed
/// offsets never move backwards.
fn continues_despite(api: Api, errors: &[Code]) {
    let (cluster, world) = world_on_a_mock();
    let mut worker = world
        .worker()
        .set("consumer.offset_commit_frequency", 1)
        .set("consumer.offset_commit_interval_ms", 50)
        .consumer_property("heartbeat.interval.ms", "200")
        .consumer_property("session.timeout.ms", "3000")
        .start();
    let producer = Producer::new(&world);
    let mut before: BTreeMap<i32, Option<i64>> = BTreeMap::new();
    for round in 0..ROUNDS {
        if round % 2 == 1 {
            cluster.request_errors(api, errors);
        }
        let first = round * PER_ROUND;
        producer.fill(first..first + PER_ROUND, PARTITIONS);
        producer.send_now(Message::refused("{", "invalid_json").partition(0));
        worker.wait_for("the round is committed", MINUTE, |_| {
            let now = world.committed();
            for (partition, offset) in &before {
                assert!(now[partition] >= *offset, "{before:?}, then {now:?}");
            }
            before.clone_from(&now);
            let ends = world.bounds();
            now.iter()
                .all(|(partition, offset)| *offset == Some(ends[partition].end))
                .then_some(())
        });
    }
    worker.stop();
    worker.assert_no_errors();
    let report = world.check();
    assert_eq!((report.stored, report.dead_lettered), (400, 4));
}

#[test]
fn retriable_commit_errors_are_retried() {
    continues_despite(
        Api::OffsetCommit,
        &[
            Code::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
            Code::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
            Code::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
            Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        ],
    );
}

#[test]
fn commit_during_a_rebalance_is_retried() {
    continues_despite(
        Api::OffsetCommit,
        &[Code::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS; 3],
    );
}

#[test]
fn commit_of_an_old_generation_is_retried() {
    continues_despite(
        Api::OffsetCommit,
        &[Code::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION],
    );
}

#[test]
fn commit_as_an_unknown_member_is_retried() {
    continues_despite(
        Api::OffsetCommit,
        &[Code::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID],
    );
}

#[test]
fn worker_rejoins_after_a_refused_heartbeat() {
    continues_despite(
        Api::Heartbeat,
        &[
            Code::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
            Code::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
        ],
    );
}

#[test]
fn retriable_produce_errors_are_retried() {
    // The test's own producer gets some of these errors as well, and retries, too.
    continues_despite(
        Api::Produce,
        &[
            Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        ],
    );
}

#[test]
fn failed_fetch_is_retried() {
    continues_despite(
        Api::Fetch,
        &[
            Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            Code::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
            Code::RD_KAFKA_RESP_ERR_UNKNOWN,
        ],
    );
}

#[test]
fn unauthorized_commit_stops_the_worker() {
    let (cluster, world) = world_on_a_mock();
    let mut worker = world.worker().start();
    let producer = Producer::new(&world);
    producer.fill(0..PER_ROUND, PARTITIONS);
    worker.wait_until("it works", SHORT, |metrics| settled(metrics) == 100);
    cluster.request_errors(
        Api::OffsetCommit,
        &[Code::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED; 20],
    );
    producer.fill(PER_ROUND..2 * PER_ROUND, PARTITIONS);
    assert_eq!(worker.wait_exit(MINUTE).code(), Some(3));
    worker.logged("Kafka refuses our commits");
}

/// librdkafka asks for a committed offset a second time unless the start is given explicitly, and doesn't ask again
/// after this error.
#[test]
fn partitions_are_read_although_a_second_question_for_their_commits_would_fail() {
    let (cluster, world) = world_on_a_mock();
    commit_the_beginning(&world);
    cluster.request_errors(
        Api::OffsetFetch,
        &[
            Code::RD_KAFKA_RESP_ERR_NO_ERROR,
            Code::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
        ],
    );
    let mut worker = world.worker().start();
    Producer::new(&world).fill(0..PER_ROUND, PARTITIONS);
    worker.wait_until("everything is stored", SHORT, |metrics| {
        settled(metrics) == 100
    });
    worker.stop();
    assert_eq!(world.check().stored, 100);
}

/// Commits offset 0 of each partition for the worker's group.
fn commit_the_beginning(world: &World) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &world.servers.kafka)
        .set("group.id", &world.group)
        .create()
        .unwrap();
    let mut offsets = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        offsets
            .add_partition_offset(&world.topic, partition, Offset::Offset(0))
            .unwrap();
    }
    consumer.commit(&offsets, CommitMode::Sync).unwrap();
}

#[test]
fn the_last_logged_error_is_the_cause_of_the_stop() {
    let (cluster, world) = world_on_a_mock();
    cluster.request_errors(
        Api::JoinGroup,
        &[Code::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED; 50],
    );
    for _ in 0..5 {
        let mut worker = world.worker().start();
        assert_eq!(worker.wait_exit(MINUTE).code(), Some(3));
        let errors = worker.errors();
        let last = errors.last().unwrap();
        assert!(last.msg.contains("GroupAuthorizationFailed"), "{errors:#?}");
    }
}

#[test]
fn missing_dead_letter_topic_stops_the_worker() {
    let (cluster, world) = world_on_a_mock();
    cluster
        .topic_error(
            &world.dead_letter_topic,
            Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
        )
        .unwrap();
    let producer = Producer::new(&world);
    producer.fill(0..PER_ROUND, PARTITIONS);
    producer.send_now(
        Message::refused("{", "invalid_json")
            .partition(0)
            .fate(Fate::Absent),
    );
    let mut worker = world
        .worker()
        .set("consumer.shutdown_timeout_ms", 5000)
        .start();
    assert_eq!(worker.wait_exit(MINUTE).code(), Some(1));
    let stopped = worker.logged("stopped: the record at partition 0, offset 50");
    assert!(stopped.is_error());
    assert!(stopped.msg.contains(&world.dead_letter_topic));
    assert!(stopped.msg.contains("may not see"), "{}", stopped.msg);
    assert_eq!(world.committed()[&0], Some(50));
}

/// A broker that takes a dead letter for a retry answers "duplicate sequence number", and the client reports
/// it as delivered, without an offset. That is no proof that the topic has it.
#[test]
fn dead_letter_reported_as_duplicate_is_sent_again() {
    let (cluster, world) = world_on_a_mock();
    let producer = Producer::new(&world);
    for _ in 0..5 {
        producer.send(Message::refused("{", "invalid_json").partition(0));
    }
    producer.flush();
    cluster.request_errors(
        Api::Produce,
        &[Code::RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER],
    );
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().dead_lettered, 5);
}
