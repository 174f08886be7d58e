//! The list of all metrics: names, types, labels and help texts.

use prometheus::{Gauge, GaugeVec, Histogram, IntCounter, IntGauge, IntGaugeVec, Registry};

use super::register::{CountersByReason, DELAY_BUCKETS, Registrar, SIZE_BUCKETS, TIME_BUCKETS};

/// One field per metric, or one per label value if the values are known in advance. Those series exist
/// from the start with the value 0, so that a rate over them includes the first event.
pub(super) struct Families {
    pub(super) messages_processed: IntCounter,
    pub(super) processing_errors: CountersByReason,
    pub(super) connection_kafka: IntGauge,
    pub(super) connection_mongodb: IntGauge,
    pub(super) batch_size: Histogram,
    pub(super) batch_limit: IntGauge,
    pub(super) processing_time: Histogram,
    pub(super) lag: IntGaugeVec,
    pub(super) lag_seconds: GaugeVec,
    pub(super) delivery_delay: Histogram,
    pub(super) info: IntGaugeVec,
    pub(super) mongodb_write_time: Histogram,
    pub(super) offset_commit_time: Histogram,
    pub(super) messages_consumed: IntCounter,
    pub(super) messages_stored: IntCounter,
    pub(super) messages_already_stored: IntCounter,
    pub(super) dead_letters: CountersByReason,
    pub(super) in_flight_messages: IntGauge,
    pub(super) in_flight_bytes: IntGauge,
    pub(super) oldest_in_flight: Gauge,
    pub(super) committed_offset: IntGaugeVec,
    pub(super) writers_busy: IntGauge,
    pub(super) writer_threads: IntGauge,
    pub(super) mongodb_retries: IntCounter,
    pub(super) offset_commit_failures: IntCounter,
    pub(super) rebalances_assign: IntCounter,
    pub(super) rebalances_revoke: IntCounter,
    pub(super) rebalances_lost: IntCounter,
    pub(super) assigned_partitions: IntGauge,
    pub(super) leaderless_partitions: IntGauge,
    pub(super) stalled_partitions: IntGauge,
    pub(super) offsets_skipped: IntCounter,
    pub(super) log_resets: IntCounter,
    pub(super) ready: IntGauge,
    pub(super) memory_limit: IntGauge,
    pub(super) memory_worst_case: IntGauge,
    pub(super) poll_interval_exceeded: IntCounter,
    pub(super) mongodb_available: IntGauge,
    pub(super) paused: IntGauge,
    pub(super) paused_by_operator: IntGauge,
    pub(super) paused_by_flood: IntGauge,
    pub(super) log_lines_dropped: IntCounter,
    pub(super) last_reload_successful: IntGauge,
    pub(super) replay_enabled: IntGauge,
    pub(super) letters_waiting: IntGauge,
    pub(super) letters_brought_home: IntCounter,
    pub(super) letters_refused_again: IntCounter,
}

