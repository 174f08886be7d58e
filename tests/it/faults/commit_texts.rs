//! Texts that another tool has stored with the group's commits.

use super::broker_errors::world_on_a_mock_with;
use crate::harness::{MINUTE, Producer, commit_with_bytes};

#[test]
fn commit_text_that_is_no_utf_8_is_passed_over() {
    for reset in ["earliest", "latest"] {
        let (_cluster, world) = world_on_a_mock_with(1);
        Producer::new(&world).fill(0..30, 1);
        let text = b"\xff\xfe\x00text";
        commit_with_bytes(&world.servers.kafka, &world.group, &world.topic, 0, text);
        let mut worker = world.worker().set("kafka.auto_offset_reset", reset).start();
        world.wait_committed_to_end(MINUTE);
        worker.stop();
        worker.assert_no_errors();
        assert_eq!(world.check().stored, 30);
    }
}
