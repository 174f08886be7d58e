//! Finds duplicate field names: remembers the names of every object that is not yet complete.

use std::borrow::Cow;
use std::collections::HashSet;

/// Up to this many names are compared one by one, which is the fastest way for so few. An object with
/// more names uses a set, so that 100,000 names don't take quadratic time. The set's hash has random
/// keys, so a sender can't choose names that collide.
const MAX_COMPARED: usize = 32;

/// The names of all open objects in one stack, so that most objects need no allocation of their own.
pub(super) struct OpenNames<'p> {
    stack: Vec<Cow<'p, str>>,
}

/// The names of one open object: on the stack from `first` on, or in `many` if there are too many.
pub(super) struct ObjectNames<'p> {
    first: usize,
    many: Option<HashSet<Cow<'p, str>>>,
}

impl<'p> OpenNames<'p> {
    pub fn new() -> Self {
        Self {
            stack: Vec::with_capacity(MAX_COMPARED),
        }
    }

    pub fn open(&self) -> ObjectNames<'p> {
        ObjectNames {
            first: self.stack.len(),
            many: None,
        }
    }

    /// Adds a name to `object`, which must be the innermost open object. Returns false if the object
    /// already has this name.
    #[inline]
    pub fn insert(&mut self, object: &mut ObjectNames<'p>, name: Cow<'p, str>) -> bool {
        if let Some(many) = &mut object.many {
            return many.insert(name);
        }
        let names = &self.stack[object.first..];
        if names.contains(&name) {
            return false;
        }
        if names.len() < MAX_COMPARED {
            self.stack.push(name);
        } else {
            let mut many: HashSet<_> = self.stack.drain(object.first..).collect();
            many.insert(name);
            object.many = Some(many);
        }
        true
    }

    pub fn close(&mut self, object: &ObjectNames<'p>) {
        self.stack.truncate(object.first);
    }
}
