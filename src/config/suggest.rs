//! The nearest known name, for an error about an unknown one.

use strsim::osa_distance;

/// The candidate that was probably meant: one with the same last part (a key in the wrong section), or else the one
/// with the fewest typing errors, in up to a third of the name.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .filter_map(|candidate| {
            let whole = osa_distance(name, candidate);
            let longer = name.chars().count().max(candidate.chars().count());
            let is_near = whole * 3 <= longer;
            let is_misplaced = last(name) == last(candidate);
            (is_near || is_misplaced).then_some(((!is_misplaced, whole), candidate))
        })
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, candidate)| candidate)
}

/// The last part of a path or of a variable's name.
fn last(name: &str) -> &str {
    let after_dots = name.rsplit('.').next().unwrap_or(name);
    after_dots.rsplit("__").next().unwrap_or(after_dots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_or_a_wrong_section_is_recognised() {
        let known = ["kafka.topic", "kafka.group_id", "consumer.batch_size"];
        for (name, expected) in [
            ("kafka.topics", Some("kafka.topic")),
            ("kafka.groupid", Some("kafka.group_id")),
            ("mongodb.batch_size", Some("consumer.batch_size")),
            ("batch_size", Some("consumer.batch_size")),
            ("zzz", None),
        ] {
            assert_eq!(nearest(name, known.into_iter()), expected, "{name}");
        }
        let variables = ["CONSUMER__KAFKA__TOPIC", "CONSUMER__KAFKA__GROUP_ID"];
        assert_eq!(
            nearest("CONSUMER__TOPIC", variables.into_iter()),
            Some("CONSUMER__KAFKA__TOPIC")
        );
    }
}
