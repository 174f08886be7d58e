//! Calls into the Kafka client that panic where a text isn't UTF-8.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs code that panics inside the Kafka client if a header's name or a commit's text isn't UTF-8. Returns `None`
/// then, without the panic's message.
pub(super) fn quietly<T>(look: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
    QUIET.set(true);
    let seen = panic::catch_unwind(AssertUnwindSafe(look)).ok();
    QUIET.set(false);
    seen
}
