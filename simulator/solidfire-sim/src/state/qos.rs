//! Quality of service of a volume: kept, checked and reported; [`crate::pace`] enforces it.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::ApiError;
use super::limits::{BURST_IOPS, MAX_IOPS, MIN_IOPS};

/// A volume's IOPS in 4 KiB operations. Invariant: `min_iops <= max_iops <= burst_iops`, each in bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qos {
    min_iops: i64,
    max_iops: i64,
    burst_iops: i64,
}

/// What a client asked for; what it left out stays as it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QosPatch {
    /// Guaranteed IOPS.
    pub min_iops: Option<i64>,
    /// Sustained IOPS.
    pub max_iops: Option<i64>,
    /// IOPS for at most [`Qos::BURST_TIME`] seconds.
    pub burst_iops: Option<i64>,
}

impl Qos {
    /// What a new volume gets when nothing was asked (`GetDefaultQoS`).
    pub const DEFAULT: Self = Self { min_iops: 50, max_iops: 15_000, burst_iops: 15_000 };
    /// How long a volume may burst, seconds.
    pub const BURST_TIME: i64 = 60;
    /// The relative cost of one operation by its size in bytes; 4 KiB costs 100.
    pub const CURVE: [(u32, u32); 9] = [
        (4096, 100),
        (8192, 160),
        (16_384, 270),
        (32_768, 500),
        (65_536, 1000),
        (131_072, 1950),
        (262_144, 3900),
        (524_288, 7600),
        (1_048_576, 15_000),
    ];

    /// Guaranteed IOPS.
    pub fn min_iops(self) -> i64 {
        self.min_iops
    }

    /// Sustained IOPS.
    pub fn max_iops(self) -> i64 {
        self.max_iops
    }

    /// IOPS for at most [`Qos::BURST_TIME`] seconds.
    pub fn burst_iops(self) -> i64 {
        self.burst_iops
    }

    /// What a transfer of `bytes` costs, in operations of 4 KiB: along [`Self::CURVE`] in straight
    /// lines, no less than one, and beyond its end in proportion.
    pub fn cost(bytes: u64) -> f64 {
        let bytes = bytes as f64;
        let mut low = (0.0, 0.0);
        for (size, cost) in Self::CURVE.map(|(size, cost)| (f64::from(size), f64::from(cost) / 100.0)) {
            if bytes <= size {
                let rise = (cost - low.1) / (size - low.0);
                return (low.1 + (bytes - low.0) * rise).max(1.0);
            }
            low = (size, cost);
        }
        bytes / low.0 * low.1
    }

    /// These values with `patch` laid over them.
    ///
    /// # Errors
    /// [`ApiError::InvalidParameter`] when a value is out of bounds or the three are not in order.
    pub fn patched(self, patch: QosPatch) -> Result<Self, ApiError> {
        let new = Self {
            min_iops: patch.min_iops.unwrap_or(self.min_iops),
            max_iops: patch.max_iops.unwrap_or(self.max_iops),
            burst_iops: patch.burst_iops.unwrap_or(self.burst_iops),
        };
        require_within("minIOPS", new.min_iops, &MIN_IOPS)?;
        require_within("maxIOPS", new.max_iops, &MAX_IOPS)?;
        require_within("burstIOPS", new.burst_iops, &BURST_IOPS)?;
        if new.min_iops > new.max_iops || new.max_iops > new.burst_iops {
            return Err(ApiError::InvalidParameter {
                reason: format!(
                    "qos: minIOPS {} <= maxIOPS {} <= burstIOPS {} does not hold",
                    new.min_iops, new.max_iops, new.burst_iops
                ),
            });
        }
        Ok(new)
    }
}

fn require_within(name: &str, value: i64, bounds: &RangeInclusive<i64>) -> Result<(), ApiError> {
    if bounds.contains(&value) {
        return Ok(());
    }
    Err(ApiError::InvalidParameter {
        reason: format!("qos.{name} {value} is not in {}..{}", bounds.start(), bounds.end()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(min: i64, max: i64, burst: i64) -> QosPatch {
        QosPatch { min_iops: Some(min), max_iops: Some(max), burst_iops: Some(burst) }
    }

    #[test]
    fn what_a_client_leaves_out_stays() {
        let silver = Qos::DEFAULT.patched(patch(4000, 6000, 8000)).unwrap();
        let same = silver.patched(QosPatch { max_iops: Some(7000), ..QosPatch::default() }).unwrap();
        assert_eq!((same.min_iops(), same.max_iops(), same.burst_iops()), (4000, 7000, 8000));
    }

    #[test]
    fn the_cost_of_a_transfer_follows_the_curve_between_and_beyond_its_points() {
        for (bytes, cost) in [
            (0, 1.0),
            (512, 1.0),
            (4096, 1.0),
            (6144, 1.3),
            (8192, 1.6),
            (49_152, 7.5),
            (1 << 20, 150.0),
            (4 << 20, 600.0),
        ] {
            assert!((Qos::cost(bytes) - cost).abs() < 1e-9, "{bytes}: {}", Qos::cost(bytes));
        }
    }

    #[test]
    fn the_bounds_themselves_are_allowed_and_one_beyond_is_not() {
        assert!(Qos::DEFAULT.patched(patch(50, 100, 100)).is_ok());
        assert!(Qos::DEFAULT.patched(patch(15_000, 200_000, 200_000)).is_ok());
        for bad in
            [patch(49, 100, 100), patch(15_001, 16_000, 17_000), patch(50, 99, 100), patch(50, 100, 200_001)]
        {
            assert_eq!(Qos::DEFAULT.patched(bad).unwrap_err().name(), "xInvalidParameter", "{bad:?}");
        }
    }

    #[test]
    fn guaranteed_sustained_and_burst_must_rise() {
        assert!(Qos::DEFAULT.patched(patch(2000, 1000, 4000)).is_err());
        assert!(Qos::DEFAULT.patched(patch(1000, 5000, 4000)).is_err());
    }
}
