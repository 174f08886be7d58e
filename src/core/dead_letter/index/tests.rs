//! Which dead letter proves which message.

use std::hash::RandomState;

use proptest::prelude::*;

use super::*;

const PARTITION: TopicPartition = TopicPartition::consumed(0);
const TIMESTAMP: Timestamp = Timestamp::CreateTime(5);

fn builder(range: Range<i64>) -> DeadLetterIndexBuilder<RandomState> {
    let range = Offset(range.start)..Offset(range.end);
    DeadLetterIndexBuilder::new("data", "group", [(PARTITION, range)], RandomState::new())
}

fn letter(offset: i64) -> DeadLetterHeaders<'static> {
    DeadLetterHeaders {
        reason: Some("invalid_json"),
        topic: Some("data"),
        partition: Some(PARTITION),
        offset: Some(Offset(offset)),
        timestamp: TIMESTAMP,
        consumer_group: Some("group"),
        ..DeadLetterHeaders::NONE
    }
}

fn index_of(letter: &DeadLetterHeaders<'_>, value: Option<&[u8]>) -> DeadLetterIndex<RandomState> {
    let mut builder = builder(0..100);
    builder.insert(letter, value);
    builder.finish()
}

#[test]
fn only_messages_in_the_ranges_are_indexed() {
    let mut builder = builder(10..20);
    for offset in [9, 10, 19, 20] {
        builder.insert(&letter(offset), Some(b"v"));
    }
    let elsewhere = TopicPartition::consumed(1);
    let of_partition_1 = DeadLetterHeaders {
        partition: Some(elsewhere),
        ..letter(10)
    };
    builder.insert(&of_partition_1, Some(b"v"));
    let index = builder.finish();
    let is_found = |partition, offset| {
        index.find(partition, Offset(offset), TIMESTAMP, Some(b"v")) != LetterFound::No
    };
    assert!(is_found(PARTITION, 10) && is_found(PARTITION, 19));
    assert!(!is_found(PARTITION, 9) && !is_found(PARTITION, 20) && !is_found(elsewhere, 10));
}

#[test]
fn a_letter_proves_only_the_message_with_its_value_and_timestamp() {
    let yes = LetterFound::Yes(IndexedDeadLetter {
        reason: "invalid_json",
        value_omitted: false,
    });
    let other = LetterFound::OfAnotherMessage;
    let value = Some(&b"{"[..]);
    for (written, found_with, expected) in [
        (value, (TIMESTAMP, value), yes),
        (value, (TIMESTAMP, Some(&b"["[..])), other),
        (value, (TIMESTAMP, None), other),
        (None, (TIMESTAMP, Some(&b""[..])), other),
        (None, (TIMESTAMP, None), yes),
        (value, (Timestamp::CreateTime(6), value), other),
        (value, (Timestamp::LogAppendTime(5), value), other),
        (value, (Timestamp::NotAvailable, value), other),
    ] {
        let index = index_of(&letter(3), written);
        let (timestamp, value) = found_with;
        let found = index.find(PARTITION, Offset(3), timestamp, value);
        assert_eq!(found, expected, "{written:?} {timestamp:?} {value:?}");
        let elsewhere = index.find(PARTITION, Offset(4), timestamp, value);
        assert_eq!(elsewhere, LetterFound::No);
    }
}

#[test]
fn a_letter_without_its_value_is_compared_by_the_size() {
    let yes = LetterFound::Yes(IndexedDeadLetter {
        reason: "invalid_json",
        value_omitted: true,
    });
    for (size, expected) in [
        (Some(4), yes),
        (Some(5), LetterFound::OfAnotherMessage),
        (None, LetterFound::OfAnotherMessage),
    ] {
        let letter = DeadLetterHeaders {
            value_omitted: true,
            value_size: size,
            ..letter(3)
        };
        let index = index_of(&letter, None);
        let found = index.find(PARTITION, Offset(3), TIMESTAMP, Some(b"1234"));
        assert_eq!(found, expected, "{size:?}");
    }
}

#[test]
fn letters_of_other_groups_are_counted_and_prove_nothing() {
    for group in [Some("another"), None] {
        let letter = DeadLetterHeaders {
            consumer_group: group,
            ..letter(3)
        };
        let index = index_of(&letter, Some(b"v"));
        let found = index.find(PARTITION, Offset(3), TIMESTAMP, Some(b"v"));
        assert_eq!((found, index.other_groups()), (LetterFound::No, 1));
    }
    let other_topic = DeadLetterHeaders {
        topic: Some("other"),
        ..letter(3)
    };
    assert_eq!(index_of(&other_topic, None).other_groups(), 0);
}

#[test]
fn a_letter_takes_16_bytes() {
    assert_eq!(size_of::<Letter>(), 16);
}

proptest! {
    /// Each offset has messages `x` and `y` in turn, as in a topic that was created again.
    #[test]
    fn the_index_finds_the_same_as_a_search_of_all_letters(
        letters in prop::collection::vec((0_i64..20, 0_usize..3, 0_u32..3, any::<bool>(), any::<bool>()), 0..100),
    ) {
        const REASONS: [&str; 3] = ["a", "b", "c"];
        let value_of = |is_x: bool| if is_x { &b"x"[..] } else { &b"yy"[..] };
        let mut builder = builder(0..20);
        // The reasons get their numbers in this order, which decides between letters that were replayed
        // equally often.
        for reason in REASONS {
            reason_index(reason, &mut builder.index.reasons);
        }
        for &(offset, reason, replay_count, value_omitted, is_x) in &letters {
            let value = value_of(is_x);
            let letter = DeadLetterHeaders {
                reason: Some(REASONS[reason]),
                replay_count,
                value_omitted,
                value_size: value_omitted.then(|| u64::try_from(value.len()).unwrap()),
                ..letter(offset)
            };
            builder.insert(&letter, (!value_omitted).then_some(value));
        }
        let index = builder.finish();
        for (offset, is_x) in (0..20).flat_map(|offset| [(offset, true), (offset, false)]) {
            let at_place = || letters.iter().filter(move |letter| letter.0 == offset);
            let of_message = || at_place().filter(move |letter| letter.4 == is_x);
            let latest = of_message().max_by_key(|letter| (letter.2, letter.1));
            let expected = match latest {
                Some(latest) => LetterFound::Yes(IndexedDeadLetter {
                    reason: REASONS[latest.1],
                    value_omitted: of_message().all(|letter| letter.3),
                }),
                None if at_place().count() > 0 => LetterFound::OfAnotherMessage,
                None => LetterFound::No,
            };
            let found = index.find(PARTITION, Offset(offset), TIMESTAMP, Some(value_of(is_x)));
            prop_assert_eq!(found, expected);
        }
    }
}
