//! The checks of one server, on a thread of its own. The command waits for them for a limited time: a server that hangs
//! holds up neither the command nor the checks of the other server.

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::checklist::{Checked, Finding};
use crate::commands::output::ProgressLine;
use crate::config::Config;
use crate::failure::Failure;

/// How often the progress is shown.
const LOOK: Duration = Duration::from_millis(200);

/// The checks of one server that are still to be made, in their order.
pub(super) struct Side {
    names: Vec<&'static str>,
    results: Sender<Checked>,
}

impl Side {
    pub(super) fn report(&mut self, name: &'static str, finding: Finding) {
        self.names.retain(|other| *other != name);
        // If nobody waits any more, the command has ended without this result.
        let _ = self.results.send(Checked { name, finding });
    }

    /// Reports all further checks as skipped.
    pub(super) fn skip_the_rest(&mut self, why: &str) {
        while let Some(name) = self.names.first().copied() {
            self.report(name, Finding::Skipped(why.to_owned()));
        }
    }
}

/// A running side, and what is known of it so far.
pub(super) struct Running {
    names: &'static [&'static str],
    results: Receiver<Checked>,
    /// For a check without an answer.
    unreachable: fn() -> Failure,
    checked: Vec<Checked>,
}

impl Running {
    /// Runs `check` on a thread. `unreachable` is the failure of a check without an answer.
    pub(super) fn start(
        thread: &str,
        config: &Config,
        names: &'static [&'static str],
        check: fn(&Config, &mut Side),
        unreachable: fn() -> Failure,
    ) -> Self {
        // There is room for every result, so that no side waits for the other one.
        let (sender, results) = bounded(names.len());
        let mut side = Side {
            names: names.to_vec(),
            results: sender,
        };
        let config = config.clone();
        // Without a thread no result comes, and that is reported as any other missing result.
        let _ = thread::Builder::new()
            .name(thread.to_owned())
            .spawn(move || check(&config, &mut side));
        Self {
            names,
            results,
            unreachable,
            checked: Vec::new(),
        }
    }

    /// Waits for the results until the deadline. A check without one counts as failed, and all that follow it are skipped.
    pub(super) fn finish(mut self, deadline: Instant, progress: &mut ProgressLine) -> Vec<Checked> {
        while self.checked.len() < self.names.len() {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.results.recv_timeout(left.min(LOOK)) {
                Ok(checked) => self.checked.push(checked),
                Err(RecvTimeoutError::Timeout) if !left.is_zero() => {
                    progress.show(|| format!("checking {}", self.missing().join(", ")));
                }
                Err(RecvTimeoutError::Timeout) => {
                    let why = "this check got no answer, and was given up";
                    self.fail((self.unreachable)().because(why));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.fail(Failure::running("the check ended without a result"));
                }
            }
        }
        self.checked
    }

    /// The checks without a result.
    fn missing(&self) -> Vec<&'static str> {
        let is_missing = |name: &&str| self.checked.iter().all(|checked| checked.name != *name);
        self.names.iter().copied().filter(is_missing).collect()
    }

    fn fail(&mut self, failure: Failure) {
        let mut failure = Some(failure);
        for name in self.missing() {
            let finding = match failure.take() {
                Some(failure) => Finding::failed(failure),
                None => Finding::Skipped("an earlier check has no result".to_owned()),
            };
            self.checked.push(Checked { name, finding });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const NAMES: [&str; 3] = ["a", "b", "c"];

    fn findings(check: fn(&Config, &mut Side), wait: Duration) -> Vec<String> {
        let variables = [
            ("CONSUMER__KAFKA__BOOTSTRAP_SERVERS", "nowhere:9092"),
            ("CONSUMER__MONGODB__URI", "mongodb://nowhere"),
        ];
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, b"{}").unwrap();
        let config = Config::load(file.path(), variables).unwrap();
        let side = Running::start("side", &config, &NAMES, check, Failure::kafka_unreachable);
        let checked = side.finish(Instant::now() + wait, &mut ProgressLine::new());
        let in_words = |checked: &Checked| match &checked.finding {
            Finding::Ok(_) => format!("{} ok", checked.name),
            Finding::Warning(_) => format!("{} warning", checked.name),
            Finding::Failed(failure, _) => format!("{} {}", checked.name, failure.chain()),
            Finding::Skipped(_) => format!("{} skipped", checked.name),
        };
        checked.iter().map(in_words).collect()
    }

    #[test]
    fn a_side_that_hangs_is_given_up() {
        let found = findings(
            |_, side| {
                side.report("a", Finding::Ok(String::new()));
                loop {
                    std::thread::park();
                }
            },
            Duration::from_millis(300),
        );
        let expected = [
            "a ok",
            "b Kafka could not be reached: this check got no answer, and was given up",
            "c skipped",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_side_that_gives_up_skips_its_other_checks() {
        let found = findings(
            |_, side| {
                side.report("a", Finding::Warning(String::new()));
                side.skip_the_rest("why");
            },
            LONG,
        );
        assert_eq!(found, ["a warning", "b skipped", "c skipped"]);
    }

    #[test]
    fn a_side_that_panics_is_a_failure() {
        let found = findings(|_, _| panic!("on purpose"), LONG);
        assert_eq!(found[0], "a the check ended without a result");
    }
}
