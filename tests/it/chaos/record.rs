//! The record of a run, which `scripts/chaos --publish` puts into docs/RELIABILITY.md.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use serde_json::json;

use super::{Run, TICK, draw};
use crate::harness::{DeadLetter, World};

/// Counts anew where each message ended, by its place and its id alone, and writes that as JSON. The run's check has
/// compared every value before.
pub fn write(file: &Path, run: Run, world: &World, disturbances: &BTreeMap<&'static str, u64>) {
    let stored = world.stored().ids();
    let documents = world.stored().count();
    let letters = world.dead_letters();
    let letters: HashSet<(i32, i64)> = letters.iter().map(DeadLetter::source).collect();
    let (mut dead_lettered, mut lost, mut both) = (0, 0, 0);
    let (mut messages_stored, mut ids) = (0, HashSet::new());
    for entry in world.ledger.entries() {
        let id = entry.content.message_id();
        let id = id.filter(|id| stored.contains(id));
        let is_dead_lettered = letters.contains(&(entry.partition, entry.offset));
        messages_stored += i64::from(id.is_some());
        dead_lettered += i64::from(is_dead_lettered);
        both += i64::from(id.is_some() && is_dead_lettered);
        lost += i64::from(id.is_none() && !is_dead_lettered);
        ids.extend(id);
    }
    let record = json!({
        "seed": run.seed,
        "minutes": run.ticks * TICK.as_secs() / 60,
        "workers": run.workers,
        "on_unavailable": if draw::redirects(run.seed) { "dead_letter" } else { "pause" },
        "disturbances": disturbances,
        "produced": world.ledger.len(),
        "stored": messages_stored,
        "documents": documents,
        "dead_lettered": dead_lettered,
        "both": both,
        "lost": lost,
        "stored_twice": documents - i64::try_from(ids.len()).unwrap(),
    });
    fs::write(file, format!("{record:#}\n")).unwrap();
}
