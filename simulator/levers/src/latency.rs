//! How late an answer is.

use std::time::Duration;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// The longest delay a lever gives, so that a mistyped number does not look like a hang: 10 minutes.
pub const MAX_DELAY: Duration = Duration::from_secs(600);

/// A distribution of delays, in microseconds. As JSON: `{"fixed":{"us":20000}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Latency {
    /// Always the same.
    Fixed {
        /// The delay.
        us: u64,
    },
    /// Anything between two bounds, each as likely as the other.
    Uniform {
        /// The least.
        min_us: u64,
        /// The most; the least if it is less than that.
        max_us: u64,
    },
    /// Mostly the one, now and then the other: what a queue behind a busy disk looks like.
    Spikes {
        /// The usual delay.
        us: u64,
        /// The delay of one in so many.
        spike_us: u64,
        /// In how many there is one spike; 0 and 1 make every one a spike.
        one_in: u32,
    },
}

impl Latency {
    /// One delay, at most [`MAX_DELAY`].
    pub fn draw(&self, dice: &mut impl Rng) -> Duration {
        let us = match *self {
            Self::Fixed { us } => us,
            Self::Uniform { min_us, max_us } => dice.random_range(min_us..=max_us.max(min_us)),
            Self::Spikes { us, spike_us, one_in } => {
                if dice.random_range(0..one_in.max(1)) == 0 {
                    spike_us
                } else {
                    us
                }
            }
        };
        Duration::from_micros(us).min(MAX_DELAY)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn delays_stay_in_their_bounds_and_spikes_come_as_often_as_asked() {
        let mut dice = StdRng::seed_from_u64(1);
        let uniform = Latency::Uniform { min_us: 10, max_us: 20 };
        assert!((0..1000).all(|_| (10..=20).contains(&uniform.draw(&mut dice).as_micros())));
        let spikes = Latency::Spikes { us: 1, spike_us: 900, one_in: 10 };
        let seen = (0..10_000).filter(|_| spikes.draw(&mut dice).as_micros() == 900).count();
        assert!((800..1200).contains(&seen), "{seen} spikes in 10 000, one in ten asked for");
        assert_eq!(Latency::Fixed { us: u64::MAX }.draw(&mut dice), MAX_DELAY);
        assert_eq!(Latency::Uniform { min_us: 9, max_us: 3 }.draw(&mut dice).as_micros(), 9);
    }

    #[test]
    fn a_latency_is_written_as_its_document_says() {
        let parsed: Latency = serde_json::from_str(r#"{"fixed":{"us":20000}}"#).unwrap();
        assert_eq!(parsed, Latency::Fixed { us: 20_000 });
        assert!(serde_json::from_str::<Latency>(r#"{"fixed":{"ms":20}}"#).is_err());
    }
}
