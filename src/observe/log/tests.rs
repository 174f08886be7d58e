//! A process can have only one logger. So each test runs this test program again as a child process that
//! executes only the test `child`.

use std::env;
use std::io::{self, Read, Write};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use log::{Level, LevelFilter};
use serde_json::Value;

use super::{
    LogFormat, RateLimited, Source, checked_filters, dropped_lines, flush, init, report_suppressed,
};

const ROLE: &str = "LOG_TEST_ROLE";

fn source() -> Source {
    Source {
        group: "data-consumer-group".to_owned(),
        instance: "host-1".to_owned(),
    }
}

/// Does nothing in an ordinary run. If `ROLE` is set, this is the child process, and it logs.
#[test]
fn child() {
    let format = match env::var(ROLE).as_deref() {
        Ok("json") => LogFormat::Json,
        Ok("ecs") => LogFormat::Ecs,
        Ok("text") => LogFormat::Text,
        Ok("unread") => return log_without_a_reader(),
        Ok("suppressed") => return log_suppressed_lines(),
        _ => return,
    };
    init(LevelFilter::Info, format, Some(source()), |_| false).unwrap();
    assert!(init(LevelFilter::Info, format, Some(source()), |_| false).is_err());
    for offset in 0..1000 {
        log::info!(topic = "data-topic", partition = 3, offset; "two\nlines \"{offset}\"");
    }
    log::debug!("only RUST_LOG lets this pass");
    let writer = std::thread::Builder::new()
        .name("writer-1".to_owned())
        .spawn(|| panic!("as asked\nfor"))
        .unwrap();
    assert!(writer.join().is_err());
    flush();
    println!("survived");
}

/// Standard error is a pipe that nobody reads for now. Logs much more than the pipe and the queue hold.
fn log_without_a_reader() {
    init(LevelFilter::Info, LogFormat::Json, None, |_| false).unwrap();
    let started = Instant::now();
    for _ in 0..100 {
        log::info!("{}", "x".repeat(50_000));
    }
    flush();
    let elapsed = started.elapsed();
    assert!(
        elapsed < Duration::from_secs(20),
        "the process waited for the reader of the log: {elapsed:?}"
    );
    assert!(dropped_lines() > 10, "{}", dropped_lines());
    println!("dropped {}", dropped_lines());
    io::stdout().flush().unwrap();
    // Goes on when the test reads.
    let mut line = String::new();
    io::stdin().read_line(&mut line).unwrap();
    flush();
}

/// Logs more lines than a limit admits, and waits until the thread of the log reports the others. Then does the same
/// again, but reports the others itself.
fn log_suppressed_lines() {
    init(LevelFilter::Info, LogFormat::Json, None, |_| false).unwrap();
    let limit = RateLimited::new(Level::Error, "something happened");
    let now = Instant::now();
    let log_some = |count| {
        for number in 0..count {
            if let Some(suppressed) = limit.admit(now) {
                log::error!(number, suppressed; "something happened");
            }
        }
    };
    log_some(30);
    let mut line = String::new();
    io::stdin().read_line(&mut line).unwrap();
    log_some(7);
    report_suppressed(now, Duration::ZERO);
    flush();
}

fn command(format: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "observe::log::tests::child", "--nocapture"])
        .env(ROLE, format)
        .env_remove("RUST_LOG")
        .env_remove("RUST_BACKTRACE");
    command
}

fn lines(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{output:?}");
    let text = str::from_utf8(&output.stderr).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn json_lines_reach_standard_error() {
    let output = command("json").output().unwrap();
    let lines: Vec<Value> = lines(&output)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    assert_eq!(lines.len(), 1001);
    let line = &lines[7];
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["msg"], "two\nlines \"7\"");
    assert_eq!(line["topic"], "data-topic");
    assert_eq!(line["partition"], 3);
    assert_eq!(line["offset"], 7);
    assert_eq!(line["instance"], "host-1");
    let ts = line["ts"].as_str().unwrap();
    assert_eq!(ts.len(), "2026-03-05T06:07:08.012Z".len(), "{ts}");
    ts.parse::<jiff::Timestamp>().unwrap();

    let panic = &lines[1000];
    assert_eq!(panic["level"], "ERROR");
    assert_eq!(panic["target"], "panic");
    assert_eq!(panic["thread"], "writer-1");
    assert_eq!(panic["msg"], "panicked: as asked\nfor");
}

