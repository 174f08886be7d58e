//! The objects and arrays of a document as jsonschema sees them.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use jsonschema::json::{Array, Object};
use serde_json::Number;

use super::document_id::whole;
use super::elements::{self, Elements, Kind, RawElement};
use super::message::RECEIVED_AT;
use super::schema_value::{Budget, DocumentValues, Level, SchemaValue, utf8};

impl<'a> Object<'a, DocumentValues> for SchemaValue<'a> {
    type Node = Self;
    type MemberName = &'a str;
    type MembersIter = Members<'a>;

    fn len(&self) -> usize {
        fields_of(self).count()
    }

    fn get(&self, key: &Box<str>) -> Option<Self> {
        let field = fields_of(self).find(|field| field.name == key.as_bytes())?;
        Some(Self::of(&field, self.budget))
    }

    fn members(&self) -> Members<'a> {
        Members(fields_of(self))
    }
}

impl<'a> Array<'a, DocumentValues> for SchemaValue<'a> {
    type Node = Self;
    type ElementsIter = Items<'a>;

    fn len(&self) -> usize {
        let count = elements::of(self.value).count();
        self.budget.take(count);
        count
    }

    fn elements(&self) -> Items<'a> {
        Items(elements::of(self.value), self.budget)
    }

    /// Compares hashes, so that many items take neither quadratic time nor much memory. A sender can't choose values whose
    /// hashes collide.
    fn is_unique(&self) -> bool {
        let hashes = RandomState::new();
        let hash_of = |item: Self| {
            let mut state = hashes.build_hasher();
            add_to(item, &hashes, &mut state);
            state.finish()
        };
        let mut items: Vec<(u64, usize)> = Vec::with_capacity(Array::len(self));
        items.extend(self.elements().map(hash_of).zip(0..));
        items.sort_unstable();
        items
            .chunk_by(|(one, _), (other, _)| one == other)
            .filter(|equal| equal.len() > 1)
            .all(|equal| {
                // Two of them are probably enough to know.
                let mut values = equal
                    .iter()
                    .filter_map(|&(_, place)| self.elements().nth(place));
                let first_two = values.next().zip(values.next());
                equal.len() == 2 && first_two.is_some_and(|(one, other)| !are_equal(one, other))
            })
    }
}

/// The fields of an object that are the message's.
fn fields_of<'a>(object: &SchemaValue<'a>) -> FieldElements<'a> {
    let mut elements = elements::of(object.value);
    if object.level == Level::TopWithoutId {
        // The worker writes it first.
        elements.next();
    }
    FieldElements {
        elements,
        is_top: object.level != Level::Inner,
        budget: object.budget,
    }
}

struct FieldElements<'a> {
    elements: Elements<'a>,
    is_top: bool,
    budget: &'a Budget,
}

impl<'a> Iterator for FieldElements<'a> {
    type Item = RawElement<'a>;

    #[inline]
    fn next(&mut self) -> Option<RawElement<'a>> {
        let element = self.elements.next()?;
        self.budget.take(1);
        if self.budget.is_used_up() {
            return None;
        }
        // It is the last one.
        let is_received_at = self.is_top && element.name == RECEIVED_AT.as_bytes();
        (!is_received_at).then_some(element)
    }
}

/// The names and the values of an object's fields.
pub(super) struct Members<'a>(FieldElements<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, SchemaValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let field = self.0.next()?;
        let value = SchemaValue::of(&field, self.0.budget);
        Some((utf8(field.name), value))
    }
}

/// The items of an array.
pub(super) struct Items<'a>(Elements<'a>, &'a Budget);

impl<'a> Iterator for Items<'a> {
    type Item = SchemaValue<'a>;

    fn next(&mut self) -> Option<SchemaValue<'a>> {
        self.1.take(1);
        (!self.1.is_used_up())
            .then(|| self.0.next())?
            .map(|item| SchemaValue::of(&item, self.1))
    }
}

/// Whether two values are equal, as JSON Schema says. It copies nothing, since a message may hold two large ones.
fn are_equal(one: SchemaValue<'_>, other: SchemaValue<'_>) -> bool {
    match (one.kind(), other.kind()) {
        (Kind::Int32 | Kind::Int64 | Kind::Double, Kind::Int32 | Kind::Int64 | Kind::Double) => {
            number_of(one) == number_of(other)
        }
        (Kind::Array, Kind::Array) => {
            let (mut items, mut others) = (one.elements(), other.elements());
            loop {
                match (items.next(), others.next()) {
                    (None, None) => return true,
                    (Some(item), Some(other)) if are_equal(item, other) => {}
                    _ => return false,
                }
            }
        }
        (Kind::Document, Kind::Document) => {
            Object::len(&one) == Object::len(&other)
                && one.members().all(|(name, value)| {
                    let found = other.members().find(|(other, _)| *other == name);
                    found.is_some_and(|(_, other)| are_equal(value, other))
                })
        }
        (kind, other_kind) => kind == other_kind && one.value == other.value,
    }
}

/// A number as it is compared: 1 and 1.0 are equal.
#[derive(PartialEq)]
enum Comparable {
    Whole(i64),
    /// The bits of a double that is no integer of 64 bits.
    Fraction(u64),
}

fn number_of(value: SchemaValue<'_>) -> Comparable {
    let number = value.number();
    let double = number.as_ref().and_then(Number::as_f64).unwrap_or(0.0);
    let integer = number.as_ref().and_then(Number::as_i64);
    integer
        .or_else(|| whole(double))
        .map_or_else(|| Comparable::Fraction(double.to_bits()), Comparable::Whole)
}

/// Adds what makes values unequal to `state`. Equal values add the same: 1 and 1.0 are equal, and so are objects whose
/// fields have another order.
fn add_to(value: SchemaValue<'_>, hashes: &RandomState, state: &mut impl Hasher) {
    match value.kind() {
        Kind::Int32 | Kind::Int64 | Kind::Double => match number_of(value) {
            Comparable::Whole(integer) => (1, integer).hash(state),
            Comparable::Fraction(bits) => (8, bits).hash(state),
        },
        Kind::String => (2, value.value).hash(state),
        Kind::Boolean => (3, value.value).hash(state),
        Kind::Null => 4.hash(state),
        Kind::Array => {
            5.hash(state);
            for item in value.elements() {
                add_to(item, hashes, state);
            }
            6.hash(state);
        }
        Kind::Document => {
            let fields = value.members().map(|(name, field)| {
                let mut state = hashes.build_hasher();
                name.hash(&mut state);
                add_to(field, hashes, &mut state);
                state.finish()
            });
            (7, fields.fold(0_u64, u64::wrapping_add)).hash(state);
        }
    }
}
