//! Which offset each partition gets, and which targets are refused. Pure code without I/O.

use std::collections::{BTreeMap, BTreeSet};

use crate::cli::TargetOffset;
use crate::core::partition::{Offset, TopicPartition};
use crate::core::starting_offset::LogBounds;

/// What the offsets are set to.
pub(super) enum Target<'a> {
    Earliest,
    Latest,
    /// The first offset of a time. A partition without a message of this time or later is left out.
    Time(BTreeMap<TopicPartition, Offset>),
    Given(&'a [TargetOffset]),
}

/// The partitions to set: those named by `--partitions`, or by the places of `--to-offset`, or all. Fails with every
/// fault of the command line.
pub(super) fn partitions(
    all: &[TopicPartition],
    named: &[i32],
    given: &[TargetOffset],
) -> Result<Vec<TopicPartition>, Vec<String>> {
    let mut faults = Vec::new();
    let places = given.iter().filter_map(|target| match target {
        TargetOffset::All(_) => None,
        TargetOffset::One(place) => Some(place.partition.number),
    });
    let places: Vec<i32> = places.collect();
    if !places.is_empty() && !named.is_empty() {
        faults.push("`--to-offset` names partitions already: leave out `--partitions`".to_owned());
    }
    if given.len() > 1 && places.len() < given.len() {
        faults.push(
            "`--to-offset` takes one offset for all partitions, or one for each partition: not both"
                .to_owned(),
        );
    }
    let mut chosen = BTreeSet::new();
    for number in named.iter().chain(&places) {
        let partition = TopicPartition::consumed(*number);
        if !all.contains(&partition) {
            faults.push(format!("the topic has no partition {number}"));
        } else if !chosen.insert(partition) {
            faults.push(format!("partition {number} is given twice"));
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(if chosen.is_empty() {
        all.to_vec()
    } else {
        chosen.into_iter().collect()
    })
}

/// The new offset of each of `partitions`. Fails with every partition whose offset is outside of its log.
pub(super) fn offsets(
    partitions: &[TopicPartition],
    target: &Target<'_>,
    bounds: &BTreeMap<TopicPartition, LogBounds>,
) -> Result<BTreeMap<TopicPartition, Offset>, Vec<String>> {
    let mut offsets = BTreeMap::new();
    let mut faults = Vec::new();
    for &partition in partitions {
        let Some(log) = bounds.get(&partition) else {
            faults.push(format!(
                "partition {partition} has no leader, so that the bounds of its log are not known"
            ));
            continue;
        };
        let offset = match target {
            Target::Earliest => log.earliest,
            Target::Latest => log.latest,
            Target::Time(found) => found.get(&partition).copied().unwrap_or(log.latest),
            Target::Given(given) => given_for(partition, given),
        };
        if offset < log.earliest || offset > log.latest {
            faults.push(format!(
                "the offset {offset} of partition {partition} is outside of its log, which begins at {} and ends at {}",
                log.earliest, log.latest
            ));
        }
        offsets.insert(partition, offset);
    }
    if faults.is_empty() {
        Ok(offsets)
    } else {
        Err(faults)
    }
}

fn given_for(partition: TopicPartition, given: &[TargetOffset]) -> Offset {
    let found = given.iter().find_map(|target| match target {
        TargetOffset::All(offset) => Some(*offset),
        TargetOffset::One(place) => (place.partition == partition).then_some(place.offset),
    });
    found.expect("invariant: the partitions to set are those that were given")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<TopicPartition> {
        (0..3).map(TopicPartition::consumed).collect()
    }

    fn given(texts: &[&str]) -> Vec<TargetOffset> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn bounds() -> BTreeMap<TopicPartition, LogBounds> {
        let bounds = LogBounds {
            earliest: Offset(10),
            latest: Offset(20),
        };
        all().into_iter().map(|p| (p, bounds)).collect()
    }

    #[test]
    fn the_partitions_are_those_that_are_named() {
        let numbers = |named: &[i32], texts: &[&str]| {
            let found = partitions(&all(), named, &given(texts));
            found.map(|found| found.iter().map(|p| p.number).collect::<Vec<_>>())
        };
        assert_eq!(numbers(&[], &[]), Ok(vec![0, 1, 2]));
        assert_eq!(numbers(&[2, 0], &["5"]), Ok(vec![0, 2]));
        assert_eq!(numbers(&[], &["1:5"]), Ok(vec![1]));
        for (named, texts, fault) in [
            (&[3][..], &[][..], "no partition 3"),
            (&[1, 1], &[], "given twice"),
            (&[], &["1:5", "1:6"], "given twice"),
            (&[1], &["1:5"], "leave out `--partitions`"),
            (&[], &["5", "1:5"], "not both"),
            (&[], &["5", "6"], "not both"),
        ] {
            let faults = numbers(named, texts).unwrap_err();
            assert!(faults[0].contains(fault), "{faults:?}");
        }
    }

    #[test]
    fn every_offset_is_within_its_log() {
        let set = |target: Target<'_>, partitions: &[TopicPartition]| {
            let offsets = offsets(partitions, &target, &bounds())?;
            Ok::<_, Vec<String>>(offsets.values().map(|offset| offset.0).collect::<Vec<_>>())
        };
        assert_eq!(set(Target::Earliest, &all()), Ok(vec![10; 3]));
        assert_eq!(set(Target::Latest, &all()), Ok(vec![20; 3]));
        let found = [(TopicPartition::consumed(1), Offset(15))].into();
        assert_eq!(set(Target::Time(found), &all()), Ok(vec![20, 15, 20]));
        for text in ["10", "20"] {
            assert!(set(Target::Given(&given(&[text])), &all()).is_ok());
        }
        for text in ["9", "21"] {
            let faults = set(Target::Given(&given(&[text])), &all()).unwrap_err();
            assert_eq!(faults.len(), 3);
            assert!(
                faults[0].contains("begins at 10 and ends at 20"),
                "{faults:?}"
            );
        }
        let missing = [TopicPartition::consumed(7)];
        assert!(set(Target::Earliest, &missing).is_err());
    }
}
