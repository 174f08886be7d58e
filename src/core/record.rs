//! A consumed message as bytes of our own, and the batch that holds many of them in one buffer.

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::time::Instant;

use super::partition::{Offset, Partition, RecordId};

/// The record's own time, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamp {
    NotAvailable,
    CreateTime(i64),
    LogAppendTime(i64),
}

impl Timestamp {
    /// The instant, where there is one that the calendar knows.
    #[must_use]
    pub fn instant(self) -> Option<jiff::Timestamp> {
        match self {
            Self::NotAvailable => None,
            Self::CreateTime(millis) | Self::LogAppendTime(millis) => {
                jiff::Timestamp::from_millisecond(millis).ok()
            }
        }
    }
}

/// The original headers, carried without a look inside: names and values may be any bytes.
pub struct OpaqueHeaders {
    headers: Box<dyn Any + Send>,
    size: usize,
}

impl OpaqueHeaders {
    /// `size` is what names and values take, in bytes.
    pub fn new<H: Any + Send>(headers: H, size: usize) -> Self {
        Self {
            headers: Box::new(headers),
            size,
        }
    }

    /// The headers as the type they were made of.
    #[must_use]
    pub fn downcast_ref<H: Any>(&self) -> Option<&H> {
        self.headers.downcast_ref()
    }
}

impl fmt::Debug for OpaqueHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpaqueHeaders")
    }
}

/// What a record that comes back from its dead letter was in the consumed topic: its own dead letter,
/// should it fail again, tells of that place, not of the dead letter topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    pub partition: Partition,
    pub offset: Offset,
    pub timestamp: Timestamp,
    /// How often it was replayed before.
    pub replay_count: u32,
}

/// One record of a [`Batch`], whose buffer holds its key and value. `None` and empty differ: Kafka
/// tells them apart, and so does a dead letter.
#[derive(Debug)]
pub struct Record {
    pub id: RecordId,
    pub timestamp: Timestamp,
    pub headers: Option<OpaqueHeaders>,
    /// Boxed, since all but a few records have none.
    pub replay: Option<Box<Replay>>,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
}

impl Record {
    /// Bytes of key, value and headers.
    #[must_use]
    pub fn size(&self) -> usize {
        let parts = [&self.key, &self.value].into_iter().flatten();
        let bytes: usize = parts.map(ExactSizeIterator::len).sum();
        bytes + self.headers.as_ref().map_or(0, |headers| headers.size)
    }

    /// Where it stands, or stood first, in the consumed topic.
    #[must_use]
    pub fn source(&self) -> (Partition, Offset) {
        match &self.replay {
            None => (self.id.partition, self.id.offset),
            Some(replay) => (replay.partition, replay.offset),
        }
    }
}

/// Records that are written together, their keys and values in one buffer.
#[derive(Debug)]
pub struct Batch {
    records: Vec<Record>,
    buffer: Vec<u8>,
    /// Bytes of the records' headers, which stand outside the buffer.
    header_bytes: usize,
    taken_at: Instant,
}

impl Batch {
    /// An empty batch whose first record is taken off Kafka at `taken_at`.
    #[must_use]
    pub fn new(taken_at: Instant) -> Self {
        Self {
            records: Vec::new(),
            buffer: Vec::new(),
            header_bytes: 0,
            taken_at,
        }
    }

    /// The same, with room for as much as is expected.
    #[must_use]
    pub fn with_capacity(taken_at: Instant, records: usize, bytes: usize) -> Self {
        Self {
            records: Vec::with_capacity(records),
            buffer: Vec::with_capacity(bytes),
            header_bytes: 0,
            taken_at,
        }
    }

    pub fn push(
        &mut self,
        id: RecordId,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Option<OpaqueHeaders>,
    ) {
        let key = key.map(|bytes| self.append(bytes));
        let value = value.map(|bytes| self.append(bytes));
        self.header_bytes += headers.as_ref().map_or(0, |headers| headers.size);
        self.records.push(Record {
            id,
            timestamp,
            headers,
            replay: None,
            key,
            value,
        });
    }

    /// The same for a record that comes back from its dead letter, which is at `id`.
    pub fn push_replay(
        &mut self,
        id: RecordId,
        replay: Replay,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Option<OpaqueHeaders>,
    ) {
        self.push(id, replay.timestamp, key, value, headers);
        if let Some(record) = self.records.last_mut() {
            record.replay = Some(Box::new(replay));
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        start..self.buffer.len()
    }

    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    #[must_use]
    pub fn key(&self, record: &Record) -> Option<&[u8]> {
        record.key.clone().map(|range| &self.buffer[range])
    }

    #[must_use]
    pub fn value(&self, record: &Record) -> Option<&[u8]> {
        record.value.clone().map(|range| &self.buffer[range])
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of keys, values and headers held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.buffer.len() + self.header_bytes
    }

    /// When the first record was taken off Kafka.
    #[must_use]
    pub fn taken_at(&self) -> Instant {
        self.taken_at
    }

    /// Takes out the records for which `is_gone`; their bytes stay in the buffer until the batch goes.
    pub fn take_if(&mut self, mut is_gone: impl FnMut(RecordId) -> bool) -> Vec<Record> {
        self.records
            .extract_if(.., |record| is_gone(record.id))
            .collect()
    }
}