impl Families {
    #[allow(clippy::too_many_lines)] // A list.
    pub(super) fn new(registry: &Registry, reasons: &[&'static str]) -> Self {
        let new = Registrar(registry);

        let connections = new.gauge_by(
            "consumer_active_connections",
            &["target"],
            "Whether the target can be reached (1) or not (0).",
        );
        let rebalances = new.counter_by(
            "consumer_rebalances_total",
            "event",
            "Rebalances that assigned, revoked or lost partitions.",
        );
        new.gauge_by(
            "consumer_build_info",
            &["version"],
            "Always 1; the label is the version.",
        )
        .with_label_values(&[env!("CARGO_PKG_VERSION")])
        .set(1);
        let by_partition = ["topic", "partition"];

        Self {
            messages_processed: new.counter(
                "consumer_messages_processed_total",
                "Messages settled: stored, already stored, or acknowledged as dead letters.",
            ),
            processing_errors: CountersByReason::new(
                new.counter_by(
                    "consumer_processing_errors_total",
                    "reason",
                    "Messages that could not be stored, by reason.",
                ),
                reasons,
            ),
            connection_kafka: connections.with_label_values(&["kafka"]),
            connection_mongodb: connections.with_label_values(&["mongodb"]),
            batch_size: new.histogram(
                "consumer_batch_size",
                &SIZE_BUCKETS,
                "Messages per batch handed to a writer.",
            ),
            batch_limit: new.gauge(
                "consumer_batch_limit",
                "The most messages that the next batch may have.",
            ),
            processing_time: new.histogram(
                "consumer_processing_time_seconds",
                &TIME_BUCKETS,
                "Seconds from taking a message off Kafka until it was settled.",
            ),
            lag: new.gauge_by(
                "consumer_lag",
                &by_partition,
                "Offsets from the committable offset to the end of the partition.",
            ),
            lag_seconds: new.float_gauge_by(
                "consumer_lag_seconds",
                &by_partition,
                "Age of the oldest message that is not committed, by its timestamp; 0 if there is none.",
            ),
            delivery_delay: new.histogram(
                "consumer_delivery_delay_seconds",
                &DELAY_BUCKETS,
                "Seconds from a message's timestamp until it is stored.",
            ),
            info: new.gauge_by(
                "consumer_info",
                &["group", "topic", "instance", "version"],
                "Always 1; the labels name this process.",
            ),
            mongodb_write_time: new.histogram(
                "consumer_mongodb_write_time_seconds",
                &TIME_BUCKETS,
                "Seconds per insert command sent to MongoDB.",
            ),
            offset_commit_time: new.histogram(
                "consumer_offset_commit_time_seconds",
                &TIME_BUCKETS,
                "Seconds per commit of offsets to Kafka.",
            ),
            messages_consumed: new.counter(
                "consumer_messages_consumed_total",
                "Messages taken off Kafka.",
            ),
            messages_stored: new.counter(
                "consumer_messages_stored_total",
                "Messages that MongoDB acknowledged as newly inserted.",
            ),
            messages_already_stored: new.counter(
                "consumer_messages_replayed_total",
                "Messages that were already stored in MongoDB, identical.",
            ),
            dead_letters: CountersByReason::new(
                new.counter_by(
                    "consumer_dead_letters_total",
                    "reason",
                    "Dead letters that Kafka acknowledged, by reason.",
                ),
                reasons,
            ),
            in_flight_messages: new.gauge(
                "consumer_in_flight_messages",
                "Messages taken off Kafka and not yet settled.",
            ),
            in_flight_bytes: new.gauge(
                "consumer_in_flight_bytes",
                "Bytes of the messages taken off Kafka and not yet settled.",
            ),
            oldest_in_flight: new.float_gauge(
                "consumer_oldest_in_flight_seconds",
                "Seconds since the oldest unsettled message was taken off Kafka; 0 if there is none.",
            ),
            committed_offset: new.gauge_by(
                "consumer_committed_offset",
                &by_partition,
                "The last committed offset, which is the next one to read.",
            ),
            writers_busy: new.gauge(
                "consumer_writers_busy",
                "Writer threads that are writing a batch.",
            ),
            writer_threads: new.gauge("consumer_writer_threads", "Writer threads in total."),
            mongodb_retries: new.counter(
                "consumer_mongodb_retries_total",
                "Inserts that were tried again.",
            ),
            offset_commit_failures: new.counter(
                "consumer_offset_commit_failures_total",
                "Commits of offsets that failed.",
            ),
            rebalances_assign: rebalances.with_label_values(&["assign"]),
            rebalances_revoke: rebalances.with_label_values(&["revoke"]),
            rebalances_lost: rebalances.with_label_values(&["lost"]),
            assigned_partitions: new.gauge(
                "consumer_assigned_partitions",
                "Partitions assigned to this process.",
            ),
            leaderless_partitions: new.gauge(
                "consumer_leaderless_partitions",
                "Assigned partitions that have no leader, so that nothing of them can be read.",
            ),
            stalled_partitions: new.gauge(
                "consumer_stalled_partitions",
                "Assigned partitions with work that have not moved on for consumer.stalled_after_ms.",
            ),
            offsets_skipped: new.counter(
                "consumer_offsets_skipped_total",
                "Offsets that retention deleted before they were read: data lost.",
            ),
            log_resets: new.counter(
                "consumer_log_resets_total",
                "Times that a partition's log was found recreated or truncated: unread messages are lost.",
            ),
            ready: new.gauge(
                "consumer_ready",
                "Whether the worker is ready (1) or not (0), as /ready answers.",
            ),
            memory_limit: new.gauge(
                "consumer_memory_limit_bytes",
                "The memory that the container allows; 0 if it sets no limit.",
            ),
            memory_worst_case: new.gauge(
                "consumer_memory_worst_case_bytes",
                "The most memory that the process can take under its configuration.",
            ),
            poll_interval_exceeded: new.counter(
                "consumer_poll_interval_exceeded_total",
                "Times that the poll loop was too slow, so that the group took the partitions away.",
            ),
            mongodb_available: new.gauge(
                "consumer_mongodb_available",
                "Whether MongoDB counts as available (1) or unavailable (0).",
            ),
            paused: new.gauge(
                "consumer_paused",
                "Whether consumption is paused (1) or not (0).",
            ),
            paused_by_operator: new.gauge(
                "consumer_paused_by_operator",
                "Whether an operator has paused the worker (1) or not (0).",
            ),
            paused_by_flood: new.gauge(
                "consumer_paused_by_flood",
                "Whether the worker has paused itself, because too many messages were rejected (1), or not (0).",
            ),
            log_lines_dropped: new.counter(
                "consumer_log_lines_dropped_total",
                "Lines of the log that were dropped, because nobody read them in time.",
            ),
            replay_enabled: new.gauge(
                "consumer_replay_enabled",
                "Whether the worker stores the dead letters of an outage afterwards (1) or not (0).",
            ),
            letters_waiting: new.gauge(
                "consumer_replay_waiting",
                "Offsets of the dead letter topic that the replay after an outage has still to look at or to settle.",
            ),
            letters_brought_home: new.counter(
                "consumer_replay_stored_total",
                "Dead letters of an outage that the worker found stored or stored afterwards.",
            ),
            letters_refused_again: new.counter(
                "consumer_replay_failed_total",
                "Dead letters of an outage that MongoDB refused afterwards: they are dead letters again.",
            ),
            last_reload_successful: new.gauge(
                "consumer_last_reload_successful",
                "Whether the last reload of the configuration could be used (1) or not (0); 1 if there was none.",
            ),
        }
    }
}
