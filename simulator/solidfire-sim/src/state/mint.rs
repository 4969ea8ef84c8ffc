//! Where UUIDs and secrets come from. One seed gives one sequence, also across restarts, so that a run
//! can be repeated to the letter.

use std::fmt;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A seed, and how often it was drawn from.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Mint {
    seed: u64,
    drawn: u64,
}

impl Mint {
    pub(super) fn of(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// A generator for one draw: seed and count are its key, so no two draws are alike.
    pub(super) fn generator(&mut self) -> StdRng {
        self.drawn = self.drawn.wrapping_add(1);
        let mut key = [0; 32];
        let given = self.seed.to_le_bytes().into_iter().chain(self.drawn.to_le_bytes());
        key.iter_mut().zip(given).for_each(|(byte, given)| *byte = given);
        StdRng::from_seed(key)
    }

    pub(super) fn uuid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        self.generator().fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// The seed stays unsaid: secrets follow from it.
impl fmt::Debug for Mint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Mint").field("drawn", &self.drawn).finish_non_exhaustive()
    }
}
