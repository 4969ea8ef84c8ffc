//! MODE SENSE (SPC-4 §6.11, §7.5; SBC-3 §6.4).

use bytes::{BufMut, Bytes, BytesMut};

use super::command::ModeRequest;
use super::sense::Sense;
use super::unit::Unit;

const CACHING: u8 = 0x08;
const CONTROL: u8 = 0x0a;
const ALL_PAGES: u8 = 0x3f;
const ALL_SUBPAGES: u8 = 0xff;
/// PC values (SPC-4 table 141).
const CHANGEABLE: u8 = 1;
const SAVED: u8 = 3;

/// The requested pages with header and block descriptor.
pub(crate) fn sense(unit: &Unit<'_>, request: ModeRequest) -> Result<Bytes, Sense> {
    if request.control == SAVED {
        return Err(Sense::SAVING_NOT_SUPPORTED);
    }
    if !matches!(request.subpage, 0 | ALL_SUBPAGES) {
        return Err(Sense::INVALID_FIELD);
    }
    let pages = match request.page {
        CACHING => caching(),
        CONTROL => control(),
        ALL_PAGES => [caching(), control()].concat(),
        _ => return Err(Sense::INVALID_FIELD),
    };
    let pages = if request.control == CHANGEABLE { unchangeable(&pages) } else { pages };
    let descriptor = if request.no_descriptor { Vec::new() } else { block_descriptor(unit) };
    // WP; DPOFUA: the bits are accepted, and the store has no cache to bypass.
    let device = if unit.lun.read_only { 0x90 } else { 0x10 };
    let mut data = BytesMut::new();
    if request.long {
        data.put_u16((6 + descriptor.len() + pages.len()) as u16);
        data.put_slice(&[0, device, 0, 0]);
        data.put_u16(descriptor.len() as u16);
    } else {
        data.put_slice(&[(3 + descriptor.len() + pages.len()) as u8, 0, device, descriptor.len() as u8]);
    }
    data.put_slice(&descriptor);
    data.put_slice(&pages);
    Ok(data.freeze())
}

/// Caching page: no volatile write cache (the array's is battery-backed), read cache on.
fn caching() -> Vec<u8> {
    let mut page = vec![CACHING, 0x12];
    page.resize(20, 0);
    page
}

/// Control page: unrestricted reordering.
fn control() -> Vec<u8> {
    let mut page = vec![CONTROL, 0x0a, 0x00, 0x10];
    page.resize(12, 0);
    page
}

/// The pages with every parameter masked out: nothing can be changed.
fn unchangeable(pages: &[u8]) -> Vec<u8> {
    let mut masked = vec![0; pages.len()];
    let mut at = 0;
    while let Some(&[code, length]) = pages.get(at..at + 2) {
        masked.splice(at..at + 2, [code, length]);
        at += 2 + usize::from(length);
    }
    masked
}

fn block_descriptor(unit: &Unit<'_>) -> Vec<u8> {
    let mut descriptor = Vec::with_capacity(8);
    descriptor.put_u32(u32::try_from(unit.blocks()).unwrap_or(u32::MAX));
    descriptor.put_u32(unit.block());
    descriptor
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::unit::tests::{ontap_lun, through};

    fn request(long: bool, control: u8, page: u8) -> ModeRequest {
        ModeRequest { long, no_descriptor: false, control, page, subpage: 0 }
    }

    #[test]
    fn all_pages_come_with_lengths_that_add_up() {
        let lun = ontap_lun();
        let short = sense(&through(&lun), request(false, 0, 0x3f)).unwrap();
        assert_eq!(short[0] as usize, short.len() - 1);
        assert_eq!(&short[..4], &[43, 0, 0x10, 8]);
        let long = sense(&through(&lun), request(true, 0, 0x3f)).unwrap();
        assert_eq!(&long[..8], &[0, 46, 0, 0x10, 0, 0, 0, 8]);
        assert_eq!(&long[8..], &short[4..]);
    }

    #[test]
    fn a_read_only_unit_is_write_protected() {
        let mut lun = ontap_lun();
        lun.read_only = true;
        assert_eq!(sense(&through(&lun), request(false, 0, 0x08)).unwrap()[2] & 0x80, 0x80);
    }

    #[test]
    fn nothing_is_changeable_nothing_saved_and_no_other_page_known() {
        let lun = ontap_lun();
        let unit = through(&lun);
        let page = sense(&unit, request(false, 1, 0x0a)).unwrap().slice(12..);
        assert_eq!(&page[..], &[0x0a, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(sense(&unit, request(false, 3, 0x08)), Err(Sense::SAVING_NOT_SUPPORTED));
        assert_eq!(sense(&unit, request(false, 0, 0x19)), Err(Sense::INVALID_FIELD));
    }
}
