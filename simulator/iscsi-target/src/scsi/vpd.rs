//! Vital product data (SPC-4 §7.8, SBC-3 §6.5): who a unit is and what it can do.

use bytes::{BufMut, Bytes, BytesMut};

use super::sense::Sense;
use super::unit::{MAX_TRANSFER, Unit};
use super::{block, provisioning};
use crate::field::padded;

/// Code sets (SPC-4 table 23).
const BINARY: u8 = 1;
const ASCII: u8 = 2;
/// PROTOCOL IDENTIFIER iSCSI, in the high nibble of a designator of a port.
const ISCSI: u8 = 0x50;
/// PIV and ASSOCIATION target port (SPC-4 §7.8.6.1).
const TARGET_PORT: u8 = 0x90;

/// The page, or INVALID FIELD IN CDB for one that is not there.
pub(crate) fn page(unit: &Unit<'_>, code: u8) -> Result<Bytes, Sense> {
    let body = match code {
        0x00 => supported(unit),
        0x80 => unit.lun.identity.serial.as_bytes().to_vec(),
        0x83 => identification(unit),
        0x86 => extended_inquiry(),
        0xb0 => limits(unit),
        0xb1 => characteristics(),
        0xb2 if unit.lun.thin => provisioning_page(),
        _ => return Err(Sense::INVALID_FIELD.in_cdb(2)),
    };
    let mut data = BytesMut::with_capacity(4 + body.len());
    data.put_u8(0);
    data.put_u8(code);
    data.put_u16(body.len() as u16);
    data.put_slice(&body);
    Ok(data.freeze())
}

fn supported(unit: &Unit<'_>) -> Vec<u8> {
    let mut pages = vec![0x00, 0x80, 0x83, 0x86, 0xb0, 0xb1];
    if unit.lun.thin {
        pages.push(0xb2);
    }
    pages
}

/// Page 83h: names of the unit, then of the port asked through.
fn identification(unit: &Unit<'_>) -> Vec<u8> {
    let identity = &unit.lun.identity;
    let mut body = Vec::new();
    designator(&mut body, BINARY, 0x03, &identity.naa);
    let mut t10 = padded::<8>(&identity.vendor).to_vec();
    t10.extend_from_slice(identity.t10.as_bytes());
    designator(&mut body, ASCII, 0x01, &t10);
    if let Some(eui) = &identity.eui {
        designator(&mut body, BINARY, 0x02, eui);
    }
    let [high, low] = unit.port.relative_port.to_be_bytes();
    designator(&mut body, ISCSI | BINARY, TARGET_PORT | 0x04, &[0, 0, high, low]);
    if !unit.lun.optimized_groups.is_empty() {
        let [high, low] = unit.port.id.to_be_bytes();
        designator(&mut body, ISCSI | BINARY, TARGET_PORT | 0x05, &[0, 0, high, low]);
    }
    body
}

fn designator(body: &mut Vec<u8>, code_set: u8, kind: u8, bytes: &[u8]) {
    let bytes = bytes.get(..255).unwrap_or(bytes);
    body.extend_from_slice(&[code_set, kind, 0, bytes.len() as u8]);
    body.extend_from_slice(bytes);
}

/// Page 86h (SPC-4 §7.8.7): simple, ordered and head-of-queue tasks, no protection information.
fn extended_inquiry() -> Vec<u8> {
    let mut body = vec![0x00, 0x07];
    body.resize(0x3c, 0);
    body
}

/// Page B0h, block limits (SBC-3 §6.5.3).
fn limits(unit: &Unit<'_>) -> Vec<u8> {
    let block = unit.block();
    let granularity = 4096 / block;
    let mut body = Vec::with_capacity(0x3c);
    // WSNZ: WRITE SAME of zero blocks is refused.
    body.put_u8(1);
    body.put_u8(block::MAX_COMPARE_BLOCKS as u8);
    // Optimal granularity 4 KiB and optimal length 64 KiB, as ONTAP shows them.
    body.put_u16(granularity as u16);
    body.put_u32((MAX_TRANSFER / u64::from(block)) as u32);
    body.put_u32(65_536 / block);
    body.put_u32(0);
    if unit.lun.thin {
        body.put_u32(provisioning::max_unmap_blocks(block));
        body.put_u32(provisioning::MAX_UNMAP_DESCRIPTORS);
        body.put_u32(granularity);
        // UGAVALID, aligned at 0.
        body.put_u32(0x8000_0000);
    } else {
        body.put_bytes(0, 16);
    }
    body.put_u64(provisioning::max_write_same_blocks(block));
    body.resize(0x3c, 0);
    body
}

/// Page B1h: a medium that does not rotate (SBC-3 §6.5.2).
fn characteristics() -> Vec<u8> {
    let mut body = vec![0x00, 0x01];
    body.resize(0x3c, 0);
    body
}

/// Page B2h (SBC-3 §6.5.4): UNMAP and both WRITE SAME unmap, unmapped reads as zero, thin.
fn provisioning_page() -> Vec<u8> {
    vec![0x00, 0xe4, 0x02, 0x00]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::unit::tests::Bench;

    #[test]
    fn the_serial_page_is_exactly_the_serial() {
        let bench = Bench::new();
        let data = page(&bench.unit(), 0x80).unwrap();
        assert_eq!(&data[..], b"\x00\x80\x00\x0c81DaR$Qq/1ii");
    }

    #[test]
    fn the_identification_page_names_unit_and_port() {
        let bench = Bench::new();
        let data = page(&bench.unit(), 0x83).unwrap();
        assert_eq!(data[3] as usize, data.len() - 4);
        assert_eq!(&data[4..8], &[0x01, 0x03, 0, 16]);
        assert_eq!(&data[8..24], b"\x60\x0a\x09\x8081DaR$Qq/1ii");
        assert_eq!(&data[24..28], &[0x02, 0x01, 0, 8 + 16]);
        assert_eq!(&data[28..52], b"NETAPP  LUN 81DaR$Qq/1ii");
        assert_eq!(&data[52..60], &[0x51, 0x94, 0, 4, 0, 0, 0, 1]);
        assert_eq!(&data[60..], &[0x51, 0x95, 0, 4, 0, 0, 0x03, 0xe8]);
    }

    #[test]
    fn a_solidfire_volume_has_an_eui_and_no_port_group() {
        let mut bench = Bench::new();
        bench.lun.optimized_groups.clear();
        bench.lun.identity.eui = Some([7; 16]);
        let data = page(&bench.unit(), 0x83).unwrap();
        assert_eq!(&data[52..56], &[0x01, 0x02, 0, 16]);
        assert_eq!(data.len(), 72 + 8);
    }

    #[test]
    fn every_listed_page_is_there_and_no_other() {
        let bench = Bench::new();
        let unit = bench.unit();
        let listed = page(&unit, 0).unwrap().slice(4..);
        for code in 0..=255u8 {
            assert_eq!(page(&unit, code).is_ok(), listed.contains(&code), "{code:02x}");
        }
    }

    #[test]
    fn block_limits_are_in_blocks() {
        let bench = Bench::new();
        let data = page(&bench.unit(), 0xb0).unwrap();
        assert_eq!(data.len(), 64);
        assert_eq!(&data[6..8], &[0, 8], "optimal granularity");
        assert_eq!(&data[12..16], &[0, 0, 0, 128], "optimal length");
        assert_eq!(&data[28..36], &[0, 0, 0, 8, 0x80, 0, 0, 0], "unmap granularity, aligned");
    }
}
