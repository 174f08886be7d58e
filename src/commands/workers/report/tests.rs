use serde_json::json;

use super::*;

pub(in crate::commands::workers) fn status() -> Status {
    serde_json::from_value(json!({
        "format": 1,
        "worker": {
            "version": "0.1.0", "instance": "host-1", "group": "g", "topic": "orders",
            "dead_letter_topic": "letters", "database": "db", "collection": "c",
            "on_mongodb_unavailable": "pause"
        },
        "now": "2026-01-01T00:01:00.000Z",
        "started_at": "2026-01-01T00:00:00.000Z",
        "uptime_seconds": 60.0,
        "state": "mongodb_unavailable",
        "state_since": "2026-01-01T00:00:30.000Z",
        "alive": true,
        "ready": false,
        "reasons": ["mongodb is not available"],
        "pause": {"since": "2026-01-01T00:00:40.000Z", "by": "alice", "reason": "an index\u{1b}[2J"},
        "kafka": {"available": true, "since": "2026-01-01T00:00:00.000Z"},
        "mongodb": {"available": false, "since": "2026-01-01T00:00:30.000Z"},
        "partitions": [
            {"partition": 0, "committed_offset": 1200, "in_flight": 5, "lag": 1500, "lag_seconds": 12.5, "stalled": true},
            {"partition": 3, "committed_offset": null, "in_flight": 0, "lag": null, "lag_seconds": null, "stalled": false}
        ],
        "outage_replay": {"waiting": 7, "stored": 40, "failed": 1},
        "in_flight": {
            "messages": 5, "bytes": 1_048_576, "oldest_seconds": 0.25, "max_messages": 20000, "max_bytes": 33_554_432
        },
        "writers": {"busy": 1, "threads": 8},
        "totals": {
            "consumed": 1205, "stored": 1200, "already_stored": 0, "dead_lettered": 2,
            "dead_lettered_by_reason": {"invalid_json": 2}, "mongodb_retries": 3, "commit_failures": 0,
            "offsets_skipped": 0, "rebalances": 1
        },
        "measurements": {
            "batch_size": {"count": 12, "sum": 1200.0},
            "mongodb_write_seconds": {"count": 12, "sum": 0.12},
            "commit_seconds": {"count": 1, "sum": 0.01},
            "processing_seconds": {"count": 1200, "sum": 2.0},
            "delivery_delay_seconds": {"count": 1200, "sum": 2.0}
        },
        "resources": {
            "cpu_seconds": 1.5, "memory_bytes": 46_137_344, "memory_limit_bytes": 268_435_456,
            "memory_worst_case_bytes": 209_715_200, "open_files": 40, "max_open_files": 1024
        },
        "problems": [{
            "at": "2026-01-01T00:00:30.000Z", "level": "warning", "message": "no server\u{202e}",
            "fields": {"attempt": 2}, "count": 3
        }]
    }))
    .unwrap()
}

#[test]
fn everything_about_a_worker_is_said() {
    let after = status();
    let mut before = status();
    before.uptime_seconds = 58.0;
    before.totals.stored = 1000;
    before.measurements.batch_size.count = 10;
    before.measurements.batch_size.sum = 1000.0;
    before.measurements.mongodb_write_seconds.count = 10;
    before.measurements.mongodb_write_seconds.sum = 0.1;
    let rates = Rates::between(&before, &after);
    let expected = "\
worker    host-1, version 0.1.0, up 1 min
reads     orders as group g
writes    db.c, dead letters to letters
state     MongoDB unavailable since 2026-01-01T00:00:30.000Z
paused    by alice since 2026-01-01T00:00:40.000Z: an index\\u{1b}[2J
ready     no: mongodb is not available
rates     100 stored/s, 0.0 dead letters/s, inserts of 10.0 ms, batches of 100
in flight 5 of 20,000 messages, 1.0 MiB of 32.0 MiB, the oldest for 250.0 ms
writers   1 of 8 busy
memory    44.0 MiB of 256.0 MiB
so far    1,200 stored, 0 already stored, 2 dead letters, 3 inserts tried again, 0 commits failed, 0 offsets skipped
          2 dead letters: invalid_json
replay    of an outage's dead letters: 40 stored, 1 refused again, 7 offsets left to look at

partition      committed  in flight          lag       behind
        0           1200          5        1,500       12.5 s  does not move on
        3              ?          0            ?            ?
2026-01-01T00:00:30.000Z WARN  3 times, the last: no server\\u{202e} attempt=2
";
    assert_eq!(report(&after, Some(&rates)), expected);
}

#[test]
fn a_worker_that_was_started_anew_counts_from_its_start() {
    let mut before = status();
    before.started_at = "2025-12-31T00:00:00.000Z".to_owned();
    before.totals.stored = 1_000_000;
    let rates = Rates::between(&before, &status());
    assert!((rates.stored - 20.0).abs() < 1e-9, "{rates:?}");
    assert_eq!(rates.batch_size, Some(100.0));
}

#[test]
fn the_schema_in_the_repository_is_that_of_the_type() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/status.schema.json");
    assert!(
        std::fs::read_to_string(path).unwrap() == crate::observe::status::schema_text(),
        "make it anew: kafka-mongo-consumer print-schema status > docs/status.schema.json"
    );
}

#[test]
fn a_status_is_valid_by_its_schema() {
    let schema = serde_json::from_str(&crate::observe::status::schema_text()).unwrap();
    let status = serde_json::to_value(status()).unwrap();
    assert!(jsonschema::is_valid(&schema, &status));
    assert!(!jsonschema::is_valid(&schema, &json!({"format": 1})));
}
