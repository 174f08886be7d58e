//! The accepted forms of `created_at`, tested against a table and against the parser of jiff.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, ISOWeekDate, Time, Weekday};
use proptest::prelude::*;

use super::super::created_at::check;
use super::{check_refused, document_of, with_metadata};
use crate::core::rejection::Reason;

#[test]
fn every_rfc_3339_form_is_accepted_and_so_is_a_missing_offset() {
    check_all_accepted(&[
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
    ]);
}

#[test]
fn every_other_date_of_iso_8601_is_accepted_with_and_without_a_time() {
    for date in [
        "2023-07-15",
        "20230715",
        "2023-196",
        "2023196",
        "2024-366",
        "2023-W28-6",
        "2023W286",
        "2020-W53-7",
        "0000-W52-7",
    ] {
        check_all_accepted(&[date, &format!("{date}T123456Z"), &format!("{date} 12:34")]);
    }
}

#[test]
fn every_other_time_of_iso_8601_is_accepted() {
    check_all_accepted(&[
        "2023-07-15T12:34Z",
        "2023-07-15T12:34",
        "2023-07-15T12Z",
        "2023-07-15T12",
        "2023-07-15T12:34:56,789Z",
        "2023-07-15T12:34,5Z",
        "2023-07-15T12.25+02",
        "2023-07-15T12:34:56+02",
        "2023-07-15T12:34:56+0200",
        "2023-07-15T12:34:56.789+0000",
        "2023-07-15T12:34-0330",
        "2023-07-15T24:00:00Z",
        "2023-07-15T24:00:00.000Z",
        "2023-07-15T24:00",
        "20230715T123456Z",
        "20230715T123456.789Z",
        "20230715T123456,789+0200",
        "20230715T123456-02",
        "20230715T1234Z",
        "20230715T12",
        "20230715T240000",
        // The basic form of one part and the extended form of another one.
        "20230715T12:34:56Z",
        "2023-07-15T123456Z",
        "20230715T123456+02:00",
    ]);
}

#[track_caller]
fn check_all_accepted(texts: &[&str]) {
    for text in texts {
        assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
    }
}