#[test]
fn ecs_lines_have_the_names_of_the_schema() {
    let output = command("ecs").output().unwrap();
    let lines: Vec<Value> = lines(&output)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let line = &lines[7];
    assert_eq!(line["log.level"], "info");
    assert_eq!(line["message"], "two\nlines \"7\"");
    assert_eq!(line["kafka_mongo_consumer"]["offset"], 7);
    let panic = &lines[1000];
    assert_eq!(panic["log.level"], "error");
    assert_eq!(panic["message"], "panicked: as asked\nfor");
    assert!(panic["kafka_mongo_consumer"]["location"].is_string());
}

#[test]
fn each_record_is_one_text_line() {
    let lines = lines(&command("text").output().unwrap());
    assert_eq!(lines.len(), 1001);
    assert!(
        lines[0].ends_with(
            r#"two\nlines "0" topic=data-topic partition=3 offset=0 group=data-consumer-group instance=host-1"#
        ),
        "{}",
        lines[0]
    );
}

#[test]
fn rust_log_overrides_the_configured_level() {
    for (rust_log, expect) in [
        ("debug", 1002),
        ("error", 1),
        ("", 1001),
        // Invalid: one warning, and the configured level.
        ("a=b=c", 1002),
    ] {
        let output = command("json").env("RUST_LOG", rust_log).output().unwrap();
        assert_eq!(lines(&output).len(), expect, "`{rust_log}`");
    }
}

#[test]
fn invalid_rust_log_is_one_json_warning() {
    let output = command("json").env("RUST_LOG", "a=b=c").output().unwrap();
    let first: Value = serde_json::from_str(&lines(&output)[0]).unwrap();
    assert_eq!(first["level"], "WARN");
    assert!(first["msg"].as_str().unwrap().contains("`RUST_LOG`"));
}

#[test]
fn the_process_goes_on_if_standard_error_is_closed() {
    for rust_log in ["info", "a=b=c"] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut child = command("json")
            .env("RUST_LOG", rust_log)
            .stderr(writer)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = String::new();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_to_string(&mut output).unwrap();
        assert!(child.wait().unwrap().success(), "{output}");
        assert!(output.contains("survived"), "{output}");
    }
}

#[test]
fn filters_are_checked_before_they_are_used() {
    assert_eq!(checked_filters(Ok("  ".to_owned())), Ok(None));
    assert_eq!(
        checked_filters(Ok("warn,rdkafka=debug".to_owned())),
        Ok(Some("warn,rdkafka=debug".to_owned()))
    );
    assert!(checked_filters(Ok("x=loud".to_owned())).is_err());
    assert_eq!(checked_filters(Err(env::VarError::NotPresent)), Ok(None));
    let not_unicode = env::VarError::NotUnicode(std::ffi::OsString::from("x"));
    assert!(checked_filters(Err(not_unicode)).is_err());
}

#[test]
fn a_log_that_nobody_reads_is_dropped_and_reported_later() {
    let mut child = command("unread")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = io::BufReader::new(child.stdout.take().unwrap());
    let mut dropped = 0;
    while dropped == 0 {
        let mut line = String::new();
        assert!(io::BufRead::read_line(&mut stdout, &mut line).unwrap() > 0);
        let count = line.strip_prefix("dropped ").map(str::trim);
        dropped = count.map_or(0, |count| count.parse().unwrap());
    }
    let mut stdin = child.stdin.take().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let read = move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        text
    };
    let reader = std::thread::Builder::new().spawn(read).unwrap();
    writeln!(stdin, "go on").unwrap();
    assert!(child.wait().unwrap().success());
    let text = reader.join().unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    // The first lines may be dropped while others are still written, so there may be several reports.
    let (reports, others): (Vec<_>, Vec<_>) =
        lines.iter().partition(|line| line["level"] == "WARN");
    let reported: u64 = reports
        .iter()
        .map(|report| report["dropped"].as_u64().unwrap())
        .sum();
    assert_eq!(reported, dropped);
    assert_eq!(u64::try_from(others.len()).unwrap() + dropped, 100);
}

#[test]
fn suppressed_lines_are_reported_when_no_further_line_follows() {
    let mut child = command("suppressed")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = io::BufRead::lines(io::BufReader::new(child.stderr.take().unwrap()));
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    for number in 0..10 {
        assert_eq!(next()["number"], number);
    }
    for suppressed in [20, 7] {
        let line = next();
        assert_eq!(line["level"], "ERROR");
        assert_eq!(line["suppressed"], suppressed);
        let text = format!("left out of the log: {suppressed} more of `something happened`");
        assert_eq!(line["msg"], text);
        // Fails after the second line: the child has ended.
        let _ = writeln!(stdin, "go on");
    }
    assert!(child.wait().unwrap().success());
}
