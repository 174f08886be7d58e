//! What systemd is told, with the test in systemd's place.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use crate::harness::{MINUTE, Producer, SHORT, Signal, Worker, World};

struct Systemd {
    socket: UnixDatagram,
    path: PathBuf,
    lines: Vec<String>,
}

impl Systemd {
    fn new(world: &World) -> Self {
        let path = std::env::temp_dir().join(format!("{}.notify", world.group));
        let socket = UnixDatagram::bind(&path).unwrap();
        let wait = Duration::from_millis(10);
        socket.set_read_timeout(Some(wait)).unwrap();
        Self {
            socket,
            path,
            lines: Vec::new(),
        }
    }

    fn receive(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            self.lines.extend(text.lines().map(str::to_owned));
        }
    }

    fn count(&self, line: &str) -> usize {
        let lines = self.lines.iter();
        lines.filter(|told| told.starts_with(line)).count()
    }

    /// Waits until it was told this line, in all of the test.
    fn wait_told(&mut self, worker: &mut Worker, line: &str) {
        worker.wait_for(&format!("systemd is told {line}"), SHORT, |_| {
            self.receive();
            (self.count(line) > 0).then_some(())
        });
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[test]
fn systemd_is_told_of_start_status_beats_reload_and_stop() {
    let world = World::new(2);
    Producer::new(&world).fill(0..100, 2);
    let mut systemd = Systemd::new(&world);
    let mut worker = world
        .worker()
        .variable("NOTIFY_SOCKET", systemd.path.display())
        .variable("WATCHDOG_USEC", 300_000)
        .start();
    systemd.wait_told(&mut worker, "STATUS=starting");
    systemd.wait_told(&mut worker, "READY=1");
    world.wait_committed_to_end(MINUTE);
    let done = "STATUS=running; 2 partitions, lag 0, 100 stored";
    systemd.wait_told(&mut worker, done);
    systemd.wait_told(&mut worker, "WATCHDOG=1");
    assert_eq!(systemd.count("STOPPING=1"), 0);
    worker.signal(Signal::Hup);
    worker.wait_for("systemd is told of the reload", MINUTE, |_| {
        systemd.receive();
        (systemd.count("READY=1") == 2).then_some(())
    });
    assert_eq!(systemd.count("RELOADING=1"), 1, "{:?}", systemd.lines);
    assert_eq!(systemd.count("STOPPING=1"), 0, "{:?}", systemd.lines);
    worker.stop();
    systemd.receive();
    assert_eq!(systemd.count("STOPPING=1"), 1, "{:?}", systemd.lines);
    assert_eq!(systemd.count("READY=1"), 2, "{:?}", systemd.lines);
    worker.assert_no_errors();
}
