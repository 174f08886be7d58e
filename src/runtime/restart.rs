//! A restart in place: after an ordinary stop, the process executes its own program anew. It keeps its process id, its
//! arguments and its environment, and nothing else.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::pause_switch::PauseSwitch;
use crate::failure::Failure;
use crate::observe::status::Pause;

/// Holds an operator's pause across a restart in place, as JSON.
const PAUSE_VARIABLE: &str = "KAFKA_MONGO_CONSUMER_PAUSE";

/// Whether the process begins anew after its stop. Shared by the threads that decide it.
#[derive(Clone, Default)]
pub struct Restart(Arc<Shared>);

#[derive(Default)]
struct Shared {
    is_asked: AtomicBool,
    is_cancelled: AtomicBool,
}

impl Restart {
    /// After the stop, the process begins anew.
    pub fn ask(&self) {
        self.0.is_asked.store(true, Ordering::SeqCst);
    }

    /// After the stop, the process ends. This holds whatever was asked, or will be.
    pub fn cancel(&self) {
        self.0.is_cancelled.store(true, Ordering::SeqCst);
    }

    pub fn is_wanted(&self) -> bool {
        self.0.is_asked.load(Ordering::SeqCst) && !self.0.is_cancelled.load(Ordering::SeqCst)
    }
}

/// The pause that an operator ordered before the restart in place, if there was one.
pub fn inherited_pause() -> PauseSwitch {
    let switch = PauseSwitch::default();
    let pause = env::var(PAUSE_VARIABLE)
        .ok()
        .and_then(|pause| serde_json::from_str::<Pause>(&pause).ok());
    if pause.is_some() {
        switch.order(pause);
    }
    switch
}

/// Executes this program anew. Returns only if the system refuses.
pub fn restart_in_place(pause: Option<&Pause>) -> Failure {
    let failed =
        |error: io::Error| Failure::running("can't begin anew after the stop").because(error);
    let program = match program() {
        Ok(program) => program,
        Err(error) => return failed(error),
    };
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_else(|| OsString::from(&program));
    let mut command = Command::new(program);
    command.arg0(name).args(arguments);
    match pause.map(serde_json::to_string) {
        Some(Ok(pause)) => command.env(PAUSE_VARIABLE, pause),
        Some(Err(error)) => return failed(error.into()),
        None => command.env_remove(PAUSE_VARIABLE),
    };
    failed(command.exec())
}

/// The program's file. If it was replaced since the start, it is still reached under the process's own entry.
fn program() -> io::Result<PathBuf> {
    let path = env::current_exe()?;
    Ok(if path.exists() {
        path
    } else {
        PathBuf::from("/proc/self/exe")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_that_was_asked_for_wins_over_a_restart() {
        let restart = Restart::default();
        assert!(!restart.is_wanted());
        restart.ask();
        assert!(restart.clone().is_wanted());
        restart.cancel();
        restart.ask();
        assert!(!restart.is_wanted());
    }
}
