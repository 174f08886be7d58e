//! How a number was written, where its value alone doesn't tell: the parser rounds an integer that
//! fits neither `i64` nor `u64` to a double and says nothing.

/// 2⁶³: every integer below fits `i64`, so that a smaller double never was a rounded integer.
pub(super) const LARGE: f64 = 9_223_372_036_854_775_808.0;

/// Finds the literals of the large numbers, one after another, in the order in which the parser
/// comes to them. A payload is read at most once more, however many large numbers it has.
pub(super) struct LargeLiterals<'p> {
    rest: &'p [u8],
}

impl<'p> LargeLiterals<'p> {
    /// `payload` may be anything from its first fault on; nobody asks for a literal behind it.
    pub fn new(payload: &'p str) -> Self {
        Self {
            rest: payload.as_bytes(),
        }
    }

    /// Whether the next number of at least [`LARGE`], by amount, is written as an integer.
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
        // Never the case; and if it were, a number that is refused is not altered.
        true
    }
}

/// `None` if the number isn't large, else whether it is an integer.
fn large_integer(literal: &[u8]) -> Option<bool> {
    let text = std::str::from_utf8(literal).ok()?;
    if text.contains(['.', 'e', 'E']) {
        let value: f64 = text.parse().ok()?;
        (value.abs() >= LARGE).then_some(false)
    } else {
        text.parse::<i64>().is_err().then_some(true)
    }
}

/// What follows the closing quote of a string, given what follows the opening one.
fn after_string(mut bytes: &[u8]) -> &[u8] {
    loop {
        match bytes {
            [] => return bytes,
            [b'"', rest @ ..] => return rest,
            [b'\\', _, rest @ ..] | [_, rest @ ..] => bytes = rest,
        }
    }
}
