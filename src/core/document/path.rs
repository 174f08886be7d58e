//! Where in a message a fault was met, as text of bounded length that is safe to print.

use std::fmt;

/// Characters of one name that are shown.
const MAX_NAME_CHARS: usize = 64;
/// Characters of the whole path that are shown.
const MAX_PATH_CHARS: usize = 200;

/// A path such as `metadata.tags[3]`. It is built only once a fault was met, from the inside out,
/// so that a message without one pays nothing for it.
#[derive(Debug, Default)]
pub(super) struct Path {
    innermost_first: Vec<Segment>,
}

#[derive(Debug)]
enum Segment {
    Name(String),
    Index(String),
}

impl Path {
    /// The place is within (or is) the field of this name.
    pub fn enclose_name(&mut self, name: &[u8]) {
        // One byte more than the longest name that isn't cut, so that a cut one shows.
        let shown = &name[..name.len().min(MAX_NAME_CHARS * 4 + 1)];
        let name = cut(&String::from_utf8_lossy(shown), MAX_NAME_CHARS);
        self.innermost_first.push(Segment::Name(name));
    }

    /// The place is within (or is) the array element of this number, given in decimal digits.
    pub fn enclose_index(&mut self, digits: &[u8]) {
        let digits = String::from_utf8_lossy(digits).into_owned();
        self.innermost_first.push(Segment::Index(digits));
    }
}

impl fmt::Display for Path {
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

/// A name as it is, or in quotes with escapes where it would be misread or can't be printed.
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

fn cut(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        None => text.to_owned(),
        Some(_) => text.chars().take(max_chars - 1).chain(['…']).collect(),
    }
}
