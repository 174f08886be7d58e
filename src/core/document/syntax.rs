//! Checks whether a payload is valid JSON. This runs only after the payload was refused: a payload that
//! isn't valid JSON is `invalid_json`, even if another fault was found first. Only JSON's syntax is
//! checked here, none of the rules for messages.

use std::str::Utf8Error;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::fault::JsonType;
use crate::core::rejection::{Reason, Rejection};

pub(super) fn not_utf8(error: &Utf8Error) -> Rejection {
    // Byte order marks of UTF-16 and UTF-32 fail here too: they aren't UTF-8.
    let position = error.valid_up_to();
    invalid(&format!("it isn't UTF-8 (from byte offset {position} on)"))
}

/// Refuses a text that isn't exactly one JSON value.
///
/// After this check the real parser can fail only at a number beyond the range of a double:
/// [`IgnoredAny`] has no depth limit and doesn't check the size of numbers.
pub(super) fn check(text: &str) -> Result<(), Rejection> {
    if text.starts_with('\u{feff}') {
        return Err(invalid(
            "it begins with a byte order mark (EF BB BF); leave it out",
        ));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    IgnoredAny::deserialize(&mut deserializer)
        .and_then(|_| deserializer.end())
        .map_err(|error| invalid(&error.to_string()))?;
    match lone_surrogate(text.as_bytes()) {
        None => Ok(()),
        Some(position) => {
            let before = &text[..position];
            let line = before.matches('\n').count() + 1;
            let column = position - before.rfind('\n').map_or(0, |newline| newline + 1) + 1;
            Err(invalid(&format!(
                "lone surrogate in a \\u escape at line {line} column {column}"
            )))
        }
    }
}

fn invalid(error: &str) -> Rejection {
    Rejection::new(
        Reason::InvalidJson,
        format!("the message is not valid JSON: {error}"),
    )
}

/// The type of the value of a valid JSON text, judged by its first character.
pub(super) fn top_level_type(text: &str) -> JsonType {
    match text.bytes().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => JsonType::Object,
        Some(b'[') => JsonType::Array,
        Some(b'"') => JsonType::String,
        Some(b't' | b'f') => JsonType::Boolean,
        Some(b'n') => JsonType::Null,
        _ => JsonType::Number,
    }
}

/// The position of the first `\u` escape that is one half of a surrogate pair without the other half.
/// All escapes in `text` must be complete. JSON's grammar allows a lone surrogate, but it isn't a
/// character and has no UTF-8 encoding.
fn lone_surrogate(text: &[u8]) -> Option<usize> {
    let mut position = 0;
    while let Some(rest) = text.get(position..) {
        match rest {
            [] => break,
            [b'\\', b'u', ..] => match (code_unit(rest), rest.get(6..).and_then(code_unit)) {
                (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => position += 12,
                (Some(0xD800..=0xDFFF), _) => return Some(position),
                _ => position += 6,
            },
            // Backslashes occur only inside strings, so this need not track where strings begin.
            [b'\\', ..] => position += 2,
            [_, ..] => position += 1,
        }
    }
    None
}

/// The UTF-16 code unit of the `\uXXXX` escape at the beginning of `bytes`.
fn code_unit(bytes: &[u8]) -> Option<u16> {
    let digits = std::str::from_utf8(bytes.strip_prefix(br"\u")?.get(..4)?).ok()?;
    u16::from_str_radix(digits, 16).ok()
}
