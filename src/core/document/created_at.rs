//! Checks the format of `created_at`: a date of ISO 8601, with or without a time of day and a UTC offset. The text is
//! checked and stored unchanged.

/// A time of day or a date after the part that was read.
type Rest<'a> = &'a [u8];

const FORM: &str = "is not of such a form";
const TIME_RANGE: &str = "its time of day is out of range";

/// Checks a date and time such as `2023-07-15T12:34:56.789Z`.
///
/// ISO 8601 also allows a date alone, a time without seconds or minutes, a comma before the fraction, the basic forms
/// without hyphens and colons, the day of a year (`2023-196`), the day of a week (`2023-W28-6`), and 24:00:00 for the
/// end of a day. RFC 3339 §5.6 allows lower-case `t` and `z` and a space instead of the `T`. Both allow the second 60.
/// The UTC offset may be missing because Python's `isoformat` writes none for a time without a zone. Producers also
/// combine extended times with basic offsets (`12:34:56+0000`), so each part may have either form.
///
/// The year has four digits, and a fraction may have any number of digits. A month or a year alone is refused because
/// it names no day. The error is a clause that follows the word "but".
pub(super) fn check(text: &[u8]) -> Result<(), &'static str> {
    match date(text)? {
        [] => Ok(()),
        [b'T' | b't' | b' ', time @ ..] => offset(time_of_day(time)?),
        _ => Err(FORM),
    }
}

/// Reads a calendar date, a week date or an ordinal date, in the extended or the basic form.
#[inline]
fn date(text: &[u8]) -> Result<Rest<'_>, &'static str> {
    match text {
        [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, rest @ ..] => {
            calendar_date([y1, y2, y3, y4], [m1, m2], [d1, d2])?;
            Ok(rest)
        }
        [y1, y2, y3, y4, b'-', b'W', w1, w2, b'-', d, rest @ ..]
        | [y1, y2, y3, y4, b'W', w1, w2, d, rest @ ..] => {
            week_date([y1, y2, y3, y4], [w1, w2], [d])?;
            Ok(rest)
        }
        [y1, y2, y3, y4, b'-', d1, d2, d3, rest @ ..] => {
            ordinal_date([y1, y2, y3, y4], [d1, d2, d3])?;
            Ok(rest)
        }
        [y1, y2, y3, y4, m1, m2, d1, d2 @ b'0'..=b'9', rest @ ..] => {
            calendar_date([y1, y2, y3, y4], [m1, m2], [d1, d2])?;
            Ok(rest)
        }
        [y1, y2, y3, y4, d1, d2, d3, rest @ ..] => {
            ordinal_date([y1, y2, y3, y4], [d1, d2, d3])?;
            Ok(rest)
        }
        _ => Err(FORM),
    }
}

#[inline]
fn calendar_date(year: [&u8; 4], month: [&u8; 2], day: [&u8; 2]) -> Result<(), &'static str> {
    let (year, month, day) = (number(year)?, number(month)?, number(day)?);
    if !(1..=12).contains(&month) {
        return Err("its month is not between 01 and 12");
    }
    if !(1..=days_of(month, year)).contains(&day) {
        return Err("its day does not exist in that month");
    }
    Ok(())
}

fn week_date(year: [&u8; 4], week: [&u8; 2], day: [&u8; 1]) -> Result<(), &'static str> {
    let (year, week, day) = (number(year)?, number(week)?, number(day)?);
    if !(1..=weeks_of(year)).contains(&week) {
        return Err("its week does not exist in that year");
    }
    if !(1..=7).contains(&day) {
        return Err("its day of the week is not between 1 and 7");
    }
    Ok(())
}

fn ordinal_date(year: [&u8; 4], day: [&u8; 3]) -> Result<(), &'static str> {
    let (year, day) = (number(year)?, number(day)?);
    let days = if is_leap(year) { 366 } else { 365 };
    if !(1..=days).contains(&day) {
        return Err("its day does not exist in that year");
    }
    Ok(())
}

/// Reads hours, perhaps minutes and seconds, and perhaps a fraction of the last of them.
#[inline]
fn time_of_day(text: &[u8]) -> Result<Rest<'_>, &'static str> {
    let [h1, h2, rest @ ..] = text else {
        return Err(FORM);
    };
    let zero = &b'0';
    let (minute, second, rest) = match rest {
        [b':', m1, m2, b':', s1, s2, rest @ ..]
        | [m1 @ b'0'..=b'9', m2, s1 @ b'0'..=b'9', s2, rest @ ..] => ([m1, m2], [s1, s2], rest),
        [b':', m1, m2, rest @ ..] | [m1 @ b'0'..=b'9', m2, rest @ ..] => {
            ([m1, m2], [zero; 2], rest)
        }
        _ => ([zero; 2], [zero; 2], rest),
    };
    let (hour, minute, second) = (number([h1, h2])?, number(minute)?, number(second)?);
    let (fraction, rest) = fraction(rest)?;
    let is_end_of_day = || {
        let is_zero = fraction.iter().all(|&digit| digit == b'0');
        (hour, minute, second) == (24, 0, 0) && is_zero
    };
    if (hour > 23 && !is_end_of_day()) || minute > 59 || second > 60 {
        return Err(TIME_RANGE);
    }
    Ok(rest)
}

/// Splits the digits of a fraction off. They are missing if there is no fraction.
#[inline]
fn fraction(text: &[u8]) -> Result<(&[u8], Rest<'_>), &'static str> {
    let [b'.' | b',', fraction @ ..] = text else {
        return Ok((&[], text));
    };
    match fraction.iter().take_while(|c| c.is_ascii_digit()).count() {
        0 => Err(FORM),
        digits => Ok(fraction.split_at(digits)),
    }
}

#[inline]
fn offset(text: &[u8]) -> Result<(), &'static str> {
    let (hours, minutes) = match text {
        [] | [b'Z' | b'z'] => return Ok(()),
        [b'+' | b'-', h1, h2, b':', m1, m2] | [b'+' | b'-', h1, h2, m1, m2] => {
            (number([h1, h2])?, number([m1, m2])?)
        }
        [b'+' | b'-', h1, h2] => (number([h1, h2])?, 0),
        _ => return Err(FORM),
    };
    if hours > 23 || minutes > 59 {
        return Err("its UTC offset is out of range");
    }
    Ok(())
}

#[inline]
fn number<const N: usize>(digits: [&u8; N]) -> Result<u16, &'static str> {
    let mut number = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(FORM);
        }
        number = number * 10 + u16::from(digit - b'0');
    }
    Ok(number)
}

fn is_leap(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of(month: u16, year: u16) -> u16 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A year has 53 weeks if it begins on a Thursday, or if it is a leap year and begins on a Wednesday.
fn weeks_of(year: u16) -> u16 {
    // The calendar repeats every 400 years, which are a whole number of weeks.
    let previous = year + 399;
    let days_of_leap_years = previous / 4 - previous / 100 + previous / 400;
    // 0 is Monday.
    let first_day = (previous + days_of_leap_years) % 7;
    if first_day == 3 || (first_day == 2 && is_leap(year)) {
        53
    } else {
        52
    }
}
