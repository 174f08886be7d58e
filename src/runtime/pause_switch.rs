//! An operator's order to pause, shared by the thread that takes the order and those that obey it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::observe::status::Pause;

/// Cloned to every thread that takes or obeys the order.
#[derive(Clone, Default)]
pub struct PauseSwitch(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// The same as in `pause`. An atomic, because the poller looks at every turn.
    is_on: AtomicBool,
    pause: Mutex<Option<Pause>>,
}

impl PauseSwitch {
    pub fn is_on(&self) -> bool {
        self.0.is_on.load(Ordering::Acquire)
    }

    /// The order, while there is one.
    pub fn pause(&self) -> Option<Pause> {
        let pause = self.0.pause.lock().unwrap_or_else(PoisonError::into_inner);
        pause.clone()
    }

    /// Orders the pause, or its end with `None`. A second order to pause changes nothing: the first one is still
    /// obeyed. Returns what was ordered before.
    pub fn order(&self, order: Option<Pause>) -> Option<Pause> {
        let mut pause = self.0.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let before = pause.clone();
        if before.is_none() || order.is_none() {
            *pause = order;
        }
        self.0.is_on.store(pause.is_some(), Ordering::Release);
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_order_is_kept_until_its_end() {
        let by = |name: &str| {
            Some(Pause {
                since: String::new(),
                by: name.to_owned(),
                reason: None,
                is_flood: false,
            })
        };
        let switch = PauseSwitch::default();
        let other = switch.clone();
        assert!(!other.is_on());
        assert_eq!(switch.order(by("a")), None);
        assert_eq!(switch.order(by("b")), by("a"));
        assert!(other.is_on());
        assert_eq!(other.pause(), by("a"));
        assert_eq!(switch.order(None), by("a"));
        assert!(!other.is_on());
        assert_eq!(switch.order(None), None);
    }
}
