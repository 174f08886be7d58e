//! Checks the format of `created_at`: RFC 3339, with or without a UTC offset. The text is checked and
//! stored unchanged.

/// Checks a date and time such as `2023-07-15T12:34:56.789Z`.
///
/// RFC 3339 §5.6 also allows lower-case `t` and `z`, a space instead of the `T`, the second 60, and any
/// number of digits in the fraction. The offset may be missing because Python's `isoformat` writes none for
/// a time without a zone. The error is a clause that follows the word "but".
pub(super) fn check(text: &[u8]) -> Result<(), &'static str> {
    const FORM: &str = "is not of that form";
    let [y1, y2, y3, y4, b'-', mo1, mo2, b'-', d1, d2, time @ ..] = text else {
        return Err(FORM);
    };
    let year = number([y1, y2, y3, y4]).ok_or(FORM)?;
    let month = number([mo1, mo2]).ok_or(FORM)?;
    let day = number([d1, d2]).ok_or(FORM)?;
    if !(1..=12).contains(&month) {
        return Err("its month is not between 01 and 12");
    }
    if !(1..=days_of(month, year)).contains(&day) {
        return Err("its day does not exist in that month");
    }

    let [separator, h1, h2, b':', mi1, mi2, b':', s1, s2, rest @ ..] = time else {
        return Err(if time.is_empty() {
            "has no time of day"
        } else {
            FORM
        });
    };
    if !matches!(separator, b'T' | b't' | b' ') {
        return Err(FORM);
    }
    let hour = number([h1, h2]).ok_or(FORM)?;
    let minute = number([mi1, mi2]).ok_or(FORM)?;
    let second = number([s1, s2]).ok_or(FORM)?;
    if hour > 23 || minute > 59 || second > 60 {
        return Err("its time of day is out of range");
    }

    let offset = match rest {
        [b'.', fraction @ ..] => {
            let digits = fraction.iter().take_while(|c| c.is_ascii_digit()).count();
            if digits == 0 {
                return Err(FORM);
            }
            &fraction[digits..]
        }
        _ => rest,
    };
    match offset {
        [] | [b'Z' | b'z'] => Ok(()),
        [b'+' | b'-', h1, h2, b':', m1, m2] => {
            let hours = number([h1, h2]).ok_or(FORM)?;
            let minutes = number([m1, m2]).ok_or(FORM)?;
            if hours > 23 || minutes > 59 {
                return Err("its UTC offset is out of range");
            }
            Ok(())
        }
        _ => Err(FORM),
    }
}

fn number<const N: usize>(digits: [&u8; N]) -> Option<u16> {
    let mut number = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u16::from(digit - b'0');
    }
    Some(number)
}

fn days_of(month: u16, year: u16) -> u16 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
