//! The worker's HTTP port: readiness and metrics.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::process::Process;
use crate::{Result, pause};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A free port.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// Waits until the worker is ready: it has its partitions.
pub fn await_ready(worker: &mut Process, port: u16) -> Result<()> {
    await_ok(worker, port, "/ready")
}

/// Waits until the worker's port answers.
pub fn await_answers(worker: &mut Process, port: u16) -> Result<()> {
    await_ok(worker, port, "/metrics")
}

fn await_ok(worker: &mut Process, port: u16, path: &str) -> Result<()> {
    let started = Instant::now();
    loop {
        if get(port, path).is_ok_and(|answer| status(&answer) == Some("200")) {
            return Ok(());
        }
        worker.check()?;
        if started.elapsed() > TIMEOUT {
            return Err("the worker isn't ready".into());
        }
        pause(Duration::from_millis(50));
    }
}

/// How many batches there were so far, and how many messages they had.
#[derive(Debug, Clone, Copy)]
pub struct Batches {
    pub messages: f64,
    pub batches: f64,
}

impl Batches {
    pub fn read(port: u16) -> Result<Self> {
        let names = ["consumer_batch_size_sum", "consumer_batch_size_count"];
        let [messages, batches] = metrics(port, names)?;
        Ok(Self { messages, batches })
    }
}

/// How many messages wait in Kafka or are in flight, in all partitions.
pub fn lag(port: u16) -> Result<f64> {
    let text = get(port, "/metrics")?;
    let lags = text
        .lines()
        .filter(|line| line.starts_with("consumer_lag{"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(lags.sum())
}

/// The values of metrics without labels.
pub fn metrics<const N: usize>(port: u16, names: [&str; N]) -> Result<[f64; N]> {
    let text = get(port, "/metrics")?;
    let mut values = [0.0; N];
    for (value, name) in values.iter_mut().zip(names) {
        *value = metric(&text, name).ok_or_else(|| format!("no metric `{name}`"))?;
    }
    Ok(values)
}

fn metric(text: &str, name: &str) -> Option<f64> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value?.trim().parse().ok()
}

fn status(answer: &str) -> Option<&str> {
    answer.split(' ').nth(1)
}

/// The whole response, with its head.
fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_is_found_by_its_whole_name() {
        let text = "# HELP a_sum x\na_sum_of_b 1\na_sum 2.5\n";
        assert_eq!(metric(text, "a_sum"), Some(2.5));
        assert_eq!(metric(text, "a"), None);
    }
}
