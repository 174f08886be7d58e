use std::collections::HashMap;
use std::time::{Duration, Instant};

use prometheus_parse::{HistogramCount, LineInfo, Sample, Scrape, Value};

use super::{ConnectionTarget, MetricsCollector, RebalanceEvent};

fn collector() -> MetricsCollector {
    MetricsCollector::new(8001, &["invalid_json", "id_conflict"])
}

/// Parses the metrics as a scraper does. The parser ignores lines that it can't read; this doesn't allow
/// any.
fn scrape(metrics: &MetricsCollector) -> Scrape {
    let text = metrics.render();
    for line in text.lines() {
        assert!(
            !matches!(LineInfo::parse(line), LineInfo::Ignored),
            "unreadable line: {line}"
        );
    }
    Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap()
}

fn find<'a>(scrape: &'a Scrape, name: &str, labels: &[(&str, &str)]) -> Option<&'a Sample> {
    scrape.samples.iter().find(|sample| {
        sample.metric == name
            && sample.labels.len() == labels.len()
            && labels.iter().all(|(k, v)| sample.labels.get(k) == Some(v))
    })
}

#[track_caller]
fn check(metrics: &MetricsCollector, name: &str, labels: &[(&str, &str)], expect: f64) {
    let scrape = scrape(metrics);
    let sample = find(&scrape, name, labels).unwrap_or_else(|| panic!("no {name} {labels:?}"));
    let (Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value)) = sample.value else {
        panic!("{name} is {:?}", sample.value);
    };
    assert!((value - expect).abs() < 1e-9, "{name} {labels:?}: {value}");
}

#[track_caller]
fn buckets(metrics: &MetricsCollector, name: &str) -> Vec<HistogramCount> {
    let scrape = scrape(metrics);
    match &find(&scrape, name, &[]).unwrap().value {
        Value::Histogram(buckets) => buckets.clone(),
        other => panic!("{name} is {other:?}"),
    }
}

#[test]
fn every_metric_has_its_name_and_type() {
    let metrics = collector();
    metrics.set_lag("data-topic", 0, 1, Some(0.5));
    metrics.set_committed_offset("data-topic", 0, 1);
    let scrape = scrape(&metrics);
    let types: HashMap<&str, &str> = scrape
        .samples
        .iter()
        .map(|sample| {
            let kind = match sample.value {
                Value::Counter(_) => "counter",
                Value::Gauge(_) => "gauge",
                Value::Histogram(_) => "histogram",
                Value::Summary(_) => "summary",
                Value::Untyped(_) => "untyped",
            };
            (sample.metric.as_str(), kind)
        })
        .collect();

    for (name, kind) in [
        ("consumer_messages_processed_total", "counter"),
        ("consumer_processing_errors_total", "counter"),
        ("consumer_active_connections", "gauge"),
        ("consumer_batch_size", "histogram"),
        ("consumer_batch_limit", "gauge"),
        ("consumer_processing_time_seconds", "histogram"),
        ("consumer_lag", "gauge"),
        ("consumer_mongodb_write_time_seconds", "histogram"),
        ("consumer_offset_commit_time_seconds", "histogram"),
        ("consumer_messages_consumed_total", "counter"),
        ("consumer_messages_stored_total", "counter"),
        ("consumer_messages_replayed_total", "counter"),
        ("consumer_dead_letters_total", "counter"),
        ("consumer_in_flight_messages", "gauge"),
        ("consumer_in_flight_bytes", "gauge"),
        ("consumer_oldest_in_flight_seconds", "gauge"),
        ("consumer_committed_offset", "gauge"),
        ("consumer_writers_busy", "gauge"),
        ("consumer_writer_threads", "gauge"),
        ("consumer_mongodb_retries_total", "counter"),
        ("consumer_offset_commit_failures_total", "counter"),
        ("consumer_rebalances_total", "counter"),
        ("consumer_assigned_partitions", "gauge"),
        ("consumer_offsets_skipped_total", "counter"),
        ("consumer_log_resets_total", "counter"),
        ("consumer_ready", "gauge"),
        ("consumer_memory_limit_bytes", "gauge"),
        ("consumer_memory_worst_case_bytes", "gauge"),
        ("consumer_poll_interval_exceeded_total", "counter"),
        ("consumer_mongodb_available", "gauge"),
        ("consumer_paused", "gauge"),
        ("consumer_paused_by_operator", "gauge"),
        ("consumer_log_lines_dropped_total", "counter"),
        ("consumer_build_info", "gauge"),
    ] {
        assert_eq!(types.get(name), Some(&kind), "{name}");
        assert!(scrape.docs.contains_key(name), "{name} has no help text");
    }
    #[cfg(target_os = "linux")]
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
    ] {
        assert!(types.contains_key(name), "{name}");
    }
}

