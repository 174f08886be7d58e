//! Appends raw BSON to a buffer. It knows BSON's layout and the size limit, and none of the rules for
//! messages.
//!
//! Format: <https://bsonspec.org/spec.html>. All numbers are little-endian; lengths are `int32`.

use super::fault::Fault;
use super::limits::MAX_DOCUMENT_BYTES;

const DOUBLE: u8 = 0x01;
const STRING: u8 = 0x02;
const DOCUMENT: u8 = 0x03;
const ARRAY: u8 = 0x04;
const BOOLEAN: u8 = 0x08;
const NULL: u8 = 0x0A;
const INT32: u8 = 0x10;
const INT64: u8 = 0x12;

/// The name of the `_id` element, with the NUL behind it.
const ID_NAME: &[u8] = b"_id\0";
/// The size of the type and the name of the `_id` element.
const ID_HEADER_BYTES: usize = 1 + ID_NAME.len();
/// The size of the length field in front of a document or string.
const LENGTH_BYTES: usize = 4;

/// Writes one document at the end of a buffer, which may hold other documents before it.
pub(super) struct BsonWriter<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
}

/// An element whose name is written: the positions of its type and of its value.
#[derive(Clone, Copy)]
pub(super) struct Element {
    kind_at: usize,
    value_at: usize,
}

/// An open document or array: the position of its length.
#[derive(Clone, Copy)]
pub(super) struct Container {
    length_at: usize,
}

impl<'o> BsonWriter<'o> {
    /// Begins the document. `expected_bytes` is a hint.
    pub fn new(out: &'o mut Vec<u8>, expected_bytes: usize) -> Self {
        let start = out.len();
        out.reserve(expected_bytes.min(MAX_DOCUMENT_BYTES));
        out.extend_from_slice(&[0; LENGTH_BYTES]);
        Self { out, start }
    }

    /// Writes the name. The type is filled in when the value is written. If the name contains a NUL,
    /// the caller must not keep the document.
    #[inline]
    pub fn begin_element(&mut self, name: &[u8]) -> Result<Element, Fault> {
        self.check_room(name.len())?;
        let kind_at = self.out.len();
        self.out.push(0);
        self.out.extend_from_slice(name);
        self.out.push(0);
        Ok(Element {
            kind_at,
            value_at: self.out.len(),
        })
    }

    /// The name of an element that has been begun.
    pub fn name(&self, element: Element) -> &[u8] {
        &self.out[element.kind_at + 1..element.value_at - 1]
    }

    /// The type and the value of the last element, which is complete.
    pub fn last_value(&self, element: Element) -> (u8, &[u8]) {
        (self.out[element.kind_at], &self.out[element.value_at..])
    }

    /// The last element, which is complete.
    pub fn last_element(&self, element: Element) -> &[u8] {
        &self.out[element.kind_at..]
    }

    /// Moves the last element before all others. Every other element moves: an `Element` from before is invalid.
    pub fn move_to_front(&mut self, element: Element) {
        let moved = self.out.len() - element.kind_at;
        self.out[self.start + LENGTH_BYTES..].rotate_right(moved);
    }

    /// Removes the last element.
    pub fn take_back(&mut self, element: Element) {
        self.out.truncate(element.kind_at);
    }

    pub fn null(&mut self, element: Element) {
        self.out[element.kind_at] = NULL;
    }

    pub fn boolean(&mut self, element: Element, value: bool) {
        self.out[element.kind_at] = BOOLEAN;
        self.out.push(u8::from(value));
    }

    /// Writes an `int32` if the value fits, otherwise an `int64`.
    #[inline]
    pub fn integer(&mut self, element: Element, value: i64) {
        if let Ok(small) = i32::try_from(value) {
            self.out[element.kind_at] = INT32;
            self.out.extend_from_slice(&small.to_le_bytes());
        } else {
            self.out[element.kind_at] = INT64;
            self.out.extend_from_slice(&value.to_le_bytes());
        }
    }

