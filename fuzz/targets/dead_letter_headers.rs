//! The headers of a dead letter are read and written again, and a replay decides about the letter. The topic may hold
//! letters of any program.
//!
//! A line of the input is a header: its name, `=`, its value; without `=`, it is a header without a value.
#![no_main]

use kafka_mongo_consumer_fuzz::Budget;
use kafka_mongo_consumer_fuzz::core::dead_letter::{
    DeadLetterHeaders, Header, ReplayCriteria, ReplayDecision, is_dead_letter_header,
};
use kafka_mongo_consumer_fuzz::core::rejection::Reason;
use libfuzzer_sys::fuzz_target;

/// To read takes nothing. To write takes the texts once more, and a list of the headers.
const BUDGET: Budget = Budget::of_memory(8 << 10, 2);

fuzz_target!(|input: &[u8]| {
    let headers: Vec<(&str, Option<&[u8]>)> = input
        .split(|&byte| byte == b'\n')
        .filter_map(|line| {
            let equals = line.iter().position(|&byte| byte == b'=');
            let (name, value) = match equals {
                Some(at) => (&line[..at], Some(&line[at + 1..])),
                None => (line, None),
            };
            Some((std::str::from_utf8(name).ok()?, value))
        })
        .collect();

    let (letter, written) = BUDGET.check(input.len(), || {
        let letter = DeadLetterHeaders::read(headers.iter().copied());
        (letter, letter.write())
    });
    assert!(written.iter().all(|(name, _)| is_dead_letter_header(name)));
    let again = read(&written);
    assert_eq!(again.write(), written, "what is written can be read");
    let without_fraction = DeadLetterHeaders {
        failed_at: again.failed_at,
        ..letter
    };
    assert_eq!(again, without_fraction);

    let criteria = ReplayCriteria {
        topic: "orders".to_owned(),
        consumer_group: "group".to_owned(),
        reason: Reason::MongodbUnavailable,
        since: None,
        max_replays: 3,
    };
    if let ReplayDecision::Take(original) = criteria.decide(&letter, None) {
        assert_eq!(
            letter.source_in("orders"),
            Some((original.partition, original.offset))
        );
        assert_eq!(letter.reason, Some("mongodb_unavailable"));
        assert_eq!(letter.consumer_group, Some("group"));
        assert!(original.replay_count < 3 && !letter.value_omitted);
    }
});

fn read(headers: &[Header]) -> DeadLetterHeaders<'_> {
    DeadLetterHeaders::read(
        headers
            .iter()
            .map(|(name, value)| (*name, Some(value.as_bytes()))),
    )
}
