//! The workers of a run, and the faults that they suffer.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::draw::WorkerFault;
use super::timeline::Timeline;
use crate::harness::{LogLine, Signal, Worker, WorkerSetup};

/// The longest time that a stop may take: more than `shutdown_timeout_ms`, on a busy machine.
const LONGEST_STOP: Duration = Duration::from_secs(30);

pub struct Workers {
    setup: WorkerSetup,
    slots: Vec<Slot>,
}

/// A place for one worker, like a replica of an orchestrator: after a worker ends, another one is started.
struct Slot {
    worker: Option<Worker>,
    state: SlotState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SlotState {
    Running,
    FrozenUntil(u64),
    StoppingSince(Instant),
    /// No worker, since this tick.
    Vacant(u64),
}

impl Workers {
    pub fn start(setup: WorkerSetup, count: usize) -> Self {
        let slots = (0..count)
            .map(|_| Slot {
                worker: Some(setup.start()),
                state: SlotState::Running,
            })
            .collect();
        Self { setup, slots }
    }

    pub fn begin_fault(
        &mut self,
        index: usize,
        fault: WorkerFault,
        tick: u64,
        timeline: &mut Timeline,
    ) {
        let slot = &mut self.slots[index];
        let (SlotState::Running, Some(worker)) = (slot.state, &mut slot.worker) else {
            return;
        };
        if worker.poll_exit().is_some() {
            return;
        }
        timeline.worker_fault_begins(index, fault);
        match fault {
            WorkerFault::Killed => {
                worker.kill();
                check_log(worker, timeline);
                slot.worker = None;
                slot.state = SlotState::Vacant(tick);
            }
            WorkerFault::Stopped => {
                worker.signal(Signal::Term);
                slot.state = SlotState::StoppingSince(Instant::now());
            }
            WorkerFault::Frozen(ticks) => {
                worker.signal(Signal::Stop);
                slot.state = SlotState::FrozenUntil(tick + ticks);
            }
        }
    }

    /// Continues frozen workers whose time is over, checks those that have ended, and starts a worker in each
    /// place that has been vacant for a tick.
    pub fn update(&mut self, tick: u64, timeline: &mut Timeline) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            slot.update(index, tick, timeline);
            if matches!(slot.state, SlotState::Vacant(since) if since < tick) {
                timeline.note(format!("worker {index} starts"));
                slot.worker = Some(self.setup.start());
                slot.state = SlotState::Running;
            }
        }
    }

    /// After the last fault: makes every worker run, and none frozen.
    pub fn recover(&mut self, tick: u64, timeline: &mut Timeline) {
        // The first call finds the workers that have ended, the second one replaces them.
        self.update(tick + 10, timeline);
        self.update(tick + 11, timeline);
    }

    /// Stops all workers; each must exit with 0.
    pub fn stop(&mut self, tick: u64, timeline: &mut Timeline) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if let (SlotState::Running, Some(worker)) = (slot.state, &mut slot.worker)
                && worker.poll_exit().is_none()
            {
                worker.signal(Signal::Term);
                slot.state = SlotState::StoppingSince(Instant::now());
            }
            slot.update(index, tick, timeline);
        }
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if let Some(worker) = &mut slot.worker {
                worker.wait_exit(LONGEST_STOP);
                slot.update(index, tick, timeline);
            }
        }
    }
}

impl Slot {
    fn update(&mut self, index: usize, tick: u64, timeline: &mut Timeline) {
        let Some(worker) = &mut self.worker else {
            return;
        };
        if let SlotState::FrozenUntil(until) = self.state {
            if tick < until {
                return;
            }
            timeline.note(format!("worker {index} continues"));
            timeline.worker_continues(worker.id());
            worker.signal(Signal::Cont);
            self.state = SlotState::Running;
        }
        let Some(status) = worker.poll_exit() else {
            if let SlotState::StoppingSince(since) = self.state {
                assert!(
                    since.elapsed() < LONGEST_STOP,
                    "worker {index} doesn't end after SIGTERM"
                );
            }
            return;
        };
        // The log is complete then.
        worker.wait_exit(LONGEST_STOP);
        timeline.note(format!("worker {index} has ended: {status}"));
        let was_asked = matches!(self.state, SlotState::StoppingSince(_));
        assert!(
            is_explained(status, worker, was_asked, timeline),
            "worker {index} ended with {status}; SIGTERM was sent: {was_asked}"
        );
        check_log(worker, timeline);
        self.worker = None;
        self.state = SlotState::Vacant(tick);
    }
}

const SIGTERM: i32 = 15;

/// Whether a fault of this time explains this exit status.
fn is_explained(status: ExitStatus, worker: &Worker, was_asked: bool, timeline: &Timeline) -> bool {
    let now = Timestamp::now();
    match status.code() {
        Some(0) => was_asked,
        // The broker didn't take a dead letter in time, or the worker could not leave the group.
        Some(1) => {
            timeline.explains_lost_broker(now) || timeline.explains_lateness(worker.id(), now)
        }
        Some(3) => timeline.explains_lost_broker(now),
        Some(4) => timeline.explains_refusal(now),
        // The signal came before the program began to run. No program can catch it then.
        None => was_asked && status.signal() == Some(SIGTERM) && worker.log().is_empty(),
        _ => false,
    }
}

/// A fault must explain every ERROR line.
fn check_log(worker: &Worker, timeline: &Timeline) {
    for line in worker.errors() {
        let at = line
            .text("ts")
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| panic!("no time: {}", line.raw));
        assert!(
            is_line_explained(&line, worker, at, timeline),
            "no fault explains: {}",
            line.raw
        );
    }
    let panics = worker
        .log()
        .into_iter()
        .find(|line| line.raw.contains("panicked"));
    assert!(panics.is_none(), "{panics:?}");
}

fn is_line_explained(line: &LogLine, worker: &Worker, at: Timestamp, timeline: &Timeline) -> bool {
    // What has a time limit is late after a freeze: a dead letter, or a stop that had begun before it.
    let is_late =
        line.msg.contains("can be neither stored") || line.msg.starts_with("the stop hangs");
    if is_late && timeline.explains_lateness(worker.id(), at) {
        return true;
    }
    if line.msg.starts_with("MongoDB is unavailable") {
        timeline.explains_outage(at)
    } else if line.msg.starts_with("stopped: MongoDB refused us") {
        timeline.explains_refusal(at)
    } else if line.msg.starts_with("stopped: ") || line.msg.starts_with("the stop hangs") {
        timeline.explains_lost_broker(at)
    } else {
        false
    }
}
