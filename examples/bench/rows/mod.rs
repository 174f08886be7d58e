//! The rows of the benchmark, one question each.

mod backlog;

use crate::Result;
use crate::context::Context;
use crate::report::Row;

pub type Outcome = Result<Row>;

/// A row by its name.
pub struct Entry {
    pub name: &'static str,
    pub about: &'static str,
    /// Of a full run, on two cores.
    pub estimate: &'static str,
    pub run: fn(&Context) -> Outcome,
}

pub const ALL: [Entry; 2] = [
    Entry {
        name: "backlog-100",
        about: "1,000,000 messages wait, batches of 100: worker, bare loop, peers",
        estimate: "6 min, 16 with peers",
        run: |context| backlog::run(context, 100),
    },
    Entry {
        name: "backlog-1000",
        about: "the same with batches of 1,000",
        estimate: "5 min, 16 with peers",
        run: |context| backlog::run(context, 1000),
    },
];
