//! The path of a faulty field in a message, as text that is safe to print and bounded in length.

use std::fmt;

/// The most characters shown of one name.
const MAX_NAME_CHARS: usize = 64;
/// The most characters shown of the whole path.
const MAX_PATH_CHARS: usize = 200;

/// A path such as `metadata.tags[3]`. It is built only after a fault was found, from the innermost
/// field outwards, so a valid message pays nothing for it.
#[derive(Debug, Default)]
pub(super) struct FieldPath {
    innermost_first: Vec<Segment>,
}

#[derive(Debug)]
enum Segment {
    Name(String),
    Index(String),
}

impl FieldPath {
    /// Adds the next outer segment: the faulty value is in (or is) the field of this name.
    pub fn enclose_name(&mut self, name: &[u8]) {
        // One byte more than the longest uncut name has, so that `cut` can tell and mark a cut one.
        let shown = &name[..name.len().min(MAX_NAME_CHARS * 4 + 1)];
        let name = cut(&String::from_utf8_lossy(shown), MAX_NAME_CHARS);
        self.innermost_first.push(Segment::Name(name));
    }

    /// Adds the next outer segment: the faulty value is in (or is) the array item with this index,
    /// given in decimal digits.
    pub fn enclose_index(&mut self, digits: &[u8]) {
        let digits = String::from_utf8_lossy(digits).into_owned();
        self.innermost_first.push(Segment::Index(digits));
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut path = String::new();
        for segment in self.innermost_first.iter().rev() {
            match segment {
                Segment::Index(digits) => {
                    path.push('[');
                    path.push_str(digits);
                    path.push(']');
                }
                Segment::Name(name) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    push_name(&mut path, name);
                }
            }
        }
        f.write_str(&cut(&path, MAX_PATH_CHARS))
    }
}

/// Appends the name as it is, or quoted and escaped if it could be misread or isn't printable.
fn push_name(path: &mut String, name: &str) {
    let escaped = name.escape_debug().to_string();
    let plain = !name.is_empty() && escaped == name && !name.contains([' ', '.', '[', ']', '`']);
    if plain {
        path.push_str(name);
    } else {
        path.push('"');
        path.push_str(&escaped);
        path.push('"');
    }
}

/// Shortens `text` to `max_chars` characters; the last one then is an ellipsis.
pub(super) fn cut(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        None => text.to_owned(),
        Some(_) => text.chars().take(max_chars - 1).chain(['…']).collect(),
    }
}
