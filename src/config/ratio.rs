//! A share of a number.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A share from 0 to 1, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio(u32);

const WHOLE: u32 = 1_000_000;

impl Ratio {
    pub const EVERYTHING: Self = Self(WHOLE);
    pub const NOTHING: Self = Self(0);

    pub fn is_everything(self) -> bool {
        self == Self::EVERYTHING
    }

    /// This share of `number`, rounded down.
    pub fn of(self, number: u32) -> u32 {
        let share = u64::from(self.0) * u64::from(number) / u64::from(WHOLE);
        u32::try_from(share).unwrap_or(number)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (f64::from(self.0) / f64::from(WHOLE)).fmt(f)
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (f64::from(self.0) / f64::from(WHOLE)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let share = f64::deserialize(deserializer)?.clamp(0.0, 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it lies between 0 and a million"
        )]
        let millionths = (share * f64::from(WHOLE)).round() as u32;
        Ok(Self(millionths))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_and_taken_exactly() {
        let ratio = |text| serde_json::from_str::<Ratio>(text).unwrap();
        assert_eq!(ratio("1"), Ratio::EVERYTHING);
        assert_eq!(ratio("0.05").of(1000), 50);
        assert_eq!(ratio("0.3").of(10), 3);
        assert_eq!(ratio("0").of(1000), 0);
        assert_eq!(ratio("1").of(u32::MAX), u32::MAX);
        assert_eq!(serde_json::to_string(&ratio("0.25")).unwrap(), "0.25");
    }
}
