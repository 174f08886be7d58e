//! What threads need to start, to run and to end: named threads, the stop, the restart, the pause, signals, waits and retries.
//! Nothing here knows Kafka, MongoDB or what the threads do.

mod end;
mod instance;
mod open_files;
mod pause_switch;
mod process_event;
mod restart;
mod retry;
mod signals;
mod stop;
mod threads;
mod wake_up;

pub use end::end_process;
pub use instance::instance;
pub use open_files::{OPEN_FILES_NEEDED, check_open_files, open_files_limit};
pub use pause_switch::PauseSwitch;
pub use process_event::{ProcessEvent, ProcessEvents};
pub use restart::{Restart, inherited_pause, restart_in_place};
pub use retry::{Delays, RetryError, retry};
pub use signals::{CaughtSignals, OnHangup, SignalThread};
pub use stop::StopSignal;
pub use threads::Threads;
pub use wake_up::WakeUp;
