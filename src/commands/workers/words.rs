//! Numbers, durations and sizes for people.

/// A whole number with groups of three digits: `1,234,567`.
pub(super) fn count(number: impl Into<i128>) -> String {
    let number = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// A number for each second: a decimal below 10.
pub(super) fn rate(number: f64) -> String {
    if number < 10.0 {
        format!("{number:.1}")
    } else {
        #[expect(clippy::cast_possible_truncation, reason = "far below the range")]
        let whole = number.round() as i64;
        count(whole)
    }
}

/// `3.2 ms`, `4.0 s`, `3 min`, `2 h 5 min`, `3 d 4 h`.
pub(super) fn duration(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "far below the range, and never negative"
    )]
    let minutes = (seconds.max(0.0) / 60.0) as u64;
    match (minutes, seconds) {
        (0, seconds) if seconds <= 0.0 => "0 s".to_owned(),
        (0, seconds) if seconds < 1.0 => format!("{:.1} ms", seconds * 1000.0),
        (0, seconds) => format!("{seconds:.1} s"),
        (1..60, _) => format!("{minutes} min"),
        (60..1440, _) => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} d {} h", minutes / 1440, minutes / 60 % 24),
    }
}

/// `12.3 MiB`.
pub(super) fn size(bytes: impl Into<i128>) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    let mebibytes = bytes.into() as f64 / f64::from(1 << 20);
    format!("{mebibytes:.1} MiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_groups() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (-1_234_567, "-1,234,567"),
        ] {
            assert_eq!(count(number), text);
        }
        assert_eq!(rate(0.04), "0.0");
        assert_eq!(rate(9.96), "10.0");
        assert_eq!(rate(12_345.6), "12,346");
    }

    #[test]
    fn durations_and_sizes_have_units() {
        for (seconds, text) in [
            (0.0, "0 s"),
            (-1.0, "0 s"),
            (0.0032, "3.2 ms"),
            (4.0, "4.0 s"),
            (180.0, "3 min"),
            (7500.0, "2 h 5 min"),
            (273_600.0, "3 d 4 h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!(size(12_900_000), "12.3 MiB");
    }
}