#[test]
fn every_other_form_is_refused() {
    for text in [
        "",
        "now",
        "2023",
        "202307",
        "2023-07",
        "2023-W28",
        "2023W28",
        "1689424496",
        "1689424496789",
        "2023-07-15T",
        "2023-07-15Z",
        "2023-07-15+02:00",
        "2023-0715",
        "202307-15",
        "2023-W286",
        "2023W28-6",
        "2023-W28-6-1",
        "2023-W8-6",
        "2023-w28-6",
        "2023-07-15T1",
        "2023-07-15T12:",
        "2023-07-15T12:3",
        "2023-07-15T123",
        "2023-07-15T12345",
        "2023-07-15T12:3456",
        "2023-07-15T1234:56",
        "2023-07-15T12:34:5",
        "2023-07-15T12:34:56.",
        "2023-07-15T12:34:56.Z",
        "2023-07-15T12:34:56,Z",
        "2023-07-15T12:34:56.5.5Z",
        "2023-07-15T12.5:34Z",
        "2023-07-15T12:34:56 Z",
        "2023-07-15T12:34:56 +0000",
        "2023-07-15T12:34:56ZZ",
        "2023-07-15T12:34:56Z ",
        " 2023-07-15T12:34:56Z",
        "2023-07-15T12:34:56+2",
        "2023-07-15T12:34:56+020",
        "2023-07-15T12:34:56+2:00",
        "2023-07-15T12:34:56+24:00",
        "2023-07-15T12:34:56+2400",
        "2023-07-15T12:34:56+24",
        "2023-07-15T12:34:56+02:60",
        "2023-07-15T12:34:56+0260",
        "2023-07-15T12:34:56+02:0x",
        "2023-07-15T12:34:56+02:00:00",
        "2023-07-15T12:34:56+",
        "2023-07-15T12:34:56Z[UTC]",
        "2023-07-15T12:34:56UTC",
        "2023-07-15_12:34:56Z",
        "2023-07-15  12:34:56Z",
        "2023-07-15T24:00:01Z",
        "2023-07-15T24:00:00.001Z",
        "2023-07-15T24:01Z",
        "2023-07-15T24.5Z",
        "2023-07-15T25:00:00Z",
        "2023-07-15T12:60:00Z",
        "2023-07-15T12:34:61Z",
        "2023-07-15T-1:34:56Z",
        "2023-00-15T12:34:56Z",
        "2023-13-15T12:34:56Z",
        "2023-07-00T12:34:56Z",
        "2023-07-32T12:34:56Z",
        "2023-04-31T12:34:56Z",
        "2023-02-29T12:34:56Z",
        "20230229",
        "20230732T123456Z",
        "1900-02-29T12:34:56Z",
        "2100-02-29T12:34:56Z",
        "2024-02-30T12:34:56Z",
        "2023-000",
        "2023-366",
        "2024-367",
        "2023366",
        "2023-W00-1",
        "2023-W53-1",
        "2020-W54-1",
        "2023-W28-0",
        "2023-W28-8",
        "2023W288",
        "23-07-15T12:34:56Z",
        "230715T123456Z",
        "12023-07-15T12:34:56Z",
        "+2023-07-15T12:34:56Z",
        "+002023-07-15T12:34:56Z",
        "-002023-07-15T12:34:56Z",
        "2023-7-15T12:34:56Z",
        "2023/07/15T12:34:56Z",
        "２０２３-07-15T12:34:56Z",
        "2023-07-15T12:34:56\u{0}",
        "2023-07-15T12:34:56−02:00",
    ] {
        let why = check(text.as_bytes()).expect_err(text);
        assert!(why.starts_with("is ") || why.starts_with("its "), "{why}");
    }
}

