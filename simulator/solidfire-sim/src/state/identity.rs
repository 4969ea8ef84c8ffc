//! The names an initiator sees. The array derives all of them from the cluster's unique ID and the
//! volume's ID, so a client can compute one from another and the simulator must agree.

use std::fmt;

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::VolumeId;

/// The four characters that mark one cluster in every name it gives out.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UniqueId([u8; 4]);

impl UniqueId {
    /// Draws four lower-case letters or digits.
    pub fn draw(random: &mut impl Rng) -> Self {
        const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        Self(random.next_u32().to_le_bytes().map(|byte| {
            // The mask keeps the index below the alphabet's 32 letters; the fallback is never taken.
            ALPHABET.get(usize::from(byte & 31)).copied().unwrap_or(b'a')
        }))
    }
}

impl fmt::Display for UniqueId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&byte| write!(formatter, "{}", char::from(byte)))
    }
}

impl fmt::Debug for UniqueId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "UniqueId({self})")
    }
}

/// A device identifier of 16 bytes; displayed as 32 hexadecimal digits, as the API shows it.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceId(pub [u8; 16]);

impl fmt::Display for DeviceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DeviceId({self})")
    }
}

/// How a volume is named on the wire. Never changes, also not when the volume grows or is restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeNames {
    /// `iqn.2010-01.com.solidfire:<unique ID>.<volume name>.<volume ID>`. iSCSI names are lower case
    /// (RFC 3722), the volume's own name keeps its case.
    pub iqn: String,
    /// EUI-64-based identifier (SPC-4 §7.8.6.5); its text is also the unit serial number (VPD page 80h).
    pub eui: DeviceId,
    /// NAA type 6 identifier (SPC-4 §7.8.6.6).
    pub naa: DeviceId,
}

impl VolumeNames {
    /// The names of volume `id`, called `name`, on the cluster `unique_id`.
    pub fn of(unique_id: UniqueId, name: &str, id: VolumeId) -> Self {
        let [u0, u1, u2, u3] = unique_id.0;
        // IDs count up from 1, four bytes last for ever.
        let [.., v0, v1, v2, v3] = id.0.to_be_bytes();
        Self {
            iqn: format!("iqn.2010-01.com.solidfire:{unique_id}.{}.{id}", name.to_ascii_lowercase()),
            eui: DeviceId([u0, u1, u2, u3, v0, v1, v2, v3, 0xf4, 0x7a, 0xcc, 0x01, 0, 0, 0, 0]),
            naa: DeviceId([0x6f, 0x47, 0xac, 0xc1, 0, 0, 0, 0, u0, u1, u2, u3, v0, v1, v2, v3]),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_volume_has_the_names_that_a_real_cluster_gave_it() {
        let names = VolumeNames::of(UniqueId(*b"mn4y"), "vol359", VolumeId(361));
        assert_eq!(names.iqn, "iqn.2010-01.com.solidfire:mn4y.vol359.361");
        assert_eq!(names.naa.to_string(), "6f47acc1000000006d6e347900000169");
        assert_eq!(names.eui.to_string(), "6d6e347900000169f47acc0100000000");
    }

    #[test]
    fn the_iqn_is_lower_case_whatever_the_volume_is_called() {
        let names = VolumeNames::of(UniqueId(*b"87hg"), "UUID-2CC06226", VolumeId(4060));
        assert_eq!(names.iqn, "iqn.2010-01.com.solidfire:87hg.uuid-2cc06226.4060");
    }

    #[test]
    fn a_unique_id_is_four_letters_or_digits_and_repeats_with_its_seed() {
        let draw = |seed| UniqueId::draw(&mut StdRng::seed_from_u64(seed));
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let text = draw(9).to_string();
        assert!(
            text.len() == 4 && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()),
            "{text}"
        );
    }
}
