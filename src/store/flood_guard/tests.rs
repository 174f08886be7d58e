use super::*;

const LIMITS: Limits = Limits {
    in_a_row: 3,
    window: Some((10, 5)),
};

fn guard(pause: &PauseSwitch) -> FloodGuard {
    FloodGuard::with_limits(LIMITS, OnFlood::Pause, pause.clone())
}

const PARTITION: TopicPartition = TopicPartition::consumed(0);
const EPOCH: Epoch = Epoch(1);

fn guard_with(limits: Limits) -> FloodGuard {
    FloodGuard::with_limits(limits, OnFlood::Stop, PauseSwitch::default())
}

fn assigned(start: i64) -> AssignedPartition {
    AssignedPartition {
        partition: PARTITION,
        epoch: EPOCH,
        start: Offset(start),
        committed: Some(Offset(start)),
    }
}

/// What a commit behind the first message carries.
fn note_of(guard: &FloodGuard) -> Option<RejectionCount> {
    guard.rejections(&Commit {
        partition: PARTITION,
        epoch: EPOCH,
        offset: Offset(1),
    })
}

fn of_another_partition(offset: i64) -> RecordId {
    RecordId {
        partition: TopicPartition::consumed(1),
        ..message(offset)
    }
}

fn message(offset: i64) -> RecordId {
    RecordId {
        partition: PARTITION,
        epoch: EPOCH,
        offset: Offset(offset),
    }
}

fn admits(guard: &FloodGuard, id: RecordId) -> bool {
    let admission = guard.admit(id, Reason::InvalidJson, false);
    matches!(admission, Admission::Admitted)
}

fn is_admitted(guard: &FloodGuard, was_accepted: bool) -> bool {
    let admission = guard.admit(message(0), Reason::InvalidJson, was_accepted);
    matches!(admission, Admission::Admitted)
}

#[test]
fn a_good_message_between_two_rejections_ends_the_run() {
    let guard = guard(&PauseSwitch::default());
    for _ in 0..2 {
        assert!(is_admitted(&guard, false) && is_admitted(&guard, false));
        guard.accepted([message(0); 8]);
    }
    assert_eq!(note_of(&guard).unwrap().in_a_row, 0);
    // Those that MongoDB refuses are a run of their own, which only a stored message ends.
    assert!((0..2).all(|_| is_admitted(&guard, true)));
    guard.accepted([message(0); 10]);
    assert_eq!(note_of(&guard).unwrap().in_a_row, 2);
    guard.stored([message(0)]);
    assert!((0..3).all(|_| is_admitted(&guard, true)) && !is_admitted(&guard, true));
}

/// The next worker reads what wasn't committed again: good messages, and those that were rejected before the flood.
#[test]
fn a_restart_refuses_what_was_refused_and_rejects_nothing_twice() {
    let in_a_row = Limits {
        in_a_row: 3,
        window: None,
    };
    let by_share = |allowed| Limits {
        in_a_row: 0,
        window: Some((10, allowed)),
    };
    for (limits, first) in [
        (LIMITS, 3),
        (in_a_row, 3),
        (by_share(2), 2),
        (by_share(7), 7),
    ] {
        let mut count = None;
        for expected in [first, 0, 0] {
            let guard = guard_with(limits);
            if let Some(count) = count {
                guard.restore(&assigned(0), count);
            }
            // Another writer has newer messages, before and behind.
            guard.accepted((60..100).map(message));
            guard.stored((60..100).map(message));
            // Those of another partition are all good.
            guard.accepted((0..100).map(of_another_partition));
            guard.stored((0..100).map(of_another_partition));
            // One batch: good messages, then bad ones.
            guard.accepted((0..20).map(message));
            let sent = (20..60).take_while(|&offset| admits(&guard, message(offset)));
            assert_eq!(sent.count(), expected, "{limits:?}");
            guard.accepted((100..120).map(message));
            guard.stored((100..120).map(message));
            count = note_of(&guard);
            let refused = Offset(20 + i64::try_from(first).unwrap());
            assert_eq!(count.unwrap().refused, Some(refused), "{limits:?}");
        }
    }
}

