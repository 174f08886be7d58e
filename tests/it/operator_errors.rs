//! How commands other than `run` report an error: for people on a terminal, and otherwise as a line of the log.

use std::process::{Command, Stdio};

use crate::harness::{Servers, WorkerSetup, World};

const WORDS: &str = "there is no topic";

fn command(world: &World) -> WorkerSetup {
    world.worker().argument("offsets").argument("show")
}

#[test]
fn without_a_terminal_an_error_has_the_format_of_the_log() {
    let world = World::bare(Servers::of_the_run());
    let finished = command(&world).run();
    assert_eq!(finished.code, Some(4), "{finished:?}");
    let last = finished.log.last().unwrap();
    assert!(last.is_error() && last.msg.contains(WORDS), "{last:?}");
    // Every line is JSON.
    for line in finished.errors.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    let finished = command(&world).set("logging.format", "text").run();
    let last = finished.errors.lines().last().unwrap();
    assert!(last.contains(" ERROR ") && last.contains(WORDS), "{last}");
    // Commands that have no log as well.
    let finished = world.worker().argument("health").run();
    assert!(finished.log[0].is_error(), "{finished:?}");
    assert!(finished.log[0].msg.contains("`metrics.port` is 0"));
}

#[test]
fn on_a_terminal_an_error_is_for_people() {
    let world = World::bare(Servers::of_the_run());
    let worker = command(&world).command();
    // `script` runs the command on a terminal of its own, and copies what it shows.
    let mut script = Command::new("script");
    let words = worker.get_args().map(|word| word.to_str().unwrap());
    let words: Vec<&str> = [worker.get_program().to_str().unwrap()]
        .into_iter()
        .chain(words)
        .collect();
    script.args(["-qec", &words.join(" "), "/dev/null"]);
    for (name, value) in worker.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let output = script.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let shown = String::from_utf8(output.stdout).unwrap();
    let last = shown.trim_end().lines().last().unwrap();
    assert!(
        last.starts_with("error: ") && last.contains(WORDS),
        "{shown}"
    );
    assert!(!shown.contains("\"level\""), "{shown}");
}
