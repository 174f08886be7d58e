//! A point in time, as it is typed on the command line: an age or an instant.

use std::str::FromStr;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// This long before the present.
    Ago(SignedDuration),
    At(Timestamp),
}

impl Moment {
    /// The point in time, given the present one.
    pub fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(timestamp) => timestamp,
            Self::Ago(age) => now.checked_sub(age).unwrap_or(Timestamp::MIN),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(timestamp) = text.parse::<Timestamp>() {
            return Ok(Self::At(timestamp));
        }
        let age = text.parse::<Span>().ok().and_then(|span| {
            span.to_duration(SpanRelativeTo::days_are_24_hours())
                .ok()
                .filter(|age| !age.is_negative())
        });
        age.map(Self::Ago).ok_or_else(|| {
            "it must be an age such as 90s, 15m, 1h or 2d, or an instant such as \
             2023-07-15T12:34:56Z"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_instants_are_parsed() {
        let now: Timestamp = "2023-07-15T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("90s", "2023-07-15T11:58:30Z"),
            ("15m", "2023-07-15T11:45:00Z"),
            ("1h", "2023-07-15T11:00:00Z"),
            ("1h30m", "2023-07-15T10:30:00Z"),
            ("2d", "2023-07-13T12:00:00Z"),
            ("0s", "2023-07-15T12:00:00Z"),
            ("2023-07-01T00:00:00Z", "2023-07-01T00:00:00Z"),
            ("2023-07-01T02:00:00+02:00", "2023-07-01T00:00:00Z"),
        ] {
            let moment: Moment = text.parse().unwrap();
            assert_eq!(moment.at(now).to_string(), expected, "{text}");
        }
    }

    #[test]
    fn ambiguous_times_are_refused() {
        for text in [
            "",
            "1",
            "yesterday",
            "-1h",
            "1 fortnight",
            "2023-07-15",
            "2023-07-15T12:00:00",
            "1mo",
        ] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_age_before_the_first_date_gives_the_first_date() {
        let moment: Moment = "170000000h".parse().unwrap();
        assert_eq!(moment.at(Timestamp::UNIX_EPOCH), Timestamp::MIN);
    }
}
