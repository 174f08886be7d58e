//! A place in the consumed topic, as it is typed on the command line: `partition:offset`.

use std::fmt;
use std::str::FromStr;

use crate::core::partition::{Offset, TopicPartition};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionOffset {
    pub partition: TopicPartition,
    pub offset: Offset,
}

impl FromStr for PartitionOffset {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let parts = text.split_once(':');
        let parsed = parts.and_then(|(partition, offset)| {
            Some(Self {
                partition: TopicPartition::consumed(
                    partition.parse().ok().filter(|number| *number >= 0)?,
                ),
                offset: Offset(offset.parse().ok().filter(|number| *number >= 0)?),
            })
        });
        parsed.ok_or("it must be a partition, a colon and an offset, such as 0:1500")
    }
}

impl fmt::Display for PartitionOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_a_colon_and_an_offset_are_parsed() {
        let parsed: PartitionOffset = "3:1500".parse().unwrap();
        assert_eq!(
            (parsed.partition, parsed.offset),
            (TopicPartition::consumed(3), Offset(1500))
        );
        for text in ["", "3", "3:", ":5", "a:5", "-1:5", "1:-5", "1:2:3"] {
            assert!(text.parse::<PartitionOffset>().is_err(), "{text}");
        }
    }
}
