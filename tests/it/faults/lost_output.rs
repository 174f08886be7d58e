//! The reader of the log has gone away, or doesn't read.

use std::io::{self, PipeReader, PipeWriter, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use bson::doc;

use crate::harness::{
    MINUTE, Message, Metrics, Producer, SHORT, Signal, World, metric, request, signal, until,
};

/// A process. Dropping this kills it.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn closed_log_output_does_not_stop_the_worker() {
    let world = World::new(2);
    let mut child = KilledOnDrop(world.worker().command().spawn().unwrap());
    // From now on, a write to either is an error.
    drop(child.0.stdout.take());
    drop(child.0.stderr.take());
    let producer = Producer::new(&world);
    for round in 0..3 {
        producer.fill(round * 100..round * 100 + 100, 2);
        // The worker logs this rejection.
        producer.send_now(Message::refused("{", "invalid_json"));
        world.wait_committed_to_end(MINUTE);
    }
    signal(child.0.id(), Signal::Term);
    let status = until("it ends", SHORT, || child.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "{status}");
    let report = world.check();
    assert_eq!((report.stored, report.dead_lettered), (300, 3));
}

/// A full pipe, which nobody reads. It ends when the reader is dropped.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = io::pipe().unwrap();
    let mut filler = writer.try_clone().unwrap();
    thread::Builder::new()
        .name("filler".to_owned())
        .spawn(move || {
            // More than a pipe holds: this waits, and fails when the reader is dropped.
            let _ = filler.write_all(&vec![b'\n'; 1 << 20]);
        })
        .unwrap();
    (reader, writer)
}

/// Starts a worker whose whole output goes to the pipe.
fn start_into(pipe: PipeWriter, mut command: Command) -> KilledOnDrop {
    let child = command
        .stdout(pipe.try_clone().unwrap())
        .stderr(pipe)
        .spawn();
    KilledOnDrop(child.unwrap())
}

/// An address with a port that was free just now.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

#[test]
fn a_log_that_nobody_reads_stops_neither_the_work_nor_the_stop() {
    let world = World::new(2);
    let (reader, pipe) = full_pipe();
    let address = free_address();
    let setup = world
        .worker()
        .set("metrics.port", address.port())
        .set("logging.level", "TRACE")
        .set("consumer.batch_size", 1);
    let mut child = start_into(pipe, setup.command());
    let producer = Producer::new(&world);
    for round in 0..10 {
        producer.fill(round * 1000..round * 1000 + 1000, 2);
        // The worker logs this rejection.
        producer.send_now(Message::refused("{", "invalid_json"));
        world.wait_committed_to_end(SHORT);
    }
    let answer = request(address, "GET", "/metrics").unwrap();
    let dropped = Metrics::parse(&answer.body).sum(metric::LOG_LINES_DROPPED);
    assert!(
        dropped > 0,
        "the pipe and the queue are too small for all lines"
    );
    signal(child.0.id(), Signal::Term);
    let asked = Instant::now();
    let status = until("it ends", SHORT, || child.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(asked.elapsed() < Duration::from_secs(20));
    drop(reader);
    let report = world.check();
    assert_eq!((report.stored, report.dead_lettered), (10_000, 10));
}

#[test]
fn a_second_signal_ends_a_slow_stop_although_nobody_reads_the_log() {
    let world = World::with_own_mongodb(1);
    let (reader, pipe) = full_pipe();
    let address = free_address();
    let setup = world.worker().set("metrics.port", address.port());
    let mut child = start_into(pipe, setup.command());
    let get = |path| request(address, "GET", path).ok();
    until("it is ready", SHORT, || {
        get("/ready").filter(|answer| answer.status == 200)
    });
    let block = doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 15_000 };
    let fail_point = world.fail_point("alwaysOn", block);
    Producer::new(&world).fill(0..10, 1);
    until("an insert hangs", SHORT, || {
        let metrics = Metrics::parse(&get("/metrics")?.body);
        (metrics.sum(metric::WRITERS_BUSY) >= 1).then_some(())
    });
    signal(child.0.id(), Signal::Term);
    until("it is stopping", SHORT, || {
        get("/ready").filter(|answer| answer.status == 503)
    });
    signal(child.0.id(), Signal::Term);
    let status = until("it ends", Duration::from_secs(5), || {
        child.0.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(1), "{status}");
    drop((reader, fail_point));
}

#[test]
fn faults_of_the_configuration_end_the_worker_although_nobody_reads_them() {
    let world = World::new(1);
    let (reader, pipe) = full_pipe();
    let setup = world.worker().set("consumer.batch_size", "many");
    let mut child = start_into(pipe, setup.command());
    let status = until("it ends", SHORT, || child.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(2), "{status}");
    drop(reader);
}
