//! Transcodes JSON values to BSON elements. Each value is written as the parser reads it; no tree is
//! built. The rules here hold for every object at any depth; the rules of the top level are in the
//! module `message`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::bson_writer::{BsonWriter, Element};
use super::fault::{Fault, JsonType};
use super::field_names::{ObjectNames, OpenNames};
use super::field_path::FieldPath;
use super::limits::MAX_LEVELS;
use super::number_literals::{LARGE, LargeLiterals};

/// The state of one message's transcoding.
pub(super) struct Transcoder<'p, 'o> {
    pub out: BsonWriter<'o>,
    names: OpenNames<'p>,
    literals: LargeLiterals<'p>,
    fault: Option<Fault>,
    /// Where the parser stopped; empty while it runs.
    path: FieldPath,
}

impl<'p, 'o> Transcoder<'p, 'o> {
    pub fn new(payload: &'p str, out: BsonWriter<'o>) -> Self {
        Self {
            out,
            names: OpenNames::new(),
            literals: LargeLiterals::new(payload),
            fault: None,
            path: FieldPath::default(),
        }
    }

    /// Records the fault. The returned error carries no information; it only stops the parser.
    #[cold]
    pub fn refuse<E: Error>(&mut self, fault: Fault) -> E {
        self.fault = Some(fault);
        E::custom("refused")
    }

    /// The fault and its path. The fault is `None` if the parser itself stopped.
    pub fn into_fault(self) -> (Option<Fault>, FieldPath) {
        (self.fault, self.path)
    }

    pub fn open_object(&self) -> ObjectNames<'p> {
        self.names.open()
    }

    /// Writes and checks the name of a field of `object`, then calls `write_value` for its value.
    #[inline]
    pub fn field<T, E: Error>(
        &mut self,
        object: &mut ObjectNames<'p>,
        name: Cow<'p, str>,
        write_value: impl FnOnce(&mut Self, Element) -> Result<T, E>,
    ) -> Result<T, E> {
        let element = self
            .out
            .begin_element(name.as_bytes())
            .map_err(|fault| self.refuse(fault))?;
        // JSON can write a NUL only as an escape, and a name with an escape is never borrowed.
        let has_nul = matches!(&name, Cow::Owned(name) if name.contains('\0'));
        let written = if has_nul {
            Err(self.refuse(Fault::NulInName))
        } else if !self.names.insert(object, name) {
            Err(self.refuse(Fault::DuplicateName))
        } else {
            write_value(self, element)
        };
        if written.is_err() {
            self.path.enclose_name(self.out.name(element));
        }
        written
    }
}

/// Reads a string, such as a field's name. It is borrowed from the payload unless it has escapes.
pub(super) struct StringSeed;

impl<'p> DeserializeSeed<'p> for StringSeed {
    type Value = Cow<'p, str>;

    fn deserialize<D: Deserializer<'p>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'p> Visitor<'p> for StringSeed {
    type Value = Cow<'p, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    #[inline]
    fn visit_borrowed_str<E>(self, name: &'p str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// Writes any value after the name of its element, and returns its type.
pub(super) struct ValueSeed<'t, 'p, 'o> {
    pub transcoder: &'t mut Transcoder<'p, 'o>,
    pub element: Element,
    /// The level of the object or array that contains the value.
    pub level: u8,
}

impl<'p> DeserializeSeed<'p> for ValueSeed<'_, 'p, '_> {
    type Value = JsonType;

