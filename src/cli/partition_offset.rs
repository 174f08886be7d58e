//! A place in the consumed topic, as it is typed: `partition:offset`.

use std::fmt;
use std::str::FromStr;

use crate::core::partition::{Offset, Partition};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub partition: Partition,
    pub offset: Offset,
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let parts = text.split_once(':');
        let place = parts.and_then(|(partition, offset)| {
            Some(Self {
                partition: Partition(partition.parse().ok().filter(|number| *number >= 0)?),
                offset: Offset(offset.parse().ok().filter(|number| *number >= 0)?),
            })
        });
        place.ok_or("it must be a partition, a colon and an offset, such as 0:1500")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_partition_and_an_offset() {
        let place: Place = "3:1500".parse().unwrap();
        assert_eq!(
            (place.partition, place.offset),
            (Partition(3), Offset(1500))
        );
        for text in ["", "3", "3:", ":5", "a:5", "-1:5", "1:-5", "1:2:3"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
