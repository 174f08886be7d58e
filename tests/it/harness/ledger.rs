//! The ledger: every record that Kafka acknowledged, and where it must end. It shares no code with the worker.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use bson::RawDocumentBuf;

use super::content::{Content, Fate};
use super::dead_letters::DeadLetter;
use super::stored::without_received_at;

/// One record of the source topic.
#[derive(Debug, Clone)]
pub struct Entry {
    pub partition: i32,
    pub offset: i64,
    pub content: Content,
    pub fate: Fate,
}

#[derive(Debug, Default)]
pub struct Ledger {
    /// Behind a lock, because the producers' threads write to it.
    entries: Mutex<Vec<Entry>>,
}

/// Where the records ended. Counts have the type of offsets, so that tests can compare both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    pub stored: i64,
    pub dead_lettered: i64,
    /// Counted in both of the above. An outage may leave it unknown whether an insert succeeded; such a record
    /// may be in both places.
    pub both: i64,
}

/// The most faults that a failed check shows.
const SHOWN: usize = 20;

impl Ledger {
    pub fn add(&self, entry: Entry) {
        self.entries.lock().unwrap().push(entry);
    }

    pub fn len(&self) -> i64 {
        i64::try_from(self.entries.lock().unwrap().len()).unwrap()
    }

    /// A copy of all entries.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap().clone()
    }

    /// Changes the expected end of records that were produced already.
    pub fn change_fate(&self, of: impl Fn(&Entry) -> bool, fate: Fate) {
        let mut entries = self.entries.lock().unwrap();
        for entry in entries.iter_mut().filter(|entry| of(entry)) {
            entry.fate = fate;
        }
    }

    /// Checks every record against MongoDB and the dead letter topic. A record that must be stored may be
    /// dead-lettered for one of the `allowed` reasons, instead or in addition.
    #[track_caller]
    pub fn check(
        &self,
        stored: &BTreeMap<String, RawDocumentBuf>,
        letters: &[DeadLetter],
        allowed: &[&str],
    ) -> Report {
        let entries = self.entries.lock().unwrap();
        let mut by_source: HashMap<(i32, i64), Vec<&DeadLetter>> = HashMap::new();
        for letter in letters {
            by_source.entry(letter.source()).or_default().push(letter);
        }
        let mut report = Report::default();
        let mut faults = Vec::new();
        let mut expected_ids = std::collections::HashSet::new();
        for entry in entries.iter() {
            let letters = by_source
                .remove(&(entry.partition, entry.offset))
                .unwrap_or_default();
            if let Err(fault) = check_one(
                entry,
                stored,
                &letters,
                allowed,
                &mut expected_ids,
                &mut report,
            ) {
                faults.push(format!(
                    "partition {} offset {} ({:?}): {fault}",
                    entry.partition, entry.offset, entry.fate
                ));
            }
        }
        for source in by_source.keys() {
            faults.push(format!(
                "a dead letter of {source:?}, which was not produced"
            ));
        }
        for id in stored.keys().filter(|id| !expected_ids.contains(*id)) {
            faults.push(format!("the document {id}, which was not produced"));
        }
        assert!(
            faults.is_empty(),
            "{} faults in {} records ({report:?}), the first: {:#?}",
            faults.len(),
            entries.len(),
            &faults[..faults.len().min(SHOWN)]
        );
        report
    }
}

fn check_one(
    entry: &Entry,
    stored: &BTreeMap<String, RawDocumentBuf>,
    letters: &[&DeadLetter],
    allowed: &[&str],
    expected_ids: &mut std::collections::HashSet<String>,
    report: &mut Report,
) -> Result<(), String> {
    let value = entry.content.value();
    for letter in letters {
        if letter.value.as_deref() != value.as_deref() {
            return Err("its dead letter has another value".to_owned());
        }
    }
    let reasons: Vec<&str> = letters.iter().map(|letter| letter.reason()).collect();
    match entry.fate {
        Fate::Stored => {
            let id = entry.content.message_id().ok_or("has no message_id")?;
            let document = stored.get(&id);
            if let Some(document) = document {
                let document = without_received_at(document)?;
                if document != entry.content.document() {
                    return Err(format!("stored as {document:?}"));
                }
                report.stored += 1;
                expected_ids.insert(id);
            }
            if let Some(reason) = reasons.iter().find(|reason| !allowed.contains(reason)) {
                return Err(format!("dead-lettered for {reason}"));
            }
            match (document.is_some(), !reasons.is_empty()) {
                (false, false) => return Err("lost".to_owned()),
                (true, true) => report.both += 1,
                _ => {}
            }
            report.dead_lettered += i64::from(!reasons.is_empty());
        }
        Fate::DeadLettered(reason) | Fate::Conflict(reason) => {
            if reasons.is_empty() || reasons.iter().any(|found| *found != reason) {
                return Err(format!("dead-lettered for {reasons:?}"));
            }
            let is_conflict = matches!(entry.fate, Fate::Conflict(_));
            let id = entry.content.message_id();
            if !is_conflict && id.is_some_and(|id| stored.contains_key(&id)) {
                return Err("stored as well".to_owned());
            }
            report.dead_lettered += 1;
        }
        Fate::Absent => {
            let id = entry.content.message_id();
            if !reasons.is_empty() || id.is_some_and(|id| stored.contains_key(&id)) {
                return Err("not absent".to_owned());
            }
        }
    }
    Ok(())
}