    #[inline]
    fn deserialize<D: Deserializer<'p>>(self, deserializer: D) -> Result<JsonType, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl ValueSeed<'_, '_, '_> {
    /// The level of the value, if it is an object or array.
    fn level_below<E: Error>(&mut self) -> Result<u8, E> {
        // The parser's own limit is higher, so the parser never reaches it.
        if self.level >= MAX_LEVELS {
            return Err(self.transcoder.refuse(Fault::TooDeep));
        }
        Ok(self.level + 1)
    }
}

impl<'p> Visitor<'p> for ValueSeed<'_, 'p, '_> {
    type Value = JsonType;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<JsonType, E> {
        self.transcoder.out.null(self.element);
        Ok(JsonType::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<JsonType, E> {
        self.transcoder.out.boolean(self.element, value);
        Ok(JsonType::Boolean)
    }

    fn visit_i64<E>(self, value: i64) -> Result<JsonType, E> {
        self.transcoder.out.integer(self.element, value);
        Ok(JsonType::Number)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<JsonType, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => Err(self.transcoder.refuse(Fault::IntegerTooLarge)),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<JsonType, E> {
        // The parser reads the integer literal `-0` as the double −0.0. It is stored as a double,
        // because an integer would lose the sign.
        if value.abs() >= LARGE && self.transcoder.literals.next_is_integer() {
            return Err(self.transcoder.refuse(Fault::IntegerTooLarge));
        }
        self.transcoder.out.double(self.element, value);
        Ok(JsonType::Number)
    }

    #[inline]
    fn visit_str<E: Error>(self, value: &str) -> Result<JsonType, E> {
        match self.transcoder.out.string(self.element, value) {
            Ok(()) => Ok(JsonType::String),
            Err(fault) => Err(self.transcoder.refuse(fault)),
        }
    }

    fn visit_seq<A: SeqAccess<'p>>(mut self, mut seq: A) -> Result<JsonType, A::Error> {
        let level = self.level_below()?;
        let transcoder = self.transcoder;
        let array = transcoder.out.begin_array(self.element);
        let mut index = IndexName::zero();
        while seq
            .next_element_seed(ItemSeed {
                transcoder: &mut *transcoder,
                index: &index,
                level,
            })?
            .is_some()
        {
            index.increment();
        }
        transcoder.out.end_container(array);
        Ok(JsonType::Array)
    }

    fn visit_map<A: MapAccess<'p>>(mut self, mut map: A) -> Result<JsonType, A::Error> {
        let level = self.level_below()?;
        let transcoder = self.transcoder;
        let document = transcoder.out.begin_document(self.element);
        let mut names = transcoder.open_object();
        while let Some(name) = map.next_key_seed(StringSeed)? {
            transcoder.field(&mut names, name, |transcoder, element| {
                map.next_value_seed(ValueSeed {
                    transcoder,
                    element,
                    level,
                })
            })?;
        }
        transcoder.names.close(&names);
        transcoder.out.end_container(document);
        Ok(JsonType::Object)
    }
}

/// Reads one item of an array. Its element begins only here, when it is certain that an item follows.
struct ItemSeed<'t, 'p, 'o> {
    transcoder: &'t mut Transcoder<'p, 'o>,
    index: &'t IndexName,
    level: u8,
}

impl<'p> DeserializeSeed<'p> for ItemSeed<'_, 'p, '_> {
    type Value = JsonType;

    fn deserialize<D: Deserializer<'p>>(self, deserializer: D) -> Result<JsonType, D::Error> {
        let transcoder = self.transcoder;
        let element = transcoder
            .out
            .begin_element(self.index.digits())
            .map_err(|fault| transcoder.refuse(fault))?;
        let written = deserializer.deserialize_any(ValueSeed {
            transcoder: &mut *transcoder,
            element,
            level: self.level,
        });
        if written.is_err() {
            transcoder.path.enclose_index(self.index.digits());
        }
        written
    }
}

/// The name of an array item in BSON: its index in decimal digits. The digits are incremented in place.
struct IndexName {
    digits: [u8; Self::MAX_DIGITS],
    first: usize,
}

impl IndexName {
    /// An item takes at least three bytes, so a document of at most 2²⁴ bytes has fewer than 10⁷ items.
    const MAX_DIGITS: usize = 8;

    fn zero() -> Self {
        Self {
            digits: [b'0'; Self::MAX_DIGITS],
            first: Self::MAX_DIGITS - 1,
        }
    }

    fn digits(&self) -> &[u8] {
        &self.digits[self.first..]
    }

    fn increment(&mut self) {
        for position in (0..Self::MAX_DIGITS).rev() {
            if self.digits[position] < b'9' {
                self.digits[position] += 1;
                self.first = self.first.min(position);
                return;
            }
            self.digits[position] = b'0';
        }
    }
}
