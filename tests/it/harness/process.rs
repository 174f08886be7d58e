//! Signals to processes that a test started, and what the system says about them.

use std::fs;
use std::process::Command;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Term,
    Int,
    Hup,
    Kill,
    /// Freezes the process.
    Stop,
    /// Continues a frozen process.
    Cont,
}

/// Sends a signal with the shell's `kill`.
pub fn signal(process: u32, signal: Signal) {
    let name = match signal {
        Signal::Term => "TERM",
        Signal::Int => "INT",
        Signal::Hup => "HUP",
        Signal::Kill => "KILL",
        Signal::Stop => "STOP",
        Signal::Cont => "CONT",
    };
    let status = Command::new("sh")
        .args(["-c", &format!("kill -s {name} {process}")])
        .status()
        .unwrap();
    assert!(status.success(), "can't send SIG{name} to {process}");
}

/// The first word of a line of `/proc/PID/status`.
pub fn status_of(process: u32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let mut lines = status.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap().split_whitespace().next().unwrap().to_owned()
}

/// Whether the process has a handler for SIGTERM. Before the first instruction of `main` it has none, and nothing can be done
/// about a signal.
pub fn catches_sigterm(process: u32) -> bool {
    const SIGTERM: u32 = 15;
    let caught = u64::from_str_radix(&status_of(process, "SigCgt"), 16).unwrap();
    caught & (1 << (SIGTERM - 1)) != 0
}
