//! The names of the worker's metrics.

pub const ACTIVE_CONNECTIONS: &str = "consumer_active_connections";
pub const ASSIGNED_PARTITIONS: &str = "consumer_assigned_partitions";
pub const BATCH_LIMIT: &str = "consumer_batch_limit";
pub const BATCH_SIZE: &str = "consumer_batch_size";
pub const COMMITTED_OFFSET: &str = "consumer_committed_offset";
pub const COMMIT_TIME: &str = "consumer_offset_commit_time_seconds";
pub const CONSUMED: &str = "consumer_messages_consumed_total";
pub const DEAD_LETTERS: &str = "consumer_dead_letters_total";
pub const IN_FLIGHT_BYTES: &str = "consumer_in_flight_bytes";
pub const IN_FLIGHT_MESSAGES: &str = "consumer_in_flight_messages";
pub const DELIVERY_DELAY: &str = "consumer_delivery_delay_seconds";
pub const INFO: &str = "consumer_info";
pub const LAG_SECONDS: &str = "consumer_lag_seconds";
pub const LAG: &str = "consumer_lag";
pub const LEADERLESS_PARTITIONS: &str = "consumer_leaderless_partitions";
pub const LOG_LINES_DROPPED: &str = "consumer_log_lines_dropped_total";
pub const MONGODB_AVAILABLE: &str = "consumer_mongodb_available";
pub const MONGODB_RETRIES: &str = "consumer_mongodb_retries_total";
pub const OFFSETS_SKIPPED: &str = "consumer_offsets_skipped_total";
pub const OLDEST_IN_FLIGHT: &str = "consumer_oldest_in_flight_seconds";
pub const PAUSED: &str = "consumer_paused";
pub const PAUSED_BY_OPERATOR: &str = "consumer_paused_by_operator";
pub const POLL_INTERVAL_EXCEEDED: &str = "consumer_poll_interval_exceeded_total";
pub const PROCESSED: &str = "consumer_messages_processed_total";
pub const PROCESSING_ERRORS: &str = "consumer_processing_errors_total";
pub const PROCESSING_TIME: &str = "consumer_processing_time_seconds";
pub const REBALANCES: &str = "consumer_rebalances_total";
/// Messages that MongoDB held already, identical.
pub const REPLAYED: &str = "consumer_messages_replayed_total";
pub const RESIDENT_MEMORY: &str = "process_resident_memory_bytes";
pub const STALLED_PARTITIONS: &str = "consumer_stalled_partitions";
pub const STORED: &str = "consumer_messages_stored_total";
pub const WRITERS_BUSY: &str = "consumer_writers_busy";
pub const WRITE_TIME: &str = "consumer_mongodb_write_time_seconds";
