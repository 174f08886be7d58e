//! The values of a document as jsonschema sees them. It reads the document's bytes, and copies no more of them than what a
//! keyword compares.

use std::borrow::Cow;
use std::cell::Cell;

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, JsonNumber, Node, NodeIdentity, Object, cmp};
use serde_json::{Map, Number, Value};

use super::elements::{Kind, RawElement};

/// The representation of documents that the transcoder wrote.
pub(super) struct DocumentValues;

/// How much one check may still cost. A step is a look at a value, and a copy of a value costs its bytes. When nothing is left,
/// every value looks like a null, so that the check comes to its end at once: what it says then doesn't count.
pub(super) struct Budget(Cell<usize>);

impl Budget {
    pub fn new(steps: usize) -> Self {
        Self(Cell::new(steps))
    }

    pub fn is_used_up(&self) -> bool {
        self.0.get() == 0
    }

    #[inline]
    pub fn take(&self, steps: usize) {
        self.0.set(self.0.get().saturating_sub(steps));
    }
}

/// One value of a document.
#[derive(Clone, Copy)]
pub(super) struct SchemaValue<'a> {
    pub budget: &'a Budget,
    kind: Kind,
    /// As in BSON, but the text alone of a string.
    pub value: &'a [u8],
    /// The first byte of its element. No other value has the same one.
    begin: &'a u8,
    pub level: Level,
}

/// Which elements of a document are the message's fields.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Below the top level: all of them.
    Inner,
    /// All but `received_at`.
    TopWithId,
    /// All but `received_at` and `_id`.
    TopWithoutId,
}

impl<'a> SchemaValue<'a> {
    /// The message that became this document. `has_own_id` tells whether the message itself has the `_id`.
    pub fn of_message(document: &'a [u8], has_own_id: bool, budget: &'a Budget) -> Self {
        Self {
            budget,
            kind: Kind::Document,
            value: document,
            begin: document.first().unwrap_or(&0),
            level: if has_own_id {
                Level::TopWithId
            } else {
                Level::TopWithoutId
            },
        }
    }

    pub fn of(element: &RawElement<'a>, budget: &'a Budget) -> Self {
        Self {
            budget,
            kind: element.kind,
            value: match element.kind {
                Kind::String => element.text(),
                _ => element.value,
            },
            begin: &element.whole[0],
            level: Level::Inner,
        }
    }

    /// The kind, as long as the budget lasts.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.budget.take(1);
        if self.budget.is_used_up() {
            Kind::Null
        } else {
            self.kind
        }
    }

    fn text(&self) -> Option<&'a str> {
        let text = (self.kind() == Kind::String).then(|| utf8(self.value))?;
        // A pattern or a length may look at every character.
        self.budget.take(text.len() / 16);
        Some(text)
    }

    pub fn number(&self) -> Option<Number> {
        match self.kind() {
            Kind::Int32 => Some(i32::from_le_bytes(*self.value.first_chunk()?).into()),
            Kind::Int64 => Some(i64::from_le_bytes(*self.value.first_chunk()?).into()),
            Kind::Double => Number::from_f64(f64::from_le_bytes(*self.value.first_chunk()?)),
            Kind::String | Kind::Document | Kind::Array | Kind::Boolean | Kind::Null => None,
        }
    }

    fn boolean(&self) -> Option<bool> {
        (self.kind() == Kind::Boolean).then(|| self.value != [0])
    }
}

pub(super) fn utf8(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("invariant: the transcoder writes only UTF-8")
}

impl Json for DocumentValues {
    type Node<'a> = SchemaValue<'a>;
    type PreparedKey = Box<str>;
    type StringBuffer = NameBuffer;

    // A look-up walks through the document, and a pass over all fields is such a walk, too.
    const KEYS_PER_LOOKUP: usize = usize::MAX >> 16;
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> Box<str> {
        key.into()
    }

