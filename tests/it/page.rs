//! The worker's page in a real browser. The checks themselves are in tools/page-test/check.mjs.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::faults::worker_with_short_timeouts;
use crate::harness::{
    Background, MINUTE, Message, Only, OwnServers, Producer, Signal, World, metric,
};

const PARTITIONS: i32 = 3;
const PER_SECOND: u64 = 200;

/// A browser with the page open. Dropping it closes the browser.
struct Browser {
    process: Child,
    steps: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Browser {
    fn open(address: SocketAddr) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/page-test");
        assert!(
            folder.join("node_modules").exists(),
            "this test needs Chromium and the packages of tools/page-test; scripts/test installs both"
        );
        let mut process = Command::new("node")
            .arg(folder.join("check.mjs"))
            .arg(format!("http://{address}/"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            steps: process.stdin.take(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            process,
        }
    }

    /// Does a step. The script has a limit for each wait, and one for itself.
    #[track_caller]
    fn check(&mut self, step: &str) {
        writeln!(self.steps.as_mut().unwrap(), "{step}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer.trim_end(), format!("ok {step}"));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The script closes the browser at the end of its input.
        self.steps = None;
        // An error here would hide that of the test.
        let _ = self.process.wait();
    }
}

#[test]
fn page_shows_what_status_says_before_in_and_after_an_outage_of_mongodb() {
    let mongod = OwnServers::start("page-outage", Only::Mongodb);
    let world = World::on(mongod.servers(), PARTITIONS);
    let mut worker = worker_with_short_timeouts(&world)
        .set("mongodb.replay_after_outage", true)
        .start();
    let producer = Producer::new(&world);
    producer.send(Message::refused("no json", "invalid_json"));
    producer.send(Message::refused("{}", "missing_field"));
    producer.flush();
    let load = Background::start(&world, 0, PER_SECOND, PARTITIONS);
    worker.wait_until("messages are stored and dead-lettered", MINUTE, |metrics| {
        metrics.sum(metric::STORED) >= 200 && metrics.sum(metric::DEAD_LETTERS) == 2
    });

    let mut browser = Browser::open(worker.address());
    browser.check("state running");
    browser.check("content");
    browser.check("steady");
    browser.check("accessibility");
    browser.check("keyboard");

    mongod.signal("mongodb", Signal::Kill);
    browser.check("state mongodb_unavailable");
    browser.check("content");
    browser.check("accessibility");

    mongod.restart();
    browser.check("state running");
    browser.check("content");
    browser.check("quiet");

    load.stop();
    worker.stop();
    browser.check("gone");
    browser.check("accessibility");
}
