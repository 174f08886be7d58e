//! The rows of the benchmark, one question each.

mod backlog;
pub mod batching;
mod bookkeeping;
mod delayed;
mod growing;
pub mod growth;
mod large;
mod lone;
mod message_kinds;
pub mod over_time;
mod replay;
mod start;

use crate::context::Context;
use crate::report::Row;

pub type Outcome = crate::Result<Row>;

/// A row by its name.
pub struct Entry {
    pub name: &'static str,
    pub about: &'static str,
    /// The duration of a full run on two cores.
    pub estimate: &'static str,
    pub run: fn(&Context) -> Outcome,
}

pub const ALL: [Entry; 14] = [
    Entry {
        name: "backlog-100",
        about: "1,000,000 messages wait, batches of 100: worker, bare loop, peers",
        estimate: "5 min, 12 with peers",
        run: |context| backlog::run(context, 100),
    },
    Entry {
        name: "backlog-1000",
        about: "the same with batches of 1,000",
        estimate: "5 min, 12 with peers",
        run: |context| backlog::run(context, 1000),
    },
    Entry {
        name: "growing",
        about: "the same with batches as shipped, which grow, beside batches of 100, and Kafka Connect at several sizes",
        estimate: "4 min, 12 with peers",
        run: growing::backlog,
    },
    Entry {
        name: "growing-far",
        about: "each insert takes 50 ms more: batches as shipped beside batches of 100",
        estimate: "2 min",
        run: growing::far,
    },
    Entry {
        name: "growing-over-time",
        about: "the size of the batches while a backlog comes and goes",
        estimate: "2 min",
        run: over_time::run,
    },
    Entry {
        name: "large",
        about: "2,000 messages of 1 MB wait: memory",
        estimate: "2 min",
        run: large::run,
    },
    Entry {
        name: "delayed",
        about: "each insert takes 50 ms more: 1, 4 and 16 writers",
        estimate: "2 min",
        run: delayed::run,
    },
    Entry {
        name: "lone",
        about: "messages at 100/s: latency, beside an insert of one's own",
        estimate: "1 min",
        run: lone::run,
    },
    Entry {
        name: "replay",
        about: "the same while the dead letters of an outage are stored, and after that",
        estimate: "4 min",
        run: replay::run,
    },
    Entry {
        name: "start",
        about: "from the start of the process to the first document",
        estimate: "1 min",
        run: start::run,
    },
    Entry {
        name: "bookkeeping",
        about: "what the offsets of a record cost",
        estimate: "15 s",
        run: |context| Ok(bookkeeping::run(context)),
    },
    Entry {
        name: "message-kinds",
        about: "what a message costs by itself: the default's, any object's, and under three JSON Schemas",
        estimate: "30 s",
        run: |context| Ok(message_kinds::run(context)),
    },
    Entry {
        name: "natural-batching",
        about: "batch size and latency from 10 messages a second to a flood",
        estimate: "2 min",
        run: batching::run,
    },
    Entry {
        name: "growth",
        about: "throughput and cost by partitions, replicas, message size and writers",
        estimate: "7 min",
        run: growth::run,
    },
];
