use super::*;

#[test]
fn each_code_has_its_subject() {
    let table = [
        (11000, ErrorSubject::Duplicate),
        (121, ErrorSubject::Record),
        (10334, ErrorSubject::Record),
        (22, ErrorSubject::Record),
        (2, ErrorSubject::Record),
        (13, ErrorSubject::Operator),
        (18, ErrorSubject::Operator),
        (73, ErrorSubject::Operator),
        (91, ErrorSubject::Server),
        (189, ErrorSubject::Server),
        (10107, ErrorSubject::Server),
        (11600, ErrorSubject::Server),
        (14031, ErrorSubject::Server),
        (64, ErrorSubject::Server),
        (13297, ErrorSubject::Operator),
        (215, ErrorSubject::Server),
        (249, ErrorSubject::Server),
        (319, ErrorSubject::Server),
        (338, ErrorSubject::Server),
        (343, ErrorSubject::Server),
        (12586, ErrorSubject::Server),
        (12587, ErrorSubject::Server),
        (46841, ErrorSubject::Server),
        (16500, ErrorSubject::Server),
        (8000, ErrorSubject::Unknown),
        (1, ErrorSubject::Unknown),
        (96, ErrorSubject::Unknown),
    ];
    for (code, expected) in table {
        assert_eq!(subject_of_code(code, None), expected, "code {code}");
    }
    assert_eq!(
        subject_of_code(8000, Some("AtlasError")),
        ErrorSubject::Server
    );
    assert_eq!(
        subject_of_command_code(2, "BadValue"),
        ErrorSubject::Unknown,
        "a standalone's answer to `w: 2`"
    );
    assert_eq!(
        subject_of_command_code(22, "InvalidBSON"),
        ErrorSubject::Record
    );
    assert_eq!(
        subject_of_command_code(13, "Unauthorized"),
        ErrorSubject::Operator
    );
}

#[test]
fn texts_of_the_driver_are_short_and_quote_no_document() {
    let unreadable =
        bson::deserialize_from_bson::<i32>(bson::Bson::String("secret".to_owned())).unwrap_err();
    assert!(unreadable.to_string().contains("secret"), "{unreadable}");
    for error in [Error::from(unreadable), Error::custom("secret".to_owned())] {
        assert!(error.to_string().contains("secret"), "{error}");
        let judged = write_error(&error);
        for text in [&judged.summary, &judged.message] {
            assert!(!text.contains("secret"), "{text}");
        }
    }
    let refused = std::io::Error::other("connection refused");
    let refused = write_error(&Error::from(refused)).summary;
    assert_eq!(refused, "I/O error: connection refused");
    let long = std::io::Error::other("ä".repeat(5000));
    let long = write_error(&Error::from(long));
    for text in [&long.summary, &long.message] {
        assert_eq!(text.chars().count(), LONGEST_TEXT);
        assert!(text.ends_with('…'));
    }
}

#[test]
fn a_server_error_during_an_authentication_is_not_blamed_on_the_credentials() {
    for (code, name, expected) in [
        (18, "AuthenticationFailed", ErrorSubject::Operator),
        (334, "MechanismUnavailable", ErrorSubject::Operator),
        (77777, "", ErrorSubject::Operator),
        (91, "ShutdownInProgress", ErrorSubject::Server),
        (133, "FailedToSatisfyReadPreference", ErrorSubject::Server),
        (
            11602,
            "InterruptedDueToReplStateChange",
            ErrorSubject::Server,
        ),
    ] {
        assert_eq!(
            subject_of_authentication_code(code, name),
            expected,
            "{name}"
        );
    }
}
