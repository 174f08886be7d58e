//! The metrics port beside hostile clients: they take little, and the flow of the messages doesn't notice them.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::harness::{MINUTE, Producer, World, metric, status_of};

fn number_of(process: u32, name: &str) -> u64 {
    status_of(process, name).parse().unwrap()
}

fn open_files(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

/// Connects, sends, and stays. The worker may have ended the connection before all is sent.
fn hostile(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_nonblocking(true).unwrap();
    let _ = client.write(bytes);
    client
}

#[test]
fn hostile_clients_take_little_and_delay_no_message() {
    const MESSAGES: u64 = 20_000;
    let world = World::new(2);
    let producer = Producer::new(&world);
    producer.fill(0..100, 2);
    let mut worker = world.worker().start();
    world.wait_committed_to_end(MINUTE);
    worker.wait_ready();
    let (process, address) = (worker.id(), worker.address());
    let threads = number_of(process, "Threads");
    let files = open_files(process);
    let memory = number_of(process, "VmHWM");
    let endless = "X: y\r\n".repeat(100_000);
    let kinds: [Vec<u8>; 8] = [
        b"".to_vec(),
        b"GET /metrics HTT".to_vec(),
        format!("GET / HTTP/1.1\r\n{endless}").into_bytes(),
        format!("GET /{endless}").into_bytes(),
        b"POST /metrics HTTP/1.1\r\nContent-Length: 4611686018427387904\r\n\r\nx".to_vec(),
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFF0\r\nx".to_vec(),
        b"GET /metrics HTTP/1.1\r\n\r\n".repeat(300),
        b"\0\xff\x16\x03\x01".repeat(1000),
    ];
    let mut clients = Vec::new();
    let mut most_threads = 0;
    let mut most_files = 0;
    for number in 0..1000 {
        clients.push(hostile(address, &kinds[number % kinds.len()]));
        if number % 100 == 0 {
            assert_eq!(worker.get("/health").0, 200, "after {number} clients");
            most_threads = most_threads.max(number_of(process, "Threads"));
            most_files = most_files.max(open_files(process));
        }
    }
    producer.fill(100..MESSAGES, 2);
    worker.wait_until("all is stored", MINUTE, |metrics| {
        metrics.sum(metric::STORED) == i64::try_from(MESSAGES).unwrap()
    });
    assert_eq!(worker.get("/ready").0, 200);
    // Each of the last clients still gets an answer or an end.
    let mut last = clients.pop().unwrap();
    last.set_nonblocking(false).unwrap();
    last.set_read_timeout(Some(MINUTE)).unwrap();
    let _ = last.read_to_end(&mut Vec::new());
    let grown = number_of(process, "VmHWM") - memory;
    println!(
        "threads {threads} to {most_threads}, files {files} to {most_files}, {grown} KiB more"
    );
    assert!(most_threads <= threads + 2, "{most_threads} threads");
    assert!(most_files <= files + 260, "{most_files} files");
    // The messages took some of it.
    assert!(grown < 48 << 10, "{grown} KiB more memory");
    drop(clients);
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().stored, i64::try_from(MESSAGES).unwrap());
}
