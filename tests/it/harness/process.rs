//! Signals to processes that a test started.

use std::process::Command;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Term,
    Int,
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