    pub fn double(&mut self, element: Element, value: f64) {
        self.out[element.kind_at] = DOUBLE;
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    #[inline]
    pub fn string(&mut self, element: Element, value: &str) -> Result<(), Fault> {
        self.check_room(value.len())?;
        self.out[element.kind_at] = STRING;
        self.out.extend_from_slice(&length(value.len() + 1));
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(0);
        Ok(())
    }

    /// The text of a string element, which must be the last one written.
    pub fn last_string(&self, element: Element) -> &[u8] {
        &self.out[element.value_at + LENGTH_BYTES..self.out.len() - 1]
    }

    pub fn begin_document(&mut self, element: Element) -> Container {
        self.begin_container(element, DOCUMENT)
    }

    pub fn begin_array(&mut self, element: Element) -> Container {
        self.begin_container(element, ARRAY)
    }

    fn begin_container(&mut self, element: Element, kind: u8) -> Container {
        self.out[element.kind_at] = kind;
        let length_at = self.out.len();
        self.out.extend_from_slice(&[0; LENGTH_BYTES]);
        Container { length_at }
    }

    pub fn end_container(&mut self, container: Container) {
        self.out.push(0);
        let Container { length_at } = container;
        let bytes = length(self.out.len() - length_at);
        self.out[length_at..length_at + LENGTH_BYTES].copy_from_slice(&bytes);
    }

    /// Inserts `_id` before all other elements, with the value of the string element `source`, which
    /// must be the last one written. Every other element moves: an `Element` from before is invalid.
    pub fn insert_id(&mut self, source: Element) -> Result<(), Fault> {
        let end = self.out.len();
        let added = ID_HEADER_BYTES + (end - source.value_at);
        self.make_room_for_id(STRING, added)?;
        let value_at = self.start + LENGTH_BYTES + ID_HEADER_BYTES;
        // The source has moved, too.
        self.out
            .copy_within(source.value_at + added..end + added, value_at);
        Ok(())
    }

    /// Inserts `_id` before all other elements, with a value of this type. Every other element moves: an `Element` from
    /// before is invalid.
    pub fn insert_id_value(&mut self, kind: u8, value: &[u8]) -> Result<(), Fault> {
        self.make_room_for_id(kind, ID_HEADER_BYTES + value.len())?;
        let value_at = self.start + LENGTH_BYTES + ID_HEADER_BYTES;
        self.out[value_at..value_at + value.len()].copy_from_slice(value);
        Ok(())
    }

    /// Moves all elements up by `added` bytes, and writes the type and the name of `_id` before them.
    fn make_room_for_id(&mut self, kind: u8, added: usize) -> Result<(), Fault> {
        self.check_room(added)?;
        let (front, end) = (self.start + LENGTH_BYTES, self.out.len());
        self.out.resize(end + added, 0);
        self.out.copy_within(front..end, front + added);
        self.out[front] = kind;
        self.out[front + 1..front + ID_HEADER_BYTES].copy_from_slice(ID_NAME);
        Ok(())
    }

    /// The text of `_id`. `insert_id` must have been called.
    pub fn id(&self) -> &[u8] {
        let value_at = self.start + LENGTH_BYTES + ID_HEADER_BYTES;
        let text_at = value_at + LENGTH_BYTES;
        let mut length = [0; LENGTH_BYTES];
        length.copy_from_slice(&self.out[value_at..text_at]);
        let length = usize::try_from(i32::from_le_bytes(length))
            .expect("invariant: `insert_id` wrote a string's length there");
        &self.out[text_at..text_at + length - 1]
    }

    /// Completes the document.
    pub fn finish(mut self) -> Result<(), Fault> {
        let start = self.start;
        self.check_room(1)?;
        self.end_container(Container { length_at: start });
        Ok(())
    }

    /// Refuses to write `bytes` more if they would take the document over the limit. Values of a few
    /// bytes are written without this check: the check of the next element, or of `finish`, catches them.
    fn check_room(&self, bytes: usize) -> Result<(), Fault> {
        if self.out.len() - self.start + bytes > MAX_DOCUMENT_BYTES {
            return Err(Fault::TooLarge);
        }
        Ok(())
    }
}

fn length(bytes: usize) -> [u8; LENGTH_BYTES] {
    i32::try_from(bytes)
        .expect("invariant: nothing longer than a document's limit is written")
        .to_le_bytes()
}
