//! What systemd is told, with the test in systemd's place.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::harness::{MINUTE, Producer, SHORT, Worker, World};

/// Receives until a message has this line; returns everything received until then.
fn told(systemd: &UnixDatagram, worker: &mut Worker, line: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut buffer = [0; 4096];
    worker.wait_for(&format!("systemd is told {line}"), SHORT, |_| {
        while let Ok(length) = systemd.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            lines.extend(text.lines().map(str::to_owned));
        }
        lines
            .iter()
            .any(|told| told.starts_with(line))
            .then_some(())
    });
    lines
}

#[test]
fn systemd_is_told_of_start_status_beats_and_stop() {
    let world = World::new(2);
    Producer::new(&world).fill(0..100, 2);
    let path = std::env::temp_dir().join(format!("{}.notify", world.group));
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd
        .set_read_timeout(Some(Duration::from_millis(10)))
        .unwrap();
    let mut worker = world
        .worker()
        .variable("NOTIFY_SOCKET", path.display())
        .variable("WATCHDOG_USEC", 300_000)
        .start();
    let lines = told(&systemd, &mut worker, "READY=1");
    assert!(
        lines.iter().any(|line| line.starts_with("STATUS=starting")),
        "{lines:?}"
    );
    world.wait_committed_to_end(MINUTE);
    told(
        &systemd,
        &mut worker,
        "STATUS=running; 2 partitions, lag 0, 100 stored",
    );
    told(&systemd, &mut worker, "WATCHDOG=1");
    worker.stop();
    let mut buffer = [0; 4096];
    let mut rest = String::new();
    while let Ok(length) = systemd.recv(&mut buffer) {
        rest.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    assert!(rest.contains("STOPPING=1"), "{rest}");
    assert!(!rest.contains("READY=1"), "{rest}");
    worker.assert_no_errors();
    std::fs::remove_file(path).unwrap();
}