#[test]
fn series_with_known_labels_exist_from_the_start() {
    let metrics = collector();
    for reason in ["invalid_json", "id_conflict"] {
        for name in [
            "consumer_processing_errors_total",
            "consumer_dead_letters_total",
        ] {
            check(&metrics, name, &[("reason", reason)], 0.0);
        }
    }
    for target in ["kafka", "mongodb"] {
        let labels = [("target", target)];
        check(&metrics, "consumer_active_connections", &labels, 0.0);
    }
    for event in ["assign", "revoke", "lost"] {
        check(
            &metrics,
            "consumer_rebalances_total",
            &[("event", event)],
            0.0,
        );
    }
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    check(&metrics, "consumer_build_info", &version, 1.0);
}

#[test]
fn each_method_changes_its_metric() {
    let metrics = collector();
    metrics.increment_messages_processed(3);
    metrics.increment_messages_processed(4);
    check(&metrics, "consumer_messages_processed_total", &[], 7.0);
    metrics.increment_messages_consumed(9);
    check(&metrics, "consumer_messages_consumed_total", &[], 9.0);
    metrics.increment_messages_stored(5);
    check(&metrics, "consumer_messages_stored_total", &[], 5.0);
    metrics.increment_messages_already_stored(2);
    check(&metrics, "consumer_messages_replayed_total", &[], 2.0);

    let conflict = [("reason", "id_conflict")];
    metrics.increment_processing_errors("id_conflict", 2);
    check(&metrics, "consumer_processing_errors_total", &conflict, 2.0);
    metrics.increment_dead_letters("id_conflict", 1);
    check(&metrics, "consumer_dead_letters_total", &conflict, 1.0);

    metrics.set_connected(ConnectionTarget::Mongodb, true);
    let target = [("target", "mongodb")];
    check(&metrics, "consumer_active_connections", &target, 1.0);
    metrics.set_connected(ConnectionTarget::Kafka, true);
    metrics.set_connected(ConnectionTarget::Kafka, false);
    let target = [("target", "kafka")];
    check(&metrics, "consumer_active_connections", &target, 0.0);

    metrics.set_in_flight_messages(12);
    check(&metrics, "consumer_in_flight_messages", &[], 12.0);
    metrics.set_in_flight_bytes(4096);
    check(&metrics, "consumer_in_flight_bytes", &[], 4096.0);
    metrics.set_batch_limit(1000);
    check(&metrics, "consumer_batch_limit", &[], 1000.0);
    metrics.set_writer_threads(8);
    check(&metrics, "consumer_writer_threads", &[], 8.0);
    metrics.increment_mongodb_retries();
    check(&metrics, "consumer_mongodb_retries_total", &[], 1.0);
    metrics.increment_offset_commit_failures();
    check(&metrics, "consumer_offset_commit_failures_total", &[], 1.0);
    metrics.increment_rebalances(RebalanceEvent::Assign);
    metrics.increment_rebalances(RebalanceEvent::Lost);
    metrics.increment_rebalances(RebalanceEvent::Lost);
    for (event, count) in [("assign", 1.0), ("revoke", 0.0), ("lost", 2.0)] {
        let labels = [("event", event)];
        check(&metrics, "consumer_rebalances_total", &labels, count);
    }
    metrics.increment_rebalances(RebalanceEvent::Revoke);
    let revoke = [("event", "revoke")];
    check(&metrics, "consumer_rebalances_total", &revoke, 1.0);
    metrics.set_assigned_partitions(6);
    check(&metrics, "consumer_assigned_partitions", &[], 6.0);
    metrics.increment_offsets_skipped(100);
    check(&metrics, "consumer_offsets_skipped_total", &[], 100.0);
    metrics.increment_poll_interval_exceeded();
    check(&metrics, "consumer_poll_interval_exceeded_total", &[], 1.0);
    metrics.set_mongodb_available(true);
    check(&metrics, "consumer_mongodb_available", &[], 1.0);
    metrics.set_mongodb_available(false);
    check(&metrics, "consumer_mongodb_available", &[], 0.0);
    metrics.set_paused(true);
    check(&metrics, "consumer_paused", &[], 1.0);
    metrics.set_paused_by_operator(true);
    check(&metrics, "consumer_paused_by_operator", &[], 1.0);
    metrics.increment_log_resets();
    check(&metrics, "consumer_log_resets_total", &[], 1.0);
    metrics.set_ready(true);
    check(&metrics, "consumer_ready", &[], 1.0);
    metrics.set_memory(Some(5), 7);
    check(&metrics, "consumer_memory_limit_bytes", &[], 5.0);
    check(&metrics, "consumer_memory_worst_case_bytes", &[], 7.0);
    metrics.set_memory(None, 7);
    check(&metrics, "consumer_memory_limit_bytes", &[], 0.0);
}

