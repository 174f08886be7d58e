//! A consumed message as bytes that the worker owns, and the batch that holds many of them in one buffer.

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::time::Instant;

use super::partition::{Offset, RecordId, TopicPartition};

/// The record's own time, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timestamp {
    NotAvailable,
    CreateTime(i64),
    LogAppendTime(i64),
}

impl Timestamp {
    /// The instant, where there is one that the calendar knows.
    pub fn instant(self) -> Option<jiff::Timestamp> {
        match self {
            Self::NotAvailable => None,
            Self::CreateTime(millis) | Self::LogAppendTime(millis) => {
                jiff::Timestamp::from_millisecond(millis).ok()
            }
        }
    }
}

/// The original headers, carried without reading them: names and values may be any bytes.
pub struct OpaqueHeaders {
    headers: Box<dyn Any + Send>,
    size: usize,
}

impl OpaqueHeaders {
    /// `size` is the number of bytes of all names and values.
    pub fn new<H: Any + Send>(headers: H, size: usize) -> Self {
        Self {
            headers: Box::new(headers),
            size,
        }
    }

    /// The number of bytes of all names and values.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The headers as the type that they were made from.
    pub fn downcast_ref<H: Any>(&self) -> Option<&H> {
        self.headers.downcast_ref()
    }
}

impl fmt::Debug for OpaqueHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpaqueHeaders")
    }
}

/// Where a replayed record stood in the consumed topic. If the record fails again, its new dead letter
/// names this place, and not the place in the dead letter topic that it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OriginalRecord {
    pub partition: TopicPartition,
    pub offset: Offset,
    pub timestamp: Timestamp,
    /// How often the record was replayed before.
    pub replay_count: u32,
}

/// What records in flight count against the bounds on memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    pub messages: usize,
    pub bytes: usize,
}

/// What a record costs beside its key, value and headers: its entry in the batch, the bookkeeping, a share
/// of its document's fields.
const RECORD_OVERHEAD: usize = 128;

impl Weight {
    pub fn of(record: &Record) -> Self {
        Self {
            messages: 1,
            bytes: record.size() + RECORD_OVERHEAD,
        }
    }
}

impl std::ops::AddAssign for Weight {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

impl std::iter::Sum for Weight {
    fn sum<I: Iterator<Item = Self>>(weights: I) -> Self {
        weights.fold(Self::default(), |mut sum, weight| {
            sum += weight;
            sum
        })
    }
}

/// One record of a [`Batch`]; the batch's buffer holds its key and value. Kafka tells an absent key or value
/// from an empty one, and so does a dead letter.
#[derive(Debug)]
pub struct Record {
    pub id: RecordId,
    pub timestamp: Timestamp,
    pub headers: Option<OpaqueHeaders>,
    /// Boxed, because few records have it.
    pub replay: Option<Box<OriginalRecord>>,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
}

impl Record {
    /// Bytes of key, value and headers.
    pub fn size(&self) -> usize {
        let parts = [&self.key, &self.value].into_iter().flatten();
        let bytes: usize = parts.map(ExactSizeIterator::len).sum();
        bytes + self.headers.as_ref().map_or(0, |headers| headers.size)
    }

    /// The record's place in the consumed topic; for a replayed record, the place of the original.
    pub fn source(&self) -> (TopicPartition, Offset) {
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
    /// Bytes of the records' headers, which are not in the buffer.
    header_bytes: usize,
    taken_at: Instant,
}

impl Batch {
    /// An empty batch whose first record is taken off Kafka at `taken_at`.
    pub fn new(taken_at: Instant) -> Self {
        Self {
            records: Vec::new(),
            buffer: Vec::new(),
            header_bytes: 0,
            taken_at,
        }
    }

    /// The same, with memory reserved for the expected size.
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

    /// The same for a replayed record, whose dead letter is at `id`.
    pub fn push_replay(
        &mut self,
        id: RecordId,
        replay: OriginalRecord,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Option<OpaqueHeaders>,
    ) {
        self.push(id, replay.timestamp, key, value, headers);
        if let Some(record) = self.records.last_mut() {
            record.replay = Some(Box::new(replay));
        }
    }

    /// Moves the record at `index` to the end of another batch: its headers are gone from this one. Its key and its
    /// value are copied, so that the other batch doesn't keep all bytes of this one alive.
    pub fn move_to(&mut self, index: usize, other: &mut Self) {
        let headers = self.records[index].headers.take();
        self.header_bytes -= headers.as_ref().map_or(0, |headers| headers.size);
        let record = &self.records[index];
        let (key, value) = (self.key(record), self.value(record));
        other.push(record.id, record.timestamp, key, value, headers);
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        start..self.buffer.len()
    }

    pub fn records(&self) -> &[Record] {
        &self.records
    }

    pub fn key(&self, record: &Record) -> Option<&[u8]> {
        record.key.clone().map(|range| &self.buffer[range])
    }

    pub fn value(&self, record: &Record) -> Option<&[u8]> {
        record.value.clone().map(|range| &self.buffer[range])
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of all keys, values and headers.
    pub fn bytes(&self) -> usize {
        self.buffer.len() + self.header_bytes
    }

    /// The weight of all records together.
    pub fn weight(&self) -> Weight {
        self.records.iter().map(Weight::of).sum()
    }

    /// When the first record was taken off Kafka.
    pub fn taken_at(&self) -> Instant {
        self.taken_at
    }

    /// Removes the records for which `is_gone`, and returns how many they were. Their bytes stay in the
    /// buffer until the batch is dropped.
    pub fn remove_if(&mut self, mut is_gone: impl FnMut(RecordId) -> bool) -> usize {
        let before = self.records.len();
        self.records.retain(|record| !is_gone(record.id));
        before - self.records.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::partition::Epoch;

    #[test]
    fn a_record_moves_to_another_batch_with_all_that_it_has() {
        let id = |offset| RecordId {
            partition: TopicPartition::consumed(1),
            epoch: Epoch(0),
            offset: Offset(offset),
        };
        let time = Timestamp::CreateTime(5);
        let mut batch = Batch::new(Instant::now());
        batch.push(id(3), time, None, Some(b"first"), None);
        let headers = OpaqueHeaders::new("headers", 7);
        batch.push(id(4), time, Some(b"key"), None, Some(headers));

        let mut other = Batch::new(Instant::now());
        batch.move_to(1, &mut other);
        let record = &other.records()[0];
        assert_eq!((record.id, record.timestamp), (id(4), time));
        assert_eq!(
            (other.key(record), other.value(record)),
            (Some(&b"key"[..]), None)
        );
        let headers = record.headers.as_ref().unwrap();
        assert_eq!(headers.downcast_ref::<&str>(), Some(&"headers"));
        assert_eq!(
            other.bytes(),
            10,
            "the values that stay behind are not copied"
        );
        assert_eq!(batch.bytes(), 8, "the headers are gone");
    }
}
