//! The accepted forms of `created_at`, tested against a table and against the parser of jiff.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use proptest::prelude::*;

use super::super::created_at::check;
use super::{check_refused, document_of, with_metadata};
use crate::core::rejection::Reason;

#[test]
fn every_rfc_3339_form_is_accepted_and_so_is_a_missing_offset() {
    for text in [
        "2023-07-15T12:34:56.789Z",
        "2023-07-15T12:34:56Z",
        "2023-07-15t12:34:56z",
        "2023-07-15 12:34:56Z",
        "2023-07-15 12:34:56.123456+02:00",
        "2023-07-15T12:34:56",
        "2023-07-15T12:34:56.789",
        "2023-07-15T12:34:56.1",
        "2023-07-15T12:34:56.123456789012345678901234567890Z",
        "2023-07-15T12:34:56+00:00",
        "2023-07-15T12:34:56-00:00",
        "2023-07-15T12:34:56+23:59",
        "2023-07-15T12:34:56.5-23:59",
        "2016-12-31T23:59:60Z",
        "2023-07-15T00:00:00Z",
        "2023-07-15T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2000-02-29T00:00:00Z",
        "2024-02-29T00:00:00Z",
        "0000-02-29T00:00:00Z",
        "2023-04-30T00:00:00Z",
        "2023-12-31T00:00:00Z",
    ] {
        assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
    }
}

#[test]
fn every_other_form_is_refused() {
    for text in [
        "",
        "now",
        "1689424496",
        "2023-07-15",
        "2023-07-15T",
        "2023-07-15Z",
        "2023-07-15T12",
        "2023-07-15T12:34",
        "2023-07-15T12:34Z",
        "2023-07-15T12:34:5",
        "2023-07-15T12:34:56.",
        "2023-07-15T12:34:56.Z",
        "2023-07-15T12:34:56,5Z",
        "2023-07-15T12:34:56.5.5Z",
        "2023-07-15T12:34:56 Z",
        "2023-07-15T12:34:56ZZ",
        "2023-07-15T12:34:56Z ",
        " 2023-07-15T12:34:56Z",
        "2023-07-15T12:34:56+02",
        "2023-07-15T12:34:56+0200",
        "2023-07-15T12:34:56+2:00",
        "2023-07-15T12:34:56+24:00",
        "2023-07-15T12:34:56+02:60",
        "2023-07-15T12:34:56+02:0x",
        "2023-07-15T12:34:56+02:00:00",
        "2023-07-15T12:34:56Z[UTC]",
        "2023-07-15T12:34:56UTC",
        "2023-07-15_12:34:56Z",
        "2023-07-15  12:34:56Z",
        "2023-07-15T24:00:00Z",
        "2023-07-15T12:60:00Z",
        "2023-07-15T12:34:61Z",
        "2023-07-15T-1:34:56Z",
        "2023-00-15T12:34:56Z",
        "2023-13-15T12:34:56Z",
        "2023-07-00T12:34:56Z",
        "2023-07-32T12:34:56Z",
        "2023-04-31T12:34:56Z",
        "2023-02-29T12:34:56Z",
        "1900-02-29T12:34:56Z",
        "2100-02-29T12:34:56Z",
        "2024-02-30T12:34:56Z",
        "23-07-15T12:34:56Z",
        "12023-07-15T12:34:56Z",
        "+2023-07-15T12:34:56Z",
        "-002023-07-15T12:34:56Z",
        "2023-7-15T12:34:56Z",
        "20230715T123456Z",
        "2023-W28-6T12:34:56Z",
        "2023-196T12:34:56Z",
        "2023/07/15T12:34:56Z",
        "２０２３-07-15T12:34:56Z",
        "2023-07-15T12:34:56\u{0}",
        "2023-07-15T12:34:56−02:00",
    ] {
        let why = check(text.as_bytes()).expect_err(text);
        assert!(why.starts_with("is ") || why.starts_with("its ") || why.starts_with("has "));
    }
}

#[test]
fn created_at_is_stored_unchanged() {
    let sent = "2023-07-15 12:34:56.100+02:00";
    let message = with_metadata("{}").replace("2023-07-15T12:34:56Z", sent);
    assert_eq!(document_of(message).get_str("created_at").unwrap(), sent);
}

#[test]
fn escapes_in_created_at_are_decoded_before_the_check() {
    let good = with_metadata("{}");
    document_of(good.replace("2023-07", r"2023\u002d07"));
    check_refused(
        good.replace("2023-07", r"2023\u002e07"),
        Reason::InvalidField,
        Some("created_at"),
    );
}

/// A number of two digits, most often one from 0 to `last`.
fn two_digits(last: u8) -> impl Strategy<Value = u8> {
    prop_oneof![4 => 0..=last, 1 => 0..=99u8]
}

fn year() -> impl Strategy<Value = i16> {
    // Whole centuries are frequent because the leap year rule differs there.
    prop_oneof![2 => 0..=9998i16, 1 => (0..=99i16).prop_map(|century| century * 100)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn the_same_days_and_times_are_valid_as_for_jiff(
        year in year(), month in two_digits(13), day in prop_oneof![two_digits(32), 28..=31u8],
        hour in two_digits(24), minute in two_digits(60), second in two_digits(60),
        separator in "[Tt ]", fraction in "(\\.[0-9]{1,9})?",
        offset in prop_oneof![
            Just(None),
            Just(Some("Z".to_owned())),
            Just(Some("z".to_owned())),
            "[+-]([01][0-9]|2[0-3]):[0-5][0-9]".prop_map(Some),
        ],
    ) {
        let text = format!(
            "{year:04}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}{fraction}{}",
            offset.as_deref().unwrap_or_default()
        );
        let signed = |field: u8| i8::try_from(field).unwrap();
        let clamped = if second == 60 { 59 } else { second };
        let exists = Date::new(year, signed(month), signed(day)).is_ok()
            && Time::new(signed(hour), signed(minute), signed(clamped), 0).is_ok();
        prop_assert_eq!(check(text.as_bytes()).is_ok(), exists, "{}", text);

        let parsed = match offset {
            Some(_) => text.parse::<Timestamp>().is_ok(),
            None => text.parse::<DateTime>().is_ok(),
        };
        prop_assert_eq!(parsed, exists, "jiff's parser, of {}", text);
    }

    #[test]
    fn jiff_can_parse_every_accepted_text(
        text in "2023-07-15T12:34:56(\\.[0-9]{1,9})?(Z|[+-]0[0-9]:[0-5]0)?",
        at in any::<prop::sample::Index>(),
        by in "[0-9TtZz:.+ -]{0,2}",
        replaced in 0..=2usize,
    ) {
        let at = at.index(text.len());
        let end = (at + replaced).min(text.len());
        let text = format!("{}{by}{}", &text[..at], &text[end..]);
        let fraction = text.split('.').nth(1).map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
        if check(text.as_bytes()).is_ok() && fraction <= 9 {
            prop_assert!(text.parse::<DateTime>().is_ok() || text.parse::<Timestamp>().is_ok(), "{}", text);
        }
    }
}
