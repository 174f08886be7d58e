//! Begins partitions whose starting offset wasn't known when they were assigned.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use log::info;
use rdkafka::consumer::Consumer;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::consumer::KafkaConsumer;
use super::errors::KafkaResult;
use crate::core::partition::TopicPartition;
use crate::core::starting_offset::{FirstStart, StartingOffset};

impl KafkaConsumer {
    /// Begins the partitions that wait for their start, as far as their brokers say where their logs begin and end.
    /// Each of its few questions waits up to `timeout`. Fails when a broker doesn't answer; the partitions then go on
    /// waiting.
    pub fn start_waiting_partitions(&self, timeout: Duration) -> KafkaResult<()> {
        let context = self.client().context();
        let waiting: BTreeMap<TopicPartition, FirstStart> =
            context.assignment.waiting_for_start().into_iter().collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let queries = self.queries(timeout);
        let mut led = queries.with_leader(&waiting.keys().copied().collect::<Vec<_>>())?;
        if !led.is_empty() {
            // If one partition's broker is silent, a question about all partitions gets no answer. So every
            // second search asks about one partition alone, about each in turn.
            let turn = self.search_turn.fetch_add(1, Ordering::Relaxed);
            if turn % 2 == 1 {
                led = vec![led[turn / 2 % led.len()]];
            }
        }
        let bounds = queries.bounds(&led)?;
        let mut list = TopicPartitionList::with_capacity(bounds.len());
        let mut starts = Vec::with_capacity(bounds.len());
        for (partition, bounds) in bounds {
            let start = StartingOffset::decide(None, bounds, waiting[&partition]);
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
                    info!(partition = partition.number, offset = start.offset().0; "the partition begins here");
                    started.push(context.begin_partition(partition, start));
                }
                failure => error = failure,
            }
        }
        context.listener.started(&started);
        error.map_or(Ok(()), |error| Err(error.into()))
    }
}
