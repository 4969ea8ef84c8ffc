//! READ CAPACITY (SBC-3 §5.15, §5.16).

use bytes::{BufMut, Bytes, BytesMut};

use super::unit::Unit;

/// The ten-byte command: the last address that fits, or FFFFFFFFh to say "use the other".
pub(crate) fn ten(unit: &Unit<'_>) -> Bytes {
    let last = u32::try_from(last_block(unit)).unwrap_or(u32::MAX);
    let mut data = BytesMut::with_capacity(8);
    data.put_u32(last);
    data.put_u32(unit.block());
    data.freeze()
}

/// The sixteen-byte command.
pub(crate) fn sixteen(unit: &Unit<'_>) -> Bytes {
    // LBPME and LBPRZ.
    let thin = if unit.lun.thin { 0xc0 } else { 0x00 };
    let mut data = BytesMut::with_capacity(32);
    data.put_u64(last_block(unit));
    data.put_u32(unit.block());
    data.put_slice(&[0, unit.lun.block_size.physical_exponent(), thin, 0]);
    data.put_bytes(0, 16);
    data.freeze()
}

fn last_block(unit: &Unit<'_>) -> u64 {
    unit.blocks().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::unit::tests::Bench;

    #[test]
    fn capacity_is_the_last_block_its_length_and_thinness() {
        let bench = Bench::new();
        assert_eq!(&ten(&bench.unit())[..], &[0, 0, 0x3f, 0xff, 0, 0, 2, 0]);
        let data = sixteen(&bench.unit());
        assert_eq!(&data[..16], &[0, 0, 0, 0, 0, 0, 0x3f, 0xff, 0, 0, 2, 0, 0, 3, 0xc0, 0]);
        assert_eq!(data.len(), 32);
    }

    #[test]
    fn a_unit_too_large_for_ten_bytes_says_so() {
        let mut bench = Bench::new();
        bench.lun.volume = blockstore::Volume::new(4 << 40);
        assert_eq!(&ten(&bench.unit())[..4], &[0xff; 4]);
    }
}
