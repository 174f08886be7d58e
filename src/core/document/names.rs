//! Duplicate names: which names the objects that are open have had so far.

use std::borrow::Cow;
use std::collections::HashSet;

/// Up to so many names are compared one by one, which is the fastest for them; beyond, a set keeps
/// an object of 100,000 names from costing the square of that. Its hash has random keys: nobody can
/// choose names that collide.
const MAX_COMPARED: usize = 32;

/// The names of all objects that are open, in one stack, so that an object costs no allocation.
pub(super) struct OpenNames<'p> {
    stack: Vec<Cow<'p, str>>,
}

/// The names of one open object: on the stack from `first` on, or in a set once they are many.
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

    /// Adds a name of `object`, the innermost that is open; false if it has it already.
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
