//! MODE SENSE and MODE SELECT (SPC-4 §6.9 to §6.12, §7.5; SBC-3 §6.4).

use bytes::{BufMut, Bytes, BytesMut};

use super::command::ModeRequest;
use super::reservation::{Audience, Notice};
use super::sense::Sense;
use super::shelf::{D_SENSE, SWP};
use super::unit::Unit;
use crate::field::{u16_at, u24_at, u32_at};

const CACHING: u8 = 0x08;
const CONTROL: u8 = 0x0a;
const INFORMATIONAL: u8 = 0x1c;
const PAGES: [u8; 3] = [CACHING, CONTROL, INFORMATIONAL];
const ALL_PAGES: u8 = 0x3f;
const ALL_SUBPAGES: u8 = 0xff;
/// PC values (SPC-4 table 141).
const CURRENT: u8 = 0;
const CHANGEABLE: u8 = 1;
const DEFAULT: u8 = 2;
const SAVED: u8 = 3;
/// Caching page, byte 2: a volatile write cache is in use.
const WCE: u8 = 0x04;
/// The bits that can be changed, in bytes 2 and 4 of the control page.
const D_SENSE_BIT: u8 = 0x04;
const SWP_BIT: u8 = 0x08;

/// The requested pages with header and block descriptor.
pub(crate) fn sense(unit: &Unit<'_>, request: ModeRequest) -> Result<Bytes, Sense> {
    if request.control == SAVED {
        return Err(Sense::SAVING_NOT_SUPPORTED);
    }
    if !matches!(request.subpage, 0 | ALL_SUBPAGES) {
        return Err(Sense::INVALID_FIELD.in_cdb(3));
    }
    let pages = match request.page {
        ALL_PAGES => PAGES.iter().flat_map(|code| page(unit, *code, request.control)).collect(),
        code => page(unit, code, request.control),
    };
    if pages.is_empty() {
        return Err(Sense::INVALID_FIELD.in_cdb_bit(2, 5));
    }
    let descriptor = if request.no_descriptor { Vec::new() } else { block_descriptor(unit) };
    // WP; DPOFUA: the bits are accepted, and FUA obeyed.
    let device = if unit.lun.read_only || unit.state.mode(SWP) { 0x90 } else { 0x10 };
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

/// MODE SELECT with its parameter list: all of it is right, or nothing changes.
pub(crate) fn select(unit: &Unit<'_>, long: bool, list: &[u8]) -> Result<Bytes, Sense> {
    if list.is_empty() {
        return Ok(Bytes::new());
    }
    let (header, described) = match (long, list.len()) {
        (true, 8..) => (8, usize::from(u16_at(list, 6))),
        (false, 4..) => (4, list.get(3).copied().unwrap_or(0).into()),
        _ => return Err(Sense::PARAMETER_LENGTH),
    };
    let mut at = header + described;
    check_descriptor(unit, list.get(header..at).ok_or(Sense::PARAMETER_LENGTH)?, header)?;
    let mut bits = unit.state.mode_bits();
    while let Some(rest) = list.get(at..).filter(|rest| !rest.is_empty()) {
        let (length, chosen) = select_page(unit, rest, at)?;
        bits = chosen.unwrap_or(bits);
        at += length;
    }
    if unit.state.set_mode(bits) {
        let to = Audience::AllBut(unit.nexus.clone());
        unit.state.publish(vec![Notice { to, attention: Sense::MODE_CHANGED, abort: false }]);
    }
    Ok(Bytes::new())
}

/// Checks the first page of `rest`, which stands `at` bytes into the list: its length, and the mode
/// bits it chooses, if it has any.
fn select_page(unit: &Unit<'_>, rest: &[u8], at: usize) -> Result<(usize, Option<u8>), Sense> {
    let code = rest.first().copied().unwrap_or(0) & 0x7f;
    let current = page(unit, code, CURRENT);
    if current.is_empty() {
        return Err(Sense::INVALID_PARAMETER.in_list(at as u16));
    }
    if rest.get(1).is_some_and(|length| usize::from(*length) + 2 != current.len()) {
        return Err(Sense::INVALID_PARAMETER.in_list(at as u16 + 1));
    }
    let given = rest.get(..current.len()).ok_or(Sense::PARAMETER_LENGTH)?;
    let mask = page(unit, code, CHANGEABLE);
    let fixed = given.iter().zip(&current).zip(&mask).enumerate().skip(2);
    for (n, ((given, current), mask)) in fixed {
        if (given ^ current) & !mask != 0 {
            return Err(Sense::INVALID_PARAMETER.in_list((at + n) as u16));
        }
    }
    let bit = |byte: usize, bit: u8, mode: u8| {
        if given.get(byte).is_some_and(|byte| byte & bit != 0) { mode } else { 0 }
    };
    let chosen = (code == CONTROL).then(|| bit(2, D_SENSE_BIT, D_SENSE) | bit(4, SWP_BIT, SWP));
    Ok((current.len(), chosen))
}

/// A block descriptor may repeat what is, and change nothing.
fn check_descriptor(unit: &Unit<'_>, descriptor: &[u8], at: usize) -> Result<(), Sense> {
    match descriptor.len() {
        0 => Ok(()),
        8 => {
            let blocks = u32_at(descriptor, 0);
            let same = [0, u32::MAX, unit.blocks().try_into().unwrap_or(u32::MAX)].contains(&blocks);
            let right = same && u24_at(descriptor, 5) == unit.block();
            if right { Ok(()) } else { Err(Sense::INVALID_PARAMETER.in_list(at as u16)) }
        }
        // BLOCK DESCRIPTOR LENGTH, the last byte of the header.
        _ => Err(Sense::INVALID_PARAMETER.in_list(at as u16 - 1)),
    }
}

/// A page as this PC has it; empty for one that is not there.
fn page(unit: &Unit<'_>, code: u8, control: u8) -> Vec<u8> {
    let changeable = control == CHANGEABLE;
    let mode = |bit: u8| changeable || control != DEFAULT && unit.state.mode(bit);
    let (length, values): (u8, &[(usize, u8)]) = match code {
        // Read cache on. In memory nothing can be lost, as with an array's NVRAM; what is kept on a
        // disk is safe once flushed, so initiators must know that there is something to flush.
        CACHING if !changeable && unit.lun.volume.waits_for_disk() => (0x12, &[(2, WCE)]),
        CACHING => (0x12, &[]),
        // Unrestricted reordering.
        CONTROL if changeable => (0x0a, &[]),
        CONTROL => (0x0a, &[(3, 0x10)]),
        // No exceptions are reported.
        INFORMATIONAL => (0x0a, &[]),
        _ => return Vec::new(),
    };
    let mut page = vec![0; usize::from(length) + 2];
    let mut set = |at: usize, value: u8| {
        if let Some(byte) = page.get_mut(at) {
            *byte |= value;
        }
    };
    set(0, code);
    set(1, length);
    values.iter().for_each(|(at, value)| set(*at, *value));
    if code == CONTROL {
        set(2, if mode(D_SENSE) { D_SENSE_BIT } else { 0 });
        set(4, if mode(SWP) { SWP_BIT } else { 0 });
    }
    page
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
    use crate::scsi::unit::tests::Bench;

    fn request(long: bool, control: u8, page: u8) -> ModeRequest {
        ModeRequest { long, no_descriptor: false, control, page, subpage: 0 }
    }

    #[test]
    fn all_pages_come_with_lengths_that_add_up() {
        let bench = Bench::new();
        let short = sense(&bench.unit(), request(false, 0, 0x3f)).unwrap();
        assert_eq!(short[0] as usize, short.len() - 1);
        assert_eq!(&short[..4], &[55, 0, 0x10, 8]);
        let long = sense(&bench.unit(), request(true, 0, 0x3f)).unwrap();
        assert_eq!(&long[..8], &[0, 58, 0, 0x10, 0, 0, 0, 8]);
        assert_eq!(&long[8..], &short[4..]);
    }

    #[test]
    fn a_read_only_unit_is_write_protected() {
        let mut bench = Bench::new();
        bench.lun.read_only = true;
        assert_eq!(sense(&bench.unit(), request(false, 0, 0x08)).unwrap()[2] & 0x80, 0x80);
    }

    #[test]
    fn two_bits_can_be_changed_nothing_saved_and_no_other_page_is_known() {
        let bench = Bench::new();
        let unit = bench.unit();
        let page = sense(&unit, request(false, 1, 0x0a)).unwrap().slice(12..);
        assert_eq!(&page[..], &[0x0a, 0x0a, 4, 0, 8, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(sense(&unit, request(false, 3, 0x08)), Err(Sense::SAVING_NOT_SUPPORTED));
        assert_eq!(sense(&unit, request(false, 0, 0x19)), Err(Sense::INVALID_FIELD.in_cdb_bit(2, 5)));
    }

    /// A MODE SELECT(6) list with a control page of these bytes 2 and 4.
    fn control_list(two: u8, four: u8) -> Vec<u8> {
        [&[0, 0, 0, 0, 0x0a, 0x0a, two, 0x10, four][..], &[0; 7]].concat()
    }

    #[test]
    fn what_was_selected_is_in_force_and_told_to_the_other_nexuses_alone() {
        let bench = Bench::new();
        let unit = bench.unit();
        let other = bench.other();
        assert!(select(&unit, false, &control_list(0x04, 0x08)).is_ok());
        assert!(unit.state.mode(D_SENSE) && unit.state.mode(SWP));
        let header = sense(&unit, request(false, 0, 0x0a)).unwrap();
        assert_eq!((header[2], header[14], header[16]), (0x90, 0x04, 0x08));
        assert_eq!(unit.state.news_since(0, &other).0.attentions, [Sense::MODE_CHANGED]);
        assert!(unit.state.news_since(0, unit.nexus).0.attentions.is_empty());
        assert_eq!(sense(&unit, request(false, 2, 0x0a)).unwrap()[14..17], [0, 0x10, 0], "defaults");
    }

    #[test]
    fn a_list_with_one_fault_changes_nothing_and_says_where_it_is() {
        let bench = Bench::new();
        let unit = bench.unit();
        let mut unchangeable = control_list(0x04, 0);
        unchangeable[8 + 3] = 1;
        let mut page_length = control_list(0x04, 0);
        page_length[5] = 9;
        let mut second = control_list(0x04, 0);
        second.extend([0x19, 2, 0, 0]);
        let mut descriptor = control_list(0x04, 0);
        descriptor.splice(3..4, [8, 0, 0, 0, 0, 0, 0, 0, 1]);
        for (list, sense) in [
            (unchangeable, Sense::INVALID_PARAMETER.in_list(11)),
            (page_length, Sense::INVALID_PARAMETER.in_list(5)),
            (second, Sense::INVALID_PARAMETER.in_list(16)),
            (descriptor, Sense::INVALID_PARAMETER.in_list(4)),
            (control_list(0x04, 0)[..10].to_vec(), Sense::PARAMETER_LENGTH),
            (vec![0; 3], Sense::PARAMETER_LENGTH),
        ] {
            assert_eq!(select(&unit, false, &list), Err(sense), "{list:02x?}");
            assert!(!unit.state.mode(D_SENSE));
        }
    }
}
