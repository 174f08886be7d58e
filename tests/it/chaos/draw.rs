//! What happens at each tick: a pure function of the seed and the tick, so that a run can be repeated.

use std::ops::Range;

/// The most workers that a run has.
pub const MOST_WORKERS: usize = 64;

/// The faults that begin at one tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// Ignored while another server fault is active.
    pub server: Option<ServerFault>,
    /// Ignored if that worker doesn't run.
    pub worker: Option<(usize, WorkerFault)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerFault {
    pub kind: ServerFaultKind,
    /// How many ticks it lasts.
    pub ticks: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerFaultKind {
    MongodKilled,
    MongodFrozen,
    BrokerKilled,
    /// The server fails inserts.
    Inserts(InsertFault, How),
}

/// How the server answers an insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertFault {
    Code(i32),
    TornConnection,
    WriteConcernError,
    /// An answer that takes this many milliseconds.
    Slow(u64),
}

/// Which inserts are affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    All,
    /// The next inserts, this many.
    Next(i32),
    /// This share of the inserts.
    Percent(i32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerFault {
    /// SIGKILL.
    Killed,
    /// SIGTERM.
    Stopped,
    /// SIGSTOP, and SIGCONT after this many ticks.
    Frozen(u64),
}

impl ServerFaultKind {
    /// For the record of a run.
    pub fn name(self) -> &'static str {
        match self {
            Self::MongodKilled => "MongoDB killed",
            Self::MongodFrozen => "MongoDB frozen",
            Self::BrokerKilled => "Kafka killed",
            Self::Inserts(InsertFault::Code(_), _) => "inserts answered with an error",
            Self::Inserts(InsertFault::TornConnection, _) => "inserts cut off",
            Self::Inserts(InsertFault::WriteConcernError, _) => {
                "inserts answered with a write concern error"
            }
            Self::Inserts(InsertFault::Slow(_), _) => "inserts slow",
        }
    }
}

impl WorkerFault {
    /// For the record of a run.
    pub fn name(self) -> &'static str {
        match self {
            Self::Killed => "worker killed",
            Self::Stopped => "worker stopped",
            Self::Frozen(_) => "worker frozen",
        }
    }
}

/// Errors of the server, and an unknown code.
const CODES: [i32; 9] = [91, 189, 11600, 10107, 8000, 14031, 112, 77777, 13];

/// Whether a run of this seed redirects while MongoDB is unavailable, or pauses.
pub fn redirects(seed: u64) -> bool {
    Random::new(seed, u64::MAX).below(2) == 0
}

pub fn draw(seed: u64, tick: u64, workers: usize) -> Draw {
    let mut random = Random::new(seed, tick);
    // Each number is drawn whether it is used or not, so that one choice doesn't change the others.
    let has_server_fault = random.below(100) < 60;
    let kind = server_fault(&mut random);
    let ticks = random.within(1..4);
    let has_worker_fault = random.below(100) < 60;
    let workers = u64::try_from(workers.min(MOST_WORKERS)).expect("a small number");
    let slot = usize::try_from(random.below(workers.max(1))).expect("a small number");
    let fault = match random.below(4) {
        0 | 1 => WorkerFault::Killed,
        2 => WorkerFault::Stopped,
        _ => WorkerFault::Frozen(random.within(1..4)),
    };
    Draw {
        server: has_server_fault.then_some(ServerFault { kind, ticks }),
        worker: has_worker_fault.then_some((slot, fault)),
    }
}

fn server_fault(random: &mut Random) -> ServerFaultKind {
    let insert_fault = match random.below(8) {
        0 => InsertFault::TornConnection,
        1 => InsertFault::WriteConcernError,
        2 | 3 => InsertFault::Slow(random.within(100..2000)),
        _ => InsertFault::Code(CODES[random.index(CODES.len())]),
    };
    let how = match random.below(3) {
        0 => How::All,
        1 => How::Next(i32::try_from(random.within(1..30)).expect("a small number")),
        _ => How::Percent(i32::try_from(random.within(5..60)).expect("a small number")),
    };
    match random.below(8) {
        0 => ServerFaultKind::MongodKilled,
        1 => ServerFaultKind::MongodFrozen,
        2 => ServerFaultKind::BrokerKilled,
        _ => ServerFaultKind::Inserts(insert_fault, how),
    }
}

/// `SplitMix64` (Steele, Lea and Flood, 2014), started anew for each tick.
struct Random(u64);

impl Random {
    fn new(seed: u64, tick: u64) -> Self {
        let mut random = Self(seed);
        let mixed = random.next() ^ tick;
        Self(mixed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }

    fn index(&mut self, length: usize) -> usize {
        let length = u64::try_from(length).expect("a small number");
        usize::try_from(self.below(length)).expect("a small number")
    }
}

#[test]
fn draw_depends_only_on_seed_and_tick() {
    let forwards: Vec<Draw> = (0..1000).map(|tick| draw(7, tick, 6)).collect();
    let mut backwards: Vec<Draw> = (0..1000).rev().map(|tick| draw(7, tick, 6)).collect();
    backwards.reverse();
    assert_eq!(forwards, backwards);
    let other: Vec<Draw> = (0..1000).map(|tick| draw(8, tick, 6)).collect();
    assert_ne!(forwards, other);
    assert_eq!(redirects(7), redirects(7));
}

#[test]
fn every_kind_of_fault_is_drawn() {
    let mut seen = std::collections::BTreeSet::new();
    for tick in 0..2000 {
        let draw = draw(1, tick, 6);
        match draw.server.map(|fault| fault.kind) {
            Some(ServerFaultKind::Inserts(InsertFault::Code(code), _)) => {
                seen.insert(format!("code {code}"));
            }
            Some(ServerFaultKind::Inserts(InsertFault::Slow(_), _)) => {
                seen.insert("slow".to_owned());
            }
            Some(ServerFaultKind::Inserts(fault, _)) => {
                seen.insert(format!("{fault:?}"));
            }
            Some(kind) => {
                seen.insert(format!("{kind:?}"));
            }
            None => {}
        }
        if let Some((slot, fault)) = draw.worker {
            assert!(slot < 6);
            let name = match fault {
                WorkerFault::Killed => "killed",
                WorkerFault::Stopped => "stopped",
                WorkerFault::Frozen(ticks) => {
                    assert!((1..4).contains(&ticks));
                    "frozen"
                }
            };
            seen.insert(name.to_owned());
        }
    }
    assert_eq!(seen.len(), CODES.len() + 3 + 3 + 3, "{seen:?}");
    let modes: Vec<bool> = (0..20).map(redirects).collect();
    assert!(modes.contains(&true) && modes.contains(&false));
}
