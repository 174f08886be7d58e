//! Numbers: each is stored with its exact value (a double with the nearest one) or refused.

use bson::Bson;

use super::{check_refused, stored, with_value};
use crate::core::rejection::Reason;

fn check_double(literal: &str, expected: f64) {
    let Bson::Double(value) = stored(literal) else {
        panic!("{literal} is not stored as a double");
    };
    assert_eq!(value.to_bits(), expected.to_bits(), "{literal}: {value}");
}

fn check_unsupported(literal: &str) {
    check_refused(
        with_value(literal),
        Reason::UnsupportedNumber,
        Some("metadata.x"),
    );
}

#[test]
fn integers_are_stored_in_the_smallest_type_that_fits() {
    for (literal, value) in [
        ("0", 0),
        ("1", 1),
        ("-1", -1),
        ("2147483647", i32::MAX),
        ("-2147483648", i32::MIN),
    ] {
        assert_eq!(stored(literal), Bson::Int32(value), "{literal}");
    }
    for (literal, value) in [
        ("2147483648", 2_147_483_648),
        ("-2147483649", -2_147_483_649),
        ("9007199254740993", 9_007_199_254_740_993),
        ("9223372036854775806", i64::MAX - 1),
        ("9223372036854775807", i64::MAX),
        ("-9223372036854775807", i64::MIN + 1),
        ("-9223372036854775808", i64::MIN),
    ] {
        assert_eq!(stored(literal), Bson::Int64(value), "{literal}");
    }
}

#[test]
fn integers_beyond_64_bits_are_refused() {
    for literal in [
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551614",
        "18446744073709551615",
        "18446744073709551616",
        "-18446744073709551615",
        "-18446744073709551616",
        "123456789012345678901234567890",
        "-123456789012345678901234567890",
        &"9".repeat(400),
    ] {
        check_unsupported(literal);
    }
}

#[test]
fn negative_zero_keeps_its_sign() {
    check_double("-0", -0.0);
    check_double("-0.0", -0.0);
    check_double("-0e5", -0.0);
    check_double("-1e-999", -0.0);
}

#[test]
fn a_point_or_an_exponent_makes_a_double() {
    for (literal, value) in [
        ("0.0", 0.0),
        ("1.0", 1.0),
        ("1e0", 1.0),
        ("1E2", 100.0),
        ("1e+2", 100.0),
        ("100e-2", 1.0),
        ("0.1", 0.1),
        ("-2.5", -2.5),
        ("1e308", 1e308),
        ("1.7976931348623157e308", f64::MAX),
        ("-1.7976931348623157e308", f64::MIN),
        ("5e-324", 5e-324),
        ("2.2250738585072011e-308", 2.225_073_858_507_201e-308),
        ("1e-999", 0.0),
        ("0e999", 0.0),
        ("0e99999999999999999999", 0.0),
        ("9007199254740993.0", 9_007_199_254_740_992.0),
        ("9223372036854775808.0", 9_223_372_036_854_775_808.0),
        ("9223372036854775807e0", 9_223_372_036_854_775_808.0),
        (
            "123456789012345678901234567890.0",
            1.234_567_890_123_456_8e29,
        ),
        ("-18446744073709551616e0", -18_446_744_073_709_551_616.0),
        ("1E30", 1e30),
    ] {
        check_double(literal, value);
    }
}

#[test]
fn numbers_beyond_the_range_of_a_double_are_refused() {
    for literal in [
        "1e999",
        "-1e999",
        "1E400",
        "1.7976931348623159e308",
        "1e309",
        "1e99999999999999999999",
        &format!("{}.0", "9".repeat(400)),
    ] {
        check_unsupported(literal);
    }
    check_refused(
        with_value("[0,[1,{\"y\":1E400}]]"),
        Reason::UnsupportedNumber,
        Some("metadata.x[1][1].y"),
    );
}

#[test]
fn a_too_large_integer_among_large_doubles_is_refused() {
    let huge = "123456789012345678901234567890";
    for (value, field) in [
        (format!("[1e30,{huge}]"), "metadata.x[1]"),
        (format!("[1.5,-2e3,7,{huge}]"), "metadata.x[3]"),
        (
            format!("[1e30,2.5e30,\"1e30, {huge}\",{huge}]"),
            "metadata.x[3]",
        ),
        (
            format!("[{huge}.0,{huge}e1,-{huge}E-1,-{huge}]"),
            "metadata.x[3]",
        ),
        (
            format!("{{\"a\\\"{huge}\":1e20,\"b\\\\\":{huge}}}"),
            "metadata.x.\"b\\\\\"",
        ),
        (
            format!("[9223372036854775807.0,{huge},1e30]"),
            "metadata.x[1]",
        ),
    ] {
        check_refused(with_value(&value), Reason::UnsupportedNumber, Some(field));
    }
}

#[test]
fn large_doubles_are_stored_beside_digits_in_texts_and_small_numbers() {
    let huge = "123456789012345678901234567890";
    for value in [
        format!("[\"{huge}\",1e30]"),
        format!("[\"\\\"{huge}\",1e30]"),
        format!("[\"\\\\\",1e30,\"{huge}\\\\\"]"),
        format!("{{\"{huge}\":[1,-2,3.5,{huge}.0,-9223372036854775808,1e30]}}"),
        format!("[{huge}.5,{huge}e-30,{huge}e2,-{huge}.0]"),
        "[true,false,null,1e30,-0,1E+30]".to_owned(),
    ] {
        stored(&value);
    }
}

#[test]
fn malformed_numbers_are_invalid_json() {
    for literal in [
        "01",
        "+1",
        ".5",
        "1.",
        "-",
        "1e",
        "1e+",
        "0x1",
        "NaN",
        "Infinity",
        "-Infinity",
        "1_000",
        "--1",
    ] {
        check_refused(with_value(literal), Reason::InvalidJson, None);
    }
}
