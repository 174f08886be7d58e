//! Kinds of topics: transactions, compaction, codecs, large messages.

use crate::harness::{
    Background, Content, Fate, MINUTE, Message, Producer, SHORT, World, metric, until,
};

#[test]
fn aborted_transactions_are_not_stored_and_markers_leave_no_lag() {
    const PARTITIONS: i32 = 3;
    let world = World::new(PARTITIONS);
    let id = world.group.clone();
    let producer = Producer::with(&world, &[("transactional.id", &id)]);
    let round = |first: u64, fate: Fate| {
        producer.begin();
        for number in first..first + 100 {
            producer.send(producer.numbered(number, PARTITIONS, 0).fate(fate));
        }
        match fate {
            Fate::Absent => producer.abort(),
            _ => producer.commit(),
        }
    };
    round(0, Fate::Stored);
    round(100, Fate::Absent);
    round(200, Fate::Stored);
    round(300, Fate::Absent);
    // Each round has 100 records, and a marker in each partition. The markers may come after the
    // acknowledgement.
    let wait_for_markers = |rounds: i64| {
        until("the markers are written", SHORT, || {
            let ends = world
                .bounds()
                .values()
                .map(|bounds| bounds.end)
                .sum::<i64>();
            (ends == rounds * 103).then_some(())
        });
    };
    wait_for_markers(4);
    let mut worker = world.worker().start();
    let no_lag = "there is no lag";
    worker.wait_until(no_lag, SHORT, |metrics| {
        metrics.count(metric::LAG) == 3 && metrics.sum(metric::LAG) == 0
    });
    world.wait_committed_to_end(SHORT);
    // While the worker runs: first an aborted transaction, then one that stays open.
    round(400, Fate::Absent);
    wait_for_markers(5);
    world.wait_committed_to_end(SHORT);
    let before = world.committed();
    producer.begin();
    for number in 500..600 {
        producer.send(producer.numbered(number, PARTITIONS, 0));
    }
    producer.flush();
    let metrics = worker.metrics();
    assert_eq!(metrics.sum(metric::CONSUMED), 200);
    assert_eq!(
        world.committed(),
        before,
        "the commit passed an open transaction"
    );
    producer.commit();
    wait_for_markers(6);
    world.wait_committed_to_end(SHORT);
    worker.wait_until(no_lag, SHORT, |metrics| metrics.sum(metric::LAG) == 0);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().stored, 300);
}

/// While the other partition is busy, every poll brings a message.
#[test]
fn markers_of_an_idle_partition_leave_no_lag_beside_a_busy_one() {
    let world = World::new(2);
    let id = world.group.clone();
    let transactional = Producer::with(&world, &[("transactional.id", &id)]);
    let mut worker = world.worker().start();
    worker.wait_ready();
    // Evenly over the "first one partition": partition 0.
    let busy = Background::start(&world, 1000, 50, 1);
    transactional.begin();
    for number in 0..50 {
        transactional.send(transactional.numbered(number, 1, 0).partition(1));
    }
    transactional.commit();
    for _ in 0..3 {
        transactional.begin();
        transactional.send(
            transactional
                .numbered(500, 1, 0)
                .partition(1)
                .fate(Fate::Absent),
        );
        transactional.abort();
    }
    let end = until("the markers are written", SHORT, || {
        let end = world.bounds()[&1].end;
        (end == 50 + 1 + 3 * 2).then_some(end)
    });
    worker.wait_for("the markers are passed", SHORT, |_| {
        (world.committed()[&1] == Some(end)).then_some(())
    });
    assert!(busy.stop() > 0);
    world.wait_committed_to_end(SHORT);
    worker.stop();
    world.check();
}

#[test]
fn compaction_gaps_are_neither_lag_nor_loss() {
    let world = World::with_topic(
        1,
        &[
            ("cleanup.policy", "compact"),
            ("segment.ms", "100"),
            ("min.cleanable.dirty.ratio", "0.01"),
            ("max.compaction.lag.ms", "100"),
        ],
    );
    let producer = Producer::new(&world);
    let mut number = 0;
    until("compaction leaves gaps", MINUTE, || {
        // The same ten keys each time, with other messages.
        for key in 0..10 {
            producer.send(producer.numbered(number, 1, 0).key(format!("key-{key}")));
            number += 1;
        }
        producer.flush();
        (i64::try_from(world.remaining().len()).unwrap() + 50 < world.ledger.len()).then_some(())
    });
    let mut worker = world
        .worker()
        .set("consumer.stalled_after_ms", 1000)
        .start();
    worker.wait_until("there is no lag", SHORT, |metrics| {
        metrics.count(metric::LAG) == 1 && metrics.sum(metric::LAG) == 0
    });
    world.wait_committed_to_end(SHORT);
    let metrics = worker.metrics();
    assert_eq!(metrics.sum(metric::OFFSETS_SKIPPED), 0);
    worker.stop();
    worker.assert_no_errors();
    let (remaining, stored) = (world.remaining(), world.stored().read());
    world.ledger.change_fate(
        |entry| {
            let id = entry.content.message_id().unwrap();
            !remaining.contains(&(entry.partition, entry.offset)) && !stored.contains_key(&id)
        },
        Fate::Absent,
    );
    let report = world.check();
    assert!(
        report.stored < world.ledger.len(),
        "compaction removed nothing"
    );
}

#[test]
fn messages_of_every_compression_codec_are_stored() {
    let world = World::new(2);
    let mut first = 0;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let producer = Producer::with(&world, &[("compression.type", codec), ("linger.ms", "50")]);
        producer.fill_padded(first..first + 500, 2, 300);
        first += 500;
    }
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().stored, 2500);
}

#[test]
fn large_messages_are_stored_up_to_the_document_limit() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    // Some are larger than a batch may be, and together they are larger than what may be in flight.
    for (number, mebibytes) in [1, 3, 5, 9, 15, 15, 15].into_iter().enumerate() {
        let content = Content::Numbered {
            prefix: "large",
            number: u64::try_from(number).unwrap(),
            padding: mebibytes << 20,
        };
        producer.send(Message::new(content, Fate::Stored));
    }
    producer.fill(0..100, 1);
    let mut worker = world.worker().start();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().stored, 107);
}
