//! Logical unit numbers on the wire (SAM-5 §4.7) and REPORT LUNS (SPC-4 §6.33).

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};

use super::sense::Sense;

/// The number of a single-level LUN in peripheral or flat addressing; `None` for any other form.
pub(crate) fn decode(lun: [u8; 8]) -> Option<u16> {
    let [high, low, rest @ ..] = lun;
    match (high >> 6, rest) {
        (0, [0, 0, 0, 0, 0, 0]) if high == 0 => Some(low.into()),
        (1, [0, 0, 0, 0, 0, 0]) => Some(u16::from_be_bytes([high & 0x3f, low])),
        _ => None,
    }
}

/// Peripheral addressing below 256, flat above, which is what Linux expects.
fn encode(number: u16) -> [u8; 8] {
    let [high, low] = number.to_be_bytes();
    let method = if number < 256 { 0x00 } else { 0x40 };
    [method | high, low, 0, 0, 0, 0, 0, 0]
}

/// The list of the units an initiator sees.
pub(crate) fn report(select: u8, numbers: &BTreeSet<u16>) -> Result<Bytes, Sense> {
    let listed: Vec<u16> = match select {
        // All but well-known units; all.
        0x00 | 0x02 => numbers.iter().copied().filter(|number| *number < 0x4000).collect(),
        // Well-known units, administrative units (SPC-4 table 251): there are none.
        0x01 | 0x10..=0x12 => Vec::new(),
        _ => return Err(Sense::INVALID_FIELD.in_cdb(2)),
    };
    let mut data = BytesMut::with_capacity(8 + 8 * listed.len());
    data.put_u32(8 * listed.len() as u32);
    data.put_u32(0);
    for number in listed {
        data.put_slice(&encode(number));
    }
    Ok(data.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_the_wire() {
        for number in [0, 1, 255, 256, 4095, 16_383] {
            assert_eq!(decode(encode(number)), Some(number));
        }
        assert_eq!(decode([0xc1, 1, 0, 0, 0, 0, 0, 0]), None, "a well-known unit");
        assert_eq!(decode([0, 1, 0, 2, 0, 0, 0, 0]), None, "a second level");
        assert_eq!(decode([1, 1, 0, 0, 0, 0, 0, 0]), None, "another bus");
    }

    #[test]
    fn only_the_given_numbers_are_listed() {
        let data = report(0, &BTreeSet::from([3, 300])).unwrap();
        assert_eq!(data.len(), 24);
        assert_eq!(&data[..18], &[0, 0, 0, 16, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0x41, 0x2c]);
        assert_eq!(&report(1, &BTreeSet::from([3])).unwrap()[..], &[0; 8]);
        assert_eq!(report(9, &BTreeSet::new()), Err(Sense::INVALID_FIELD.in_cdb(2)));
    }
}
