//! Standard INQUIRY data (SPC-4 §6.6.2).

use bytes::{BufMut, Bytes, BytesMut};

use crate::field::padded;
use crate::target::Lun;

/// Bytes of standard INQUIRY data we return.
const LENGTH: usize = 96;
/// SAM-5, iSCSI, SPC-4, SBC-3, none with a version claimed (SPC-4 table 142).
const VERSION_DESCRIPTORS: [u16; 4] = [0x00a0, 0x0960, 0x0460, 0x04c0];

/// The data of a unit that is there.
pub(crate) fn standard(lun: &Lun) -> Bytes {
    let identity = &lun.identity;
    let implicit_alua = if lun.optimized_groups.is_empty() { 0x00 } else { 0x10 };
    let mut data = BytesMut::with_capacity(LENGTH);
    // Disk; not removable; SPC-4; HISUP and response format 2; implicit ALUA; MULTIP; CMDQUE.
    data.put_slice(&[0x00, 0x00, 0x06, 0x12, (LENGTH - 5) as u8, implicit_alua, 0x10, 0x02]);
    data.put_slice(&padded::<8>(&identity.vendor));
    data.put_slice(&padded::<16>(&identity.product));
    data.put_slice(&padded::<4>(&identity.revision));
    data.put_bytes(0, 58 - data.len());
    for descriptor in VERSION_DESCRIPTORS {
        data.put_u16(descriptor);
    }
    data.put_bytes(0, LENGTH - data.len());
    data.freeze()
}

/// The data of a number under which the initiator sees no unit: peripheral qualifier 011b, device
/// type 1Fh (SPC-4 §6.6.1).
pub(crate) fn absent() -> Bytes {
    let mut data = BytesMut::with_capacity(36);
    data.put_slice(&[0x7f, 0x00, 0x06, 0x12, 31, 0x00, 0x10, 0x02]);
    data.put_bytes(b' ', 28);
    data.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::unit::tests::ontap_lun;

    #[test]
    fn an_ontap_lun_looks_like_one() {
        let data = standard(&ontap_lun());
        assert_eq!(data.len(), 96);
        assert_eq!(data[4] as usize, data.len() - 5);
        assert_eq!(&data[8..36], b"NETAPP  LUN C-Mode      9151");
        assert_eq!(data[5] & 0x30, 0x10, "TPGS: implicit");
        let mut plain = ontap_lun();
        plain.optimized_groups.clear();
        assert_eq!(standard(&plain)[5] & 0x30, 0, "TPGS: none");
    }

    #[test]
    fn an_absent_unit_has_qualifier_3() {
        assert_eq!(absent()[0], 0x7f);
    }
}