#[test]
fn a_flood_is_over_when_its_message_is_stored_or_passed_or_the_limits_allow_more() {
    let count = RejectionCount {
        rejected: 5,
        messages: 10,
        in_a_row: 1,
        up_to: Offset(40),
        refused: Some(Offset(30)),
    };
    let restored = |limits, start| {
        let guard = guard_with(limits);
        guard.restore(&assigned(start), count);
        guard
    };
    let guard = restored(LIMITS, 20);
    assert!(!admits(&guard, message(25)) && !admits(&guard, message(50)));
    guard.stored([message(29)]);
    assert!(!admits(&guard, message(50)));
    guard.stored([message(30)]);
    assert!((0..3).all(|_| admits(&guard, message(50))) && !admits(&guard, message(51)));
    let redirected = restored(LIMITS, 20);
    redirected.admit(message(30), Reason::MongodbUnavailable, true);
    assert!(admits(&redirected, message(50)));
    let more = Limits {
        in_a_row: 3,
        window: Some((10, 6)),
    };
    assert!(admits(&restored(more, 20), message(30)));
    let behind = restored(LIMITS, 31);
    behind.accepted((40..50).map(message));
    assert!(admits(&behind, message(50)));
}

#[test]
fn a_run_is_restored_where_nothing_of_it_is_read_again() {
    let count = RejectionCount {
        rejected: 3,
        messages: 10,
        in_a_row: 2,
        up_to: Offset(100),
        refused: None,
    };
    for (start, admitted) in [(100, 1), (97, 3)] {
        let guard = guard(&PauseSwitch::default());
        guard.restore(&assigned(start), count);
        assert_eq!(note_of(&guard).unwrap().rejected, 3);
        let sent = (start..200).take_while(|&offset| admits(&guard, message(offset)));
        assert_eq!(sent.count(), admitted, "from {start}");
    }
}

#[test]
fn counts_of_another_log_are_not_handed_on_and_do_not_count() {
    let guard = guard(&PauseSwitch::default());
    assert!((0..3).all(|offset| admits(&guard, message(offset))));
    assert!(!admits(&guard, message(3)));
    assert!(note_of(&guard).unwrap().refused.is_some());
    let commit = |epoch, offset| Commit {
        partition: PARTITION,
        epoch,
        offset: Offset(offset),
    };
    let new_log = Epoch(2);
    assert_eq!(guard.rejections(&commit(EPOCH, 0)), None);
    assert_eq!(guard.rejections(&commit(new_log, 5)), None);
    let first = RecordId {
        epoch: new_log,
        ..message(0)
    };
    guard.accepted([first]);
    assert!(admits(&guard, first));
    let count = guard.rejections(&commit(new_log, 1)).unwrap();
    assert_eq!((count.rejected, count.refused), (1, None));
    assert!(admits(&guard, message(4)), "late, of the old log");
}

#[test]
fn resume_lets_one_message_pass_where_none_is_allowed() {
    let switch = PauseSwitch::default();
    let limits = Limits {
        in_a_row: 0,
        window: Some((10, 0)),
    };
    let guard = FloodGuard::with_limits(limits, OnFlood::Pause, switch.clone());
    for offset in 0..3 {
        assert!(!admits(&guard, message(offset * 100)));
        guard.pause("why");
        switch.order(None);
        assert!(admits(&guard, message(offset * 100)));
        guard.accepted((1..50).map(|next| message(offset * 100 + next)));
    }
}

#[test]
fn a_pause_is_ordered_once_and_its_end_counts_anew_whoever_sees_it() {
    let switch = PauseSwitch::default();
    let guard = guard(&switch);
    assert!((0..3).all(|_| is_admitted(&guard, false)));
    assert!(!is_admitted(&guard, false));
    guard.pause("why");
    guard.pause("another writer");
    assert!(guard.has_paused() && switch.pause().unwrap().is_flood);
    assert!(!is_admitted(&guard, false), "still paused");
    switch.order(None);
    assert!(!guard.has_paused());
    assert!((0..3).all(|_| is_admitted(&guard, false)));
    assert!(!is_admitted(&guard, false), "the next flood");
    guard.pause("why");
    assert!(guard.has_paused() && switch.is_on());
}

#[test]
fn a_pause_that_was_inherited_ends_like_one_of_its_own() {
    let switch = PauseSwitch::default();
    guard(&switch).pause("why");
    let after_a_reload = guard(&switch);
    let count = RejectionCount {
        rejected: 5,
        messages: 10,
        in_a_row: 3,
        up_to: Offset(0),
        refused: Some(Offset(0)),
    };
    after_a_reload.restore(&assigned(0), count);
    assert!(!is_admitted(&after_a_reload, false));
    switch.order(None);
    assert!(is_admitted(&after_a_reload, false));
}

#[test]
fn without_a_limit_old_counts_are_not_handed_on() {
    let count = RejectionCount {
        rejected: 3,
        messages: 10,
        in_a_row: 3,
        up_to: Offset(5),
        refused: Some(Offset(5)),
    };
    let guard = FloodGuard::off();
    guard.restore(&assigned(5), count);
    assert_eq!(note_of(&guard), None);
}
