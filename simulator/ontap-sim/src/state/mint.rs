//! Identifiers. One seed gives one sequence, so that a run can be repeated to the letter.

use uuid::Builder;
use uuid::Uuid;

/// What a LUN serial number is made of; the array uses these punctuation characters too.
const SERIAL_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789?-";

/// A seeded sequence (SplitMix64): not for secrets.
#[derive(Debug, Clone)]
pub(super) struct Mint {
    state: u64,
}

impl Mint {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A UUID in the form of version 4.
    pub(super) fn uuid(&mut self) -> Uuid {
        let value = (u128::from(self.next()) << 64) | u128::from(self.next());
        Builder::from_random_bytes(value.to_be_bytes()).into_uuid()
    }

    /// Twelve printable characters.
    pub(super) fn serial(&mut self) -> [u8; 12] {
        let mut value = (u128::from(self.next()) << 64) | u128::from(self.next());
        std::array::from_fn(|_| {
            let index = (value & 63) as usize;
            value >>= 6;
            SERIAL_ALPHABET.get(index).copied().unwrap_or(b'0')
        })
    }
}