    fn with_string_node<T>(
        buffer: &mut NameBuffer,
        string: &str,
        f: impl FnOnce(SchemaValue<'_>) -> T,
    ) -> T {
        string.clone_into(&mut buffer.text);
        // A text of its own has an address of its own, also if it is empty.
        buffer.text.push('\0');
        let bytes = buffer.text.as_bytes();
        f(SchemaValue {
            budget: &buffer.budget,
            kind: Kind::String,
            value: &bytes[..string.len()],
            begin: &bytes[0],
            level: Level::Inner,
        })
    }
}

impl<'a> Node<'a, DocumentValues> for SchemaValue<'a> {
    type Object = Self;
    type Array = Self;
    type Number = SchemaNumber;

    fn as_object(&self) -> Option<Self> {
        (self.kind() == Kind::Document).then_some(*self)
    }

    fn as_array(&self) -> Option<Self> {
        (self.kind() == Kind::Array).then_some(*self)
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        self.text().map(Cow::Borrowed)
    }

    fn as_number(&self) -> Option<SchemaNumber> {
        self.number().map(SchemaNumber)
    }

    fn is_number(&self) -> bool {
        matches!(self.kind(), Kind::Int32 | Kind::Int64 | Kind::Double)
    }

    fn as_boolean(&self) -> Option<bool> {
        self.boolean()
    }

    fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }

    fn json_type(&self) -> JsonType {
        match self.kind() {
            Kind::Double | Kind::Int32 | Kind::Int64 => JsonType::Number,
            Kind::String => JsonType::String,
            Kind::Document => JsonType::Object,
            Kind::Array => JsonType::Array,
            Kind::Boolean => JsonType::Boolean,
            Kind::Null => JsonType::Null,
        }
    }

    fn equals_value(&self, expected: &Value) -> bool {
        match expected {
            Value::Null => self.is_null(),
            Value::Bool(expected) => self.boolean() == Some(*expected),
            Value::String(expected) => {
                self.kind() == Kind::String && self.value == expected.as_bytes()
            }
            Value::Number(expected) => {
                let number = self.as_number();
                number.is_some_and(|number| cmp::equal_numbers(&number, expected))
            }
            Value::Array(expected) => {
                self.kind() == Kind::Array
                    && Array::len(self) == expected.len()
                    && self
                        .elements()
                        .zip(expected)
                        .all(|(item, expected)| item.equals_value(expected))
            }
            Value::Object(expected) => {
                self.kind() == Kind::Document
                    && Object::len(self) == expected.len()
                    && self.members().all(|(name, value)| {
                        expected
                            .get(name)
                            .is_some_and(|expected| value.equals_value(expected))
                    })
            }
        }
    }

    fn to_value(&self) -> Cow<'a, Value> {
        let owned = |value: Self| value.to_value().into_owned();
        self.budget.take(self.value.len());
        Cow::Owned(match self.kind() {
            Kind::Null => Value::Null,
            Kind::Boolean => Value::from(self.boolean()),
            Kind::Double | Kind::Int32 | Kind::Int64 => {
                self.number().map_or(Value::Null, Value::Number)
            }
            Kind::String => Value::from(self.text()),
            Kind::Array => self.elements().map(owned).collect(),
            Kind::Document => {
                let fields = self.members();
                let fields = fields.map(|(name, value)| (name.to_owned(), owned(value)));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        })
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(std::ptr::from_ref(self.begin).addr()))
    }
}

/// Holds the name of a field while it is judged as a text.
pub(super) struct NameBuffer {
    text: String,
    /// A name is looked at a few times only.
    budget: Budget,
}

impl Default for NameBuffer {
    fn default() -> Self {
        Self {
            text: String::new(),
            budget: Budget::new(usize::MAX),
        }
    }
}

/// A number, as jsonschema reads it.
pub(super) struct SchemaNumber(Number);

impl JsonNumber for SchemaNumber {
    fn as_u64(&self) -> Option<u64> {
        self.0.as_u64()
    }

    fn as_i64(&self) -> Option<i64> {
        self.0.as_i64()
    }

    fn as_f64(&self) -> Option<f64> {
        self.0.as_f64()
    }

    fn as_str(&self) -> Cow<'_, str> {
        Cow::Owned(self.0.to_string())
    }

    fn to_number(&self) -> Cow<'_, Number> {
        Cow::Borrowed(&self.0)
    }
}
