//! JSON Schema files, beside those of the documentation.

use std::fs;

use super::{report, settle};
use crate::harness::{Message, Producer, Servers, World};

#[test]
fn a_schema_that_can_not_be_used_ends_the_start_with_2() {
    let world = World::bare(Servers::of_the_run());
    let schema = world.path("message.schema.json");
    fs::write(
        &schema,
        r#"{"properties": {"a": {"pattern": "(?=secret)"}}}"#,
    )
    .unwrap();
    let setup = world.worker().set("message.schema", schema.display());
    for setup in [setup.clone(), setup.argument("check")] {
        let finished = setup.run();
        assert_eq!(finished.code, Some(2), "{}", finished.errors);
        assert!(
            finished.errors.contains("/properties/a/pattern"),
            "{}",
            finished.errors
        );
    }
}

#[test]
fn an_audit_finds_what_was_stored_under_another_schema() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    for number in 0..10 {
        producer.send(Message::refused(
            format!(r#"{{"id":{number}}}"#),
            "schema_violation",
        ));
    }
    producer.flush();
    let setup = world
        .worker()
        .set("message.schema", "any")
        .set("message.id", "id");
    settle(&world, &setup);
    let file = world.path("stricter.json");
    fs::write(&file, r#"{"required": ["name"]}"#).unwrap();
    let stricter = setup.set("message.schema", file.display());
    let audited = report(&stricter, "audit --json");
    assert_eq!(
        (&audited["stored"], &audited["missing"]),
        (&10.into(), &0.into())
    );
    let repaired = report(&stricter, "audit --repair --json");
    assert_eq!(repaired["missing"], 0);
    assert_eq!(world.dead_letters().len(), 0);
}