#[test]
fn created_at_is_stored_unchanged() {
    for sent in [
        "2023-07-15 12:34:56.100+02:00",
        "20230715T12,50+0200",
        "2023-W28-6",
    ] {
        let message = with_metadata("{}").replace("2023-07-15T12:34:56Z", sent);
        assert_eq!(document_of(message).get_str("created_at").unwrap(), sent);
    }
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

/// The text of a date, and whether the calendar has that date.
fn date() -> impl Strategy<Value = (String, bool)> {
    let hyphen = || prop_oneof![Just("-"), Just("")];
    let calendar = (
        year(),
        two_digits(13),
        prop_oneof![two_digits(32), 28..=31u8],
        hyphen(),
    )
        .prop_map(|(year, month, day, hyphen)| {
            let exists = Date::new(year, signed(month), signed(day)).is_ok();
            (
                format!("{year:04}{hyphen}{month:02}{hyphen}{day:02}"),
                exists,
            )
        });
    let ordinal = (year(), prop_oneof![0..=400i16, 364..=367i16], hyphen()).prop_map(
        |(year, day, hyphen)| {
            let first = Date::new(year, 1, 1).unwrap();
            let exists = first.with().day_of_year(day).build().is_ok();
            (format!("{year:04}{hyphen}{day:03}"), exists)
        },
    );
    let week = (
        year(),
        prop_oneof![two_digits(54), 51..=54u8],
        0..=9u8,
        hyphen(),
    )
        .prop_map(|(year, week, day, hyphen)| {
            let exists = Weekday::from_monday_one_offset(signed(day))
                .is_ok_and(|day| ISOWeekDate::new(year, signed(week), day).is_ok());
            (format!("{year:04}{hyphen}W{week:02}{hyphen}{day}"), exists)
        });
    prop_oneof![2 => calendar, 1 => ordinal, 1 => week]
}

fn signed(field: u8) -> i8 {
    i8::try_from(field).unwrap()
}

/// The text of a time of day, and whether a day has that time.
fn time() -> impl Strategy<Value = (String, bool)> {
    let colon = prop_oneof![Just(":"), Just("")];
    let fields = prop::collection::vec(two_digits(60), 0..=2);
    (two_digits(24), fields, colon, "([.,][0-9]{1,12})?").prop_map(
        |(hour, fields, colon, fraction)| {
            let later = fields.iter().map(|field| format!("{colon}{field:02}"));
            let text = format!("{hour:02}") + &later.collect::<String>();
            let minute = fields.first().copied().unwrap_or(0);
            let second = fields.get(1).copied().unwrap_or(0);
            let clamped = if second == 60 { 59 } else { second };
            let is_end_of_day = hour == 24
                && minute == 0
                && second == 0
                && fraction.bytes().all(|c| matches!(c, b'0' | b'.' | b','));
            let exists = is_end_of_day
                || Time::new(signed(hour), signed(minute), signed(clamped), 0).is_ok();
            (text + &fraction, exists)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn the_same_days_and_times_are_valid_as_for_jiff(
        (date, date_exists) in date(), (time, time_exists) in time(), separator in "[Tt ]",
        offset in "(Z|z|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?)?",
    ) {
        prop_assert_eq!(check(date.as_bytes()).is_ok(), date_exists, "{}", date);
        let text = format!("{date}{separator}{time}{offset}");
        prop_assert_eq!(check(text.as_bytes()).is_ok(), date_exists && time_exists, "{}", text);
    }

    #[test]
    fn the_ordinary_forms_are_valid_exactly_if_jiff_can_parse_them(
        year in year(), month in two_digits(13), day in prop_oneof![two_digits(32), 28..=31u8],
        hour in two_digits(23), minute in two_digits(60), second in two_digits(60),
        separator in "[Tt ]", fraction in "([.,][0-9]{1,9})?", offset in "(Z|z|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])?",
    ) {
        let text = format!(
            "{year:04}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}{fraction}{offset}"
        );
        let parsed = if offset.is_empty() {
            text.parse::<DateTime>().is_ok()
        } else {
            text.parse::<Timestamp>().is_ok()
        };
        prop_assert_eq!(check(text.as_bytes()).is_ok(), parsed, "{}", text);
    }

    #[test]
    fn a_damaged_text_is_accepted_only_if_it_names_a_day(
        (date, _) in date(), (time, _) in time(), offset in "(Z|[+-]0[0-9]:?[0-5]0)?",
        at in any::<prop::sample::Index>(), by in "[0-9TtWZz:.,+ -]{0,2}", replaced in 0..=2usize,
    ) {
        let mut text = format!("{date}T{time}{offset}");
        let at = at.index(text.len());
        let end = (at + replaced).min(text.len());
        text.replace_range(at..end, &by);
        if check(text.as_bytes()).is_ok() {
            let date = text.split(['T', 't', ' ']).next().unwrap();
            prop_assert!(names_a_day(date), "{}", text);
        }
    }
}

/// Reads the digits of a date by its length, without its hyphens, and asks jiff whether the day exists.
fn names_a_day(date: &str) -> bool {
    let compact = date.replace('-', "");
    let part = |range: std::ops::Range<usize>| compact[range].parse::<i16>().unwrap();
    let small = |range| i8::try_from(part(range)).unwrap();
    if compact.as_bytes()[4] == b'W' {
        let day = Weekday::from_monday_one_offset(small(7..8)).unwrap();
        return compact.len() == 8 && ISOWeekDate::new(part(0..4), small(5..7), day).is_ok();
    }
    match compact.len() {
        8 => Date::new(part(0..4), small(4..6), small(6..8)).is_ok(),
        7 => Date::new(part(0..4), 1, 1)
            .unwrap()
            .with()
            .day_of_year(part(4..7))
            .build()
            .is_ok(),
        _ => false,
    }
}
