//! Spreads a sample evenly over the partitions. Pure code without I/O.

/// How many messages to take of each partition, given how many each has at most. What one partition lacks comes from
/// the others, as evenly as possible.
pub(super) fn shares(sample: u64, available: &[u64]) -> Vec<u64> {
    let mut shares = vec![0; available.len()];
    // Those with the least come first: what they lack is left for the others.
    let mut order: Vec<usize> = (0..available.len()).collect();
    order.sort_by_key(|&index| available[index]);
    let mut left = sample;
    let mut partitions = available.len();
    for index in order {
        let even = left.div_ceil(u64::try_from(partitions).unwrap_or(u64::MAX));
        let share = even.min(available[index]);
        shares[index] = share;
        left -= share;
        partitions -= 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_evenly_and_never_larger_than_what_there_is() {
        for (sample, available, expected) in [
            (9, &[100, 100, 100][..], &[3, 3, 3][..]),
            (10, &[100, 100, 100], &[4, 3, 3]),
            (9, &[1, 100, 100], &[1, 4, 4]),
            (9, &[100, 0, 2], &[7, 0, 2]),
            (9, &[1, 2, 3], &[1, 2, 3]),
            (1, &[5, 5], &[1, 0]),
            (5, &[], &[]),
        ] {
            assert_eq!(
                shares(sample, available),
                expected,
                "{sample} of {available:?}"
            );
        }
    }
}
