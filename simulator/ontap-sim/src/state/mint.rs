//! Identifiers. One seed gives one sequence, so that a run can be repeated to the letter.

use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

/// What a LUN serial number is made of; the array uses these punctuation characters too.
const SERIAL_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789?-";

/// Steps between the first words of two UUIDs are at most this.
const STRIDE: u32 = 256;

/// A seeded sequence (SplitMix64): not for secrets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mint {
    state: u64,
    /// First word of the last UUID.
    rank: u32,
}

impl Mint {
    pub(super) fn seed(&mut self, seed: u64) {
        self.state = seed;
        self.rank = self.word() >> 2;
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn word(&mut self) -> u32 {
        (self.next() >> 32) as u32
    }

    /// A UUID in the form of version 4. Its first word is not random but ascends, so that what is
    /// in the order of UUIDs is in the order of making (2³¹ / 128 of them from any seed).
    pub(super) fn uuid(&mut self) -> Uuid {
        self.rank = self.rank.wrapping_add(1 + self.word() % STRIDE);
        let rank = u128::from(self.rank) << 96;
        let value = rank | (u128::from(self.word()) << 64) | u128::from(self.next());
        Builder::from_random_bytes(value.to_be_bytes()).into_uuid()
    }

    /// Twelve printable characters.
    pub(super) fn serial(&mut self) -> [u8; 12] {
        self.printable()
    }

    /// Serial number of an NVMe subsystem's controllers: twenty printable characters, as the field
    /// has (NVM Express Base Specification, Identify Controller).
    pub(super) fn subsystem_serial(&mut self) -> String {
        self.printable::<20>().into_iter().map(char::from).collect()
    }

    fn printable<const LENGTH: usize>(&mut self) -> [u8; LENGTH] {
        let mut value = (u128::from(self.next()) << 64) | u128::from(self.next());
        std::array::from_fn(|_| {
            let index = (value & 63) as usize;
            value >>= 6;
            SERIAL_ALPHABET.get(index).copied().unwrap_or(b'0')
        })
    }
}