#[test]
fn unlisted_reason_counts_as_other() {
    let metrics = collector();
    metrics.increment_dead_letters("made \"up\"\n", 3);
    let other = [("reason", "other")];
    check(&metrics, "consumer_dead_letters_total", &other, 3.0);
}

#[test]
fn observations_are_counted_in_the_right_buckets() {
    let metrics = collector();
    metrics.observe_processing_time(0.0004);
    metrics.observe_processing_times(0.2, 100_000);
    metrics.observe_processing_times(1.0, 0);
    let name = "consumer_processing_time_seconds";
    let times = buckets(&metrics, name);
    for (less_than, count) in [
        (0.0005, 1.0),
        (0.1, 1.0),
        (0.25, 100_001.0),
        (f64::INFINITY, 100_001.0),
    ] {
        let expect = HistogramCount { less_than, count };
        assert!(times.contains(&expect), "{expect:?} in {times:?}");
    }
    check(&metrics, &format!("{name}_count"), &[], 100_001.0);

    metrics.observe_batch_size(1);
    metrics.observe_batch_size(100_000);
    let sizes = buckets(&metrics, "consumer_batch_size");
    for (less_than, count) in [(1.0, 1.0), (50_000.0, 1.0), (100_000.0, 2.0)] {
        let expect = HistogramCount { less_than, count };
        assert!(sizes.contains(&expect), "{expect:?} in {sizes:?}");
    }

    metrics.observe_mongodb_write_time(Duration::from_millis(20));
    metrics.observe_offset_commit_time(Duration::from_secs(61));
    check(
        &metrics,
        "consumer_mongodb_write_time_seconds_sum",
        &[],
        0.02,
    );
    check(
        &metrics,
        "consumer_offset_commit_time_seconds_sum",
        &[],
        61.0,
    );
}

#[test]
fn forgetting_a_partition_removes_only_its_series() {
    let metrics = collector();
    for partition in [0, 1] {
        metrics.set_lag("data-topic", partition, 5, Some(1.5));
        metrics.set_committed_offset("data-topic", partition, 10);
    }
    metrics.forget_partition("data-topic", 0);
    metrics.forget_partition("data-topic", 7);
    let scrape = scrape(&metrics);
    for name in ["consumer_lag", "consumer_committed_offset"] {
        let labels = |partition| [("topic", "data-topic"), ("partition", partition)];
        assert!(find(&scrape, name, &labels("0")).is_none(), "{name}");
        assert!(find(&scrape, name, &labels("1")).is_some(), "{name}");
    }
}

#[test]
fn lag_is_never_negative() {
    let metrics = collector();
    metrics.set_lag("data-topic", 3, -2, Some(0.5));
    let labels = [("topic", "data-topic"), ("partition", "3")];
    check(&metrics, "consumer_lag", &labels, 0.0);
}

#[test]
fn oldest_in_flight_age_grows_without_updates() {
    let metrics = collector();
    check(&metrics, "consumer_oldest_in_flight_seconds", &[], 0.0);
    let taken_at = Instant::now().checked_sub(Duration::from_secs(5)).unwrap();
    metrics.set_oldest_in_flight_since(Some(taken_at));
    let scrape = scrape(&metrics);
    let sample = find(&scrape, "consumer_oldest_in_flight_seconds", &[]).unwrap();
    assert!(
        matches!(sample.value, Value::Gauge(age) if age >= 5.0),
        "{sample:?}"
    );
    metrics.set_oldest_in_flight_since(None);
    check(&metrics, "consumer_oldest_in_flight_seconds", &[], 0.0);
}

#[test]
fn busy_writers_are_counted() {
    let metrics = collector();
    metrics.increment_writers_busy();
    metrics.increment_writers_busy();
    check(&metrics, "consumer_writers_busy", &[], 2.0);
    metrics.decrement_writers_busy();
    check(&metrics, "consumer_writers_busy", &[], 1.0);
}

#[test]
fn dropped_log_lines_are_counted_once() {
    let metrics = collector();
    for dropped in [0, 3, 3, 5] {
        metrics.show_log_lines_dropped(dropped);
    }
    check(&metrics, "consumer_log_lines_dropped_total", &[], 5.0);
}
