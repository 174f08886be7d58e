//! `dead-letters show`.

use super::command;
use crate::harness::{Message, Producer, SHORT, World};

#[test]
fn show_prints_a_dead_letter() {
    let world = World::new(1);
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    let value = b"\xff\x00 not JSON \x1b[2J";
    Producer::new(&world).send_now(
        Message::refused(value, "invalid_json")
            .key("the key")
            .header("trace", Some(b"\x01\xfe"))
            .header("nothing", None),
    );
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    assert_eq!(world.dead_letters().len(), 1);
    let shown = command(&world, "show 0 0").run();
    assert_eq!(shown.code, Some(0), "{}", shown.errors);
    for words in [
        "dlq.reason",
        "invalid_json",
        "\\u{1}\\xfe",
        "(none)",
        "key    the key",
        "value  \\xff\\u{0} not JSON \\u{1b}[2J",
    ] {
        assert!(shown.output.contains(words), "{words}: {}", shown.output);
    }
    let raw = command(&world, "show 0 0 --raw").run();
    assert_eq!(
        raw.output.as_bytes(),
        String::from_utf8_lossy(value).as_bytes()
    );
    for (arguments, words) in [
        ("show 0 1", "has no offset 1"),
        ("show 9 0", "no partition 9"),
    ] {
        let finished = command(&world, arguments).run();
        assert_eq!(finished.code, Some(1));
        assert!(finished.errors.contains(words), "{}", finished.errors);
    }
}
