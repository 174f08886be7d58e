//! The events of a run with their times. They are printed if the run fails, and they explain the errors of
//! workers.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::draw::{How, InsertFault, ServerFaultKind, WorkerFault};

pub struct Timeline {
    seed: u64,
    started: Instant,
    entries: Vec<(Duration, String)>,
    faults: Vec<Fault>,
    /// The process ids of workers that were frozen, and when they continued.
    frozen: Vec<(u32, Timestamp)>,
    /// How many disturbances of each kind there were.
    disturbances: BTreeMap<&'static str, u64>,
}

struct Fault {
    kind: ServerFaultKind,
    began: Timestamp,
    ended: Option<Timestamp>,
}

/// How long after a fault a worker may still report errors: attempts and timeouts that began during the fault.
const AFTERMATH: Duration = Duration::from_secs(45);

/// The times in logs are rounded to milliseconds.
const MILLISECOND: Duration = Duration::from_millis(1);

impl Timeline {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            started: Instant::now(),
            entries: Vec::new(),
            faults: Vec::new(),
            frozen: Vec::new(),
            disturbances: BTreeMap::new(),
        }
    }

    pub fn note(&mut self, what: impl Into<String>) {
        let entry = (self.started.elapsed(), what.into());
        if std::env::var_os("CHAOS_VERBOSE").is_some() {
            eprintln!("{}", line(&entry));
        }
        self.entries.push(entry);
    }

    pub fn disturbances(&self) -> &BTreeMap<&'static str, u64> {
        &self.disturbances
    }

    pub fn worker_fault_begins(&mut self, worker: usize, fault: WorkerFault) {
        self.note(format!("worker {worker}: {fault:?}"));
        *self.disturbances.entry(fault.name()).or_default() += 1;
    }

    pub fn fault_begins(&mut self, kind: ServerFaultKind) {
        self.note(format!("{kind:?}"));
        *self.disturbances.entry(kind.name()).or_default() += 1;
        self.faults.push(Fault {
            kind,
            began: Timestamp::now(),
            ended: None,
        });
    }

    pub fn fault_ends(&mut self) {
        if let Some(fault) = self.faults.last_mut() {
            fault.ended = Some(Timestamp::now());
            let kind = fault.kind;
            self.note(format!("{kind:?} is over"));
        }
    }

    pub fn worker_continues(&mut self, process: u32) {
        self.frozen.push((process, Timestamp::now()));
    }

    /// Whether this worker was frozen before this time. The time limits of a dead letter and of a stop go on while the
    /// worker is frozen, so they may be over when it continues.
    pub fn explains_lateness(&self, worker: u32, at: Timestamp) -> bool {
        self.frozen.iter().any(|&(process, continued)| {
            process == worker && at >= continued - MILLISECOND && at <= continued + AFTERMATH
        })
    }

    /// Whether a fault explains that MongoDB counted as unavailable around this time.
    pub fn explains_outage(&self, at: Timestamp) -> bool {
        self.around(at)
            .any(|kind| !matches!(kind, ServerFaultKind::BrokerKilled))
    }

    /// Whether the broker was down around this time.
    pub fn explains_lost_broker(&self, at: Timestamp) -> bool {
        self.around(at)
            .any(|kind| matches!(kind, ServerFaultKind::BrokerKilled))
    }

    /// Whether MongoDB denied the privilege to insert around this time.
    pub fn explains_refusal(&self, at: Timestamp) -> bool {
        self.around(at)
            .any(|kind| matches!(kind, ServerFaultKind::Inserts(InsertFault::Code(13), _)))
    }

    /// Whether MongoDB refused some inserts with an unknown error while it accepted others. A worker can't tell
    /// that from a fault of the messages.
    pub fn explains_rejections(&self) -> bool {
        self.faults.iter().any(|fault| {
            matches!(
                fault.kind,
                ServerFaultKind::Inserts(InsertFault::Code(77777 | 8000), How::Percent(_))
            )
        })
    }

    fn around(&self, at: Timestamp) -> impl Iterator<Item = ServerFaultKind> {
        self.faults
            .iter()
            .filter(move |fault| {
                let began = fault.began - MILLISECOND;
                let is_over = fault.ended.is_some_and(|end| at > end + AFTERMATH);
                began <= at && !is_over
            })
            .map(|fault| fault.kind)
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- the run of seed {}:", self.seed);
            for entry in &self.entries {
                eprintln!("{}", line(entry));
            }
        }
    }
}

fn line((at, what): &(Duration, String)) -> String {
    format!("{:7.1} s  {what}", at.as_secs_f64())
}
