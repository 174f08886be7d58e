//! Walks through documents that the transcoder wrote: element by element, without copies. It knows the types that JSON has,
//! and no others.

use super::fault::JsonType;

/// The size of the length field in front of a document or string.
const LENGTH_BYTES: usize = 4;

/// The types of values that the transcoder writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Double,
    String,
    Document,
    Array,
    Boolean,
    Null,
    Int32,
    Int64,
}

impl Kind {
    const fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            0x01 => Self::Double,
            0x02 => Self::String,
            0x03 => Self::Document,
            0x04 => Self::Array,
            0x08 => Self::Boolean,
            0x0A => Self::Null,
            0x10 => Self::Int32,
            0x12 => Self::Int64,
            _ => return None,
        })
    }
}

/// One element of a document or array.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawElement<'a> {
    pub kind: Kind,
    /// Without the NUL behind it.
    pub name: &'a [u8],
    pub value: &'a [u8],
    /// The element as it stands in the document: the type, the name, a NUL, the value.
    pub whole: &'a [u8],
}

impl<'a> RawElement<'a> {
    /// The text of a string.
    pub fn text(&self) -> &'a [u8] {
        &self.value[LENGTH_BYTES..self.value.len() - 1]
    }

    pub fn json_type(&self) -> JsonType {
        match self.kind {
            Kind::Double | Kind::Int32 | Kind::Int64 => JsonType::Number,
            Kind::String => JsonType::String,
            Kind::Document => JsonType::Object,
            Kind::Array => JsonType::Array,
            Kind::Boolean => JsonType::Boolean,
            Kind::Null => JsonType::Null,
        }
    }
}

/// The elements of a document or array, which is complete.
pub(super) fn of(document: &[u8]) -> Elements<'_> {
    Elements {
        rest: document
            .get(LENGTH_BYTES..document.len().saturating_sub(1))
            .unwrap_or_default(),
    }
}

/// The first of these elements.
pub(super) fn first(elements: &[u8]) -> Option<RawElement<'_>> {
    Elements { rest: elements }.next()
}

/// The element of this name in a document.
pub(super) fn find<'a>(document: &'a [u8], name: &[u8]) -> Option<RawElement<'a>> {
    of(document).find(|element| element.name == name)
}

#[derive(Debug, Clone)]
pub(super) struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Elements<'a> {
    type Item = RawElement<'a>;

    #[inline]
    fn next(&mut self) -> Option<RawElement<'a>> {
        let (&kind, named) = self.rest.split_first()?;
        let kind = Kind::of(kind)?;
        let name_bytes = named.iter().position(|&byte| byte == 0)?;
        let (name, rest) = named.split_at_checked(name_bytes)?;
        let rest = rest.get(1..)?;
        let bytes = match kind {
            Kind::Double | Kind::Int64 => 8,
            Kind::Int32 => 4,
            Kind::Boolean => 1,
            Kind::Null => 0,
            Kind::String => LENGTH_BYTES + length(rest)?,
            Kind::Document | Kind::Array => length(rest)?,
        };
        let (value, after) = rest.split_at_checked(bytes)?;
        let whole = &self.rest[..self.rest.len() - after.len()];
        self.rest = after;
        Some(RawElement {
            kind,
            name,
            value,
            whole,
        })
    }
}

/// The number that a length field holds.
fn length(bytes: &[u8]) -> Option<usize> {
    let field = bytes.first_chunk::<LENGTH_BYTES>()?;
    usize::try_from(i32::from_le_bytes(*field)).ok()
}
