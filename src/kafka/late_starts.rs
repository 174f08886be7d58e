//! Begins partitions whose starting offset wasn't known when they were assigned.

use std::sync::atomic::Ordering;
use std::time::Duration;

use log::info;
use rdkafka::consumer::Consumer;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::consumer::KafkaConsumer;
use super::errors::KafkaResult;
use crate::core::partition::TopicPartition;
use crate::core::starting_offset::StartingOffset;

impl KafkaConsumer {
    /// Begins the partitions that wait for their start, at the
    /// beginning of their logs, as far as their brokers say where that is.
    /// Each of its few questions waits up to `timeout`. Fails when a broker doesn't answer; the partitions then go on
    /// waiting.
    pub fn start_waiting_partitions(&self, timeout: Duration) -> KafkaResult<()> {
        let context = self.client().context();
        let waiting = context.assignment.waiting_for_start();
        if waiting.is_empty() {
            return Ok(());
        }
        let queries = self.queries(timeout);
        let mut led = queries.with_leader(&waiting)?;
        if !led.is_empty() {
            // If one partition's broker is silent, a question about all partitions gets no answer. So every
            // second search asks about one partition alone, about each in turn.
            let turn = self.search_turn.fetch_add(1, Ordering::Relaxed);
            if turn % 2 == 1 {
                led = vec![led[turn / 2 % led.len()]];
            }
        }
        if led.is_empty() {
            return Ok(());
        }
        let beginnings = queries.offsets_for(&led, KafkaOffset::Beginning)?;
        let mut list = TopicPartitionList::with_capacity(beginnings.len());
        let mut starts = Vec::with_capacity(beginnings.len());
        for (partition, beginning) in beginnings {
            let start = StartingOffset::First(beginning);
            let offset = KafkaOffset::Offset(start.offset().0);
            list.add_partition_offset(&self.topic().name, partition.number, offset)?;
            starts.push((partition, start));
        }
        if starts.is_empty() {
            return Ok(());
        }
        let answers = self.client().seek_partitions(list, timeout)?;
        let failed = |partition: TopicPartition| {
            let answer = answers.find_partition(&self.topic().name, partition.number);
            answer.and_then(|answer| answer.error().err())
        };
        let mut error = None;
        let mut started = Vec::with_capacity(starts.len());
        for (partition, start) in starts {
            match failed(partition) {
                None => {
                    info!(topic = self.topic().name, partition = partition.number, offset = start.offset().0; "the partition begins here");
                    started.push(context.begin_partition(partition, start));
                }
                failure => error = failure,
            }
        }
        context.listener.started(&started);
        if !started.is_empty() {
            context.adopt_topic_id();
        }
        error.map_or(Ok(()), |error| Err(error.into()))
    }
}
