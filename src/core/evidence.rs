//! Evidence that MongoDB takes documents: the inserts of all writers, numbered in the order in which they begin.
//! Pure: no driver and no clock.

/// Counts the inserts, and knows the latest one of which the server took a document.
#[derive(Debug, Default)]
pub struct Evidence {
    begun: u64,
    latest_accepted: u64,
}

/// An insert that has begun.
#[derive(Debug)]
pub struct BegunInsert {
    number: u64,
    accepted_before: u64,
}

/// The place of an insert that has ended among all other inserts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InsertSpan {
    /// Its number: 1 or more.
    pub number: u64,
    /// The latest insert of which the server had taken a document when this insert began; 0 if there was none.
    pub accepted_before: u64,
    /// The latest insert that had begun when this insert ended.
    pub begun_by_the_end: u64,
}

impl Evidence {
    pub fn begin(&mut self) -> BegunInsert {
        self.begun += 1;
        BegunInsert {
            number: self.begun,
            accepted_before: self.latest_accepted,
        }
    }

    /// `took_any` says whether the server took a document of this insert, or judged one by itself.
    pub fn end(&mut self, insert: &BegunInsert, took_any: bool) -> InsertSpan {
        if took_any {
            self.latest_accepted = self.latest_accepted.max(insert.number);
        }
        InsertSpan {
            number: insert.number,
            accepted_before: insert.accepted_before,
            begun_by_the_end: self.begun,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_insert_that_began_before_a_refusal_proves_nothing_after_it() {
        let mut evidence = Evidence::default();
        let slow = evidence.begin();
        let refused = evidence.begin();
        let refusal = evidence.end(&refused, false);
        evidence.end(&slow, true);
        let again = evidence.begin();
        let again = evidence.end(&again, false);
        assert!(again.accepted_before <= refusal.begun_by_the_end);

        let later = evidence.begin();
        evidence.end(&later, true);
        let third = evidence.begin();
        assert!(evidence.end(&third, false).accepted_before > refusal.begun_by_the_end);
    }

    #[test]
    fn an_insert_that_ends_after_the_next_one_began_is_no_evidence_for_that() {
        let mut evidence = Evidence::default();
        let other = evidence.begin();
        let refused = evidence.begin();
        evidence.end(&other, true);
        assert_eq!(evidence.end(&refused, false).accepted_before, 0);
    }
}
