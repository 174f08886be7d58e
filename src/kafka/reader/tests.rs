//! The reader against a mock cluster, which does what a real broker doesn't do on demand.

use std::io::Write as _;

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;
use crate::core::partition::TopicId;

const TOPIC: &str = "data-topic";
const LIMIT: Duration = Duration::from_secs(20);

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster(brokers: i32) -> Cluster {
    let cluster = MockCluster::new(brokers).unwrap();
    cluster.create_topic(TOPIC, 1, brokers).unwrap();
    cluster
}

fn reader(cluster: &Cluster) -> TopicReader {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let servers = cluster.bootstrap_servers();
    write!(
        file,
        r#"{{"kafka": {{"bootstrap_servers": "{servers}"}}, "mongodb": {{"uri": "mongodb://nowhere"}}}}"#
    )
    .unwrap();
    let mut config = Config::load(file.path(), [("", ""); 0]).unwrap();
    // The mock gives the end of a follower's log, and not its last stable offset.
    let properties = &mut config.kafka.consumer_properties;
    properties.insert("isolation.level".to_owned(), "read_uncommitted".to_owned());
    TopicReader::new(&config, Topic::new(TopicId::CONSUMED, TOPIC), "group").unwrap()
}

fn produce(cluster: &Cluster, records: i32) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        // The mock serves a batch as a whole, also beyond a follower's end.
        .set("batch.num.messages", "10")
        .create()
        .unwrap();
    for number in 0..records {
        let value = number.to_string();
        let record = BaseRecord::<(), _>::to(TOPIC).partition(0).payload(&value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(LIMIT).unwrap();
}

/// Reads until the end, or until nothing comes for `silence`. Returns the number of records, and whether it was
/// the end.
fn read(reader: &mut TopicReader, silence: Duration) -> (usize, bool) {
    let mut records = 0;
    let mut last = Instant::now();
    loop {
        match reader.next(Duration::from_millis(50)).unwrap() {
            Next::Record(_) => {
                records += 1;
                last = Instant::now();
            }
            Next::Nothing if last.elapsed() > silence => return (records, false),
            Next::Nothing => {}
            Next::End => return (records, true),
        }
    }
}

#[test]
fn a_follower_that_stands_below_the_range_does_not_end_it() {
    let cluster = cluster(2);
    cluster.partition_leader(TOPIC, 0, Some(1)).unwrap();
    produce(&cluster, 100);
    cluster.partition_follower(TOPIC, 0, 2).unwrap();
    cluster
        .follower_watermarks(TOPIC, 0, Some(0), Some(50))
        .unwrap();
    let mut reader = reader(&cluster);
    let partition = TopicPartition::consumed(0);
    let range = Ranges::from([(partition, Offset(0)..Offset(100))]);
    reader.read(&range).unwrap();
    let (records, is_end) = read(&mut reader, Duration::from_secs(3));
    assert!(!is_end, "ended after {records} records");
    // The follower gets the rest.
    cluster
        .follower_watermarks(TOPIC, 0, Some(0), Some(100))
        .unwrap();
    let (rest, is_end) = read(&mut reader, LIMIT);
    assert_eq!((records + rest, is_end), (100, true));
}

/// Asks a question that must be refused soon, and returns the error's text.
#[track_caller]
fn refusal<T>(ask: impl FnOnce() -> Result<T, ReadError>) -> String {
    let started = Instant::now();
    let Err(error @ ReadError::Refused { .. }) = ask() else {
        panic!("not refused");
    };
    assert!(started.elapsed() < QUESTION / 2, "{:?}", started.elapsed());
    error.to_string()
}

#[test]
fn a_client_that_may_not_use_the_group_is_refused_at_once() {
    let cluster = cluster(1);
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
    for key in [RDKafkaApiKey::FindCoordinator, RDKafkaApiKey::OffsetFetch] {
        cluster.request_errors(key, &[refused; 100]);
        let reader = reader(&cluster);
        let words = refusal(|| reader.committed(&[TopicPartition::consumed(0)]));
        assert!(words.contains("the consumer group `group`"), "{words}");
        cluster.clear_request_errors(key);
    }
}

#[test]
fn a_client_that_may_not_read_the_topic_is_refused_at_once() {
    let cluster = cluster(1);
    produce(&cluster, 1);
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster.request_errors(RDKafkaApiKey::ListOffsets, &[refused; 100]);
    let mut reader = reader(&cluster);
    let words = refusal(|| reader.bounds());
    assert!(words.contains("the topic `data-topic`"), "{words}");

    cluster.request_errors(RDKafkaApiKey::Fetch, &[refused; 100]);
    let range = Ranges::from([(TopicPartition::consumed(0), Offset(0)..Offset(1))]);
    reader.read(&range).unwrap();
    let words = refusal(|| reader.next(LIMIT).map(drop));
    assert!(words.contains("the topic `data-topic`"), "{words}");
}

#[test]
fn the_offset_of_an_end_is_found_in_the_text_of_the_client() {
    for (words, expected) in [
        (
            "Fetch from broker 1 reached end of partition at offset 17 (HighwaterMark 19)",
            Some(Offset(17)),
        ),
        ("reached end of partition at offset INVALID", None),
        ("Broker: Unknown partition", None),
    ] {
        assert_eq!(end_named_in(words), expected, "{words}");
    }
}
