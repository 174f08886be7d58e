//! Signals to processes of ours.

use std::process::Command;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Term,
    Int,
    Kill,
    /// Freezes the process.
    Stop,
    /// Thaws it.
    Cont,
}

/// Sends a signal by the shell's own `kill`.
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
