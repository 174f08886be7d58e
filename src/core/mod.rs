//! What the worker decides: pure code, without I/O and without a clock of its own. Time is an argument.
//!
//! Nothing here knows Kafka's or MongoDB's client, the configuration or the metrics.

pub mod availability;
pub mod batch_limit;
pub mod batching;
pub mod commit_schedule;
pub mod commit_text;
pub mod dead_letter;
pub mod document;
pub mod drain;
pub mod end_offset;
pub mod evidence;
pub mod flood;
pub mod leader_watch;
pub mod offset_tracker;
pub mod pace;
pub mod partition;
pub mod record;
pub mod record_run;
pub mod rejection;
pub mod room;
pub mod stall;
pub mod starting_offset;
pub mod time_limits;
pub mod write_plan;
