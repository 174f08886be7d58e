//! A gap in the offsets of a partition: compaction and transactions leave some, and retention loses data.

use std::ops::Range;
use std::time::Duration;

use log::{error, warn};

use crate::core::partition::{Offset, TopicPartition};
use crate::kafka::KafkaConsumer;
use crate::observe::metrics::MetricsCollector;

/// How long the poller waits for the answer which offset is the earliest that still exists.
const EARLIEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Finds out whether retention has deleted the records in the `gap`. Compaction and transactions leave gaps as well, but
/// then the log's start lies below the gap.
pub fn check_gap(
    consumer: &KafkaConsumer,
    metrics: &MetricsCollector,
    topic: &str,
    partition: TopicPartition,
    gap: Range<Offset>,
) {
    match consumer.earliest(partition, EARLIEST_TIMEOUT) {
        Ok(earliest) if earliest > gap.start => {
            let to = earliest.min(gap.end);
            let count = to.since(gap.start);
            metrics.increment_offsets_skipped(count);
            error!(topic, partition = partition.number, from = gap.start.0, to = to.0, count;
                "retention has deleted records before this worker read them; they are lost to it");
        }
        Ok(_) => {}
        Err(error) => {
            warn!(topic, partition = partition.number, from = gap.start.0, to = gap.end.0;
                "can't tell whether a gap is lost data: {error}");
        }
    }
}
