//! An operator's JSON Schema for messages: compiled once, then applied to each document.
//!
//! The schema judges the finished document, through `schema_value`. The document has the message's values unchanged, so no
//! second tree of the message is built.

use std::fmt;

use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::LocationSegment;
use jsonschema::{Draft, PatternOptions, ReferencingError, ValidationError, Validator};
use serde_json::Value;

use super::field_path::{FieldPath, cut};
use super::schema_value::{Budget, DocumentValues, SchemaValue};
use crate::core::rejection::{Reason, Rejection};

/// The only dialect, as `$schema` may name it.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The steps of a check, whatever the message, and for each byte of its document. Usual schemas take a few for each byte.
/// Without a limit, a schema with alternatives that lead back to itself could take time that doubles with each level.
const STEPS: usize = 1 << 20;
const STEPS_PER_BYTE: usize = 64;

/// The steps to find the violated keyword, which takes copies of parts of the message for each alternative of the schema. If
/// they aren't enough, only the verdict is told.
const STEPS_TO_EXPLAIN: usize = 1 << 19;

/// The most characters that are shown of a place in the schema.
const LONGEST_PLACE: usize = 200;

/// A compiled JSON Schema.
pub struct JsonSchema {
    validator: Validator<DocumentValues>,
}

impl JsonSchema {
    /// Compiles the text of a schema of draft 2020-12. The error says what is wrong with it.
    ///
    /// `format` is an annotation and checks nothing, as the draft says. A `pattern` is matched in linear time, whatever the
    /// message: look-around and back-references aren't supported. Nothing outside of the text is ever read.
    pub fn compile(text: &str) -> Result<Self, String> {
        let schema: Value =
            serde_json::from_str(text).map_err(|error| format!("not valid JSON: {error}"))?;
        if !matches!(schema, Value::Object(_) | Value::Bool(_)) {
            return Err("not a JSON Schema: it must be an object".to_owned());
        }
        match schema.get("$schema") {
            None => {}
            Some(Value::String(dialect)) if dialect.trim_end_matches('#') == DIALECT => {}
            Some(_) => {
                return Err(format!(
                    "not of draft 2020-12, which is the only one supported: `$schema` must be `{DIALECT}`, or be left out"
                ));
            }
        }
        let validator = jsonschema::options_for::<DocumentValues>()
            .with_draft(Draft::Draft202012)
            .offline()
            .should_validate_formats(false)
            .with_pattern_options(PatternOptions::regex())
            .build(&schema);
        let validator = validator.map_err(|error| fault_of_schema(&error))?;
        Ok(Self { validator })
    }

    /// Checks the document that a message has become. `has_own_id` tells whether the message itself has the `_id`.
    pub(super) fn check(&self, document: &[u8], has_own_id: bool) -> Result<(), Rejection> {
        let budget = Budget::new(STEPS + STEPS_PER_BYTE * document.len());
        let value = SchemaValue::of_message(document, has_own_id, &budget);
        let is_valid = self.validator.is_valid(value);
        if budget.is_used_up() {
            let error = "the schema that `message.schema` names takes too long on this message";
            return Err(Rejection::new(Reason::SchemaViolation, error));
        }
        if is_valid {
            return Ok(());
        }
        Err(self.violation(document, has_own_id))
    }

    #[cold]
    fn violation(&self, document: &[u8], has_own_id: bool) -> Rejection {
        let budget = Budget::new(STEPS_TO_EXPLAIN);
        let value = SchemaValue::of_message(document, has_own_id, &budget);
        match self.validator.validate(value) {
            Err(error) if !budget.is_used_up() => violation(&error),
            Ok(()) | Err(_) => {
                let error = "the message breaks the schema that `message.schema` names";
                Rejection::new(Reason::SchemaViolation, error)
            }
        }
    }
}

impl fmt::Debug for JsonSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonSchema").finish_non_exhaustive()
    }
}

/// The rejection for an error. The error's own text isn't used, because it quotes the value.
fn violation(error: &ValidationError<'_>) -> Rejection {
    let place = cut(error.schema_path().as_str(), LONGEST_PLACE);
    let keyword = match error.kind() {
        ValidationErrorKind::FalseSchema => "false".to_owned(),
        kind => cut(kind.keyword(), LONGEST_PLACE),
    };
    let field = path_of(error).to_string();
    if field.is_empty() {
        let error = format!("the message breaks `{keyword}` of its schema (at `{place}`)");
        return Rejection::new(Reason::SchemaViolation, error);
    }
    let error = format!("`{field}` breaks `{keyword}` of the message's schema (at `{place}`)");
    Rejection::of_field(Reason::SchemaViolation, field, error)
}

/// The place in the message: for a name that is missing, or that may not be there, with that name.
fn path_of(error: &ValidationError<'_>) -> FieldPath {
    let mut path = FieldPath::default();
    match error.kind() {
        ValidationErrorKind::Required {
            property: Value::String(name),
        } => path.enclose_name(name.as_bytes()),
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            if let Some(name) = unexpected.first() {
                path.enclose_name(name.as_bytes());
            }
        }
        // All others are about the value itself.
        _ => {}
    }
    let outermost_first: Vec<_> = error.instance_path().iter().collect();
    for segment in outermost_first.into_iter().rev() {
        match segment {
            LocationSegment::Property(name) => path.enclose_name(name.as_bytes()),
            LocationSegment::Index(index) => path.enclose_index(index.to_string().as_bytes()),
        }
    }
    path
}

/// What is wrong with the schema itself.
fn fault_of_schema(error: &ValidationError<'_>) -> String {
    match error.kind() {
        ValidationErrorKind::Referencing(ReferencingError::Unretrievable { uri, .. }) => format!(
            "it refers to `{}`, which is outside of the file: put that schema under `$defs`, because the worker reads no \
             other file and nothing over the network",
            cut(uri, LONGEST_PLACE)
        ),
        ValidationErrorKind::Referencing(error) => {
            format!(
                "a `$ref` leads nowhere: {}",
                cut(&error.to_string(), 2 * LONGEST_PLACE)
            )
        }
        _ => {
            let place = cut(error.instance_path().as_str(), LONGEST_PLACE);
            let place = if place.is_empty() {
                String::new()
            } else {
                format!(" at `{place}`")
            };
            format!(
                "not a valid JSON Schema{place}: {}",
                cut(&error.to_string(), 2 * LONGEST_PLACE)
            )
        }
    }
}
