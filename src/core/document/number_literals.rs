//! Tells large integers from large doubles by how they are written. The parser rounds an integer that
//! fits neither `i64` nor `u64` to a double without reporting it.

/// 2⁶³. Every integer of a smaller magnitude fits `i64`, so a smaller double is never a rounded integer.
pub(super) const LARGE: f64 = 9_223_372_036_854_775_808.0;

/// Finds the literals of the large numbers in the order in which the parser reaches them. All calls
/// together read the payload once, however many large numbers it has.
pub(super) struct LargeLiterals<'p> {
    rest: &'p [u8],
}

impl<'p> LargeLiterals<'p> {
    /// `payload` need only be valid JSON up to its first fault: the parser stops there.
    pub fn new(payload: &'p str) -> Self {
        Self {
            rest: payload.as_bytes(),
        }
    }

    /// Whether the next number with a magnitude of at least [`LARGE`] is written as an integer.
    #[cold]
    pub fn next_is_integer(&mut self) -> bool {
        while let Some((&byte, rest)) = self.rest.split_first() {
            match byte {
                b'"' => self.rest = after_string(rest),
                b'-' | b'0'..=b'9' => {
                    let end = rest
                        .iter()
                        .position(|byte| {
                            !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')
                        })
                        .map_or(self.rest.len(), |position| position + 1);
                    let (literal, rest) = self.rest.split_at(end);
                    self.rest = rest;
                    if let Some(integer) = large_integer(literal) {
                        return integer;
                    }
                }
                _ => self.rest = rest,
            }
        }
        // Unreachable. `true` is the safe answer: it refuses the number instead of altering it.
        true
    }
}

/// `None` if the number isn't large, otherwise whether it is an integer.
fn large_integer(literal: &[u8]) -> Option<bool> {
    let text = std::str::from_utf8(literal).ok()?;
    if text.contains(['.', 'e', 'E']) {
        let value: f64 = text.parse().ok()?;
        (value.abs() >= LARGE).then_some(false)
    } else {
        text.parse::<i64>().is_err().then_some(true)
    }
}

/// Skips a string: takes the bytes after the opening quote, returns those after the closing one.
fn after_string(mut bytes: &[u8]) -> &[u8] {
    loop {
        match bytes {
            [] => return bytes,
            [b'"', rest @ ..] => return rest,
            [b'\\', _, rest @ ..] | [_, rest @ ..] => bytes = rest,
        }
    }
}
