//! INQUIRY, vital product data (SPC-4 §6.6 and §7.8).

use contract::{LunSerial, Wwid};

use super::ScsiError;

/// Page code of the unit serial number.
pub(super) const UNIT_SERIAL_NUMBER: u8 = 0x80;
/// Page code of the device identification.
pub(super) const DEVICE_IDENTIFICATION: u8 = 0x83;
/// Bytes asked for: more than any array's pages have.
pub(super) const ALLOCATION: usize = 1024;

const NAA: u8 = 3;
const BINARY: u8 = 1;

/// INQUIRY with EVPD for one page.
pub(super) fn command(page: u8) -> [u8; 6] {
    let [high, low] = 1024_u16.to_be_bytes();
    [0x12, 0x01, page, high, low, 0]
}

/// The payload of a page, after its header is checked: what says no unit is there, or another page
/// came, or less came than announced, is no answer.
pub(super) fn page(answer: &[u8], wanted: u8) -> Result<Vec<u8>, ScsiError> {
    let malformed = |what| ScsiError::Malformed { command: "INQUIRY", what };
    let [first, code, high, low, payload @ ..] = answer else {
        return Err(malformed("the page has no header"));
    };
    if first >> 5 != 0 {
        return Err(ScsiError::NoUnit);
    }
    if *code != wanted {
        return Err(malformed("it is another page"));
    }
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    payload.get(..length).map(<[u8]>::to_vec).ok_or_else(|| malformed("the page is cut off"))
}

/// The serial of page 0x80. Arrays pad it with blanks or NULs on either side.
pub(super) fn serial(payload: &[u8]) -> Result<LunSerial, ScsiError> {
    let text: String = payload.iter().map(|byte| char::from(*byte)).collect();
    Ok(text.trim_matches(|c| c == ' ' || c == '\0').parse()?)
}

/// The WWID of page 0x83: of the designators that name the logical unit (association 0), the NAA one
/// that scsi_id and multipathd prefer: NAA 6, then 5, then 3, then 2. The first that comes is not
/// good enough: an array may list NAA 3 before NAA 6.
pub(super) fn wwid(payload: &[u8]) -> Result<Wwid, ScsiError> {
    let preference = |naa: &&[u8]| match naa.first().map(|byte| byte >> 4) {
        Some(6) => 0,
        Some(5) => 1,
        Some(3) => 2,
        Some(2) => 3,
        _ => 4,
    };
    let best = designators(payload)?.into_iter().min_by_key(preference).filter(|naa| preference(naa) < 4);
    Ok(Wwid::from_naa(best.ok_or(ScsiError::NoNaa)?)?)
}

/// Binary NAA designators associated with the logical unit.
fn designators(payload: &[u8]) -> Result<Vec<&[u8]>, ScsiError> {
    let mut found = Vec::new();
    let mut rest = payload;
    while let [code_set, kind, _reserved, length, tail @ ..] = rest {
        let Some((designator, after)) = tail.split_at_checked(usize::from(*length)) else {
            return Err(ScsiError::Malformed { command: "INQUIRY", what: "a designator is cut off" });
        };
        let association = kind >> 4 & 3;
        if kind & 0x0f == NAA && association == 0 && code_set & 0x0f == BINARY {
            found.push(designator);
        }
        rest = after;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn designator(code_set: u8, kind: u8, bytes: &[u8]) -> Vec<u8> {
        let mut all = vec![code_set, kind, 0, u8::try_from(bytes.len()).unwrap()];
        all.extend(bytes);
        all
    }

    #[test]
    fn the_richest_naa_of_the_unit_itself_is_its_wwid() {
        let naa3 = [0x33, 0, 0, 0, 0, 0, 0, 1];
        let naa6 = [0x60, 0x0a, 0x09, 0x80, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        let port = [0x6f; 16];
        let page = [
            designator(2, 1, b"NETAPP   LUN"),
            designator(1, 0x13, &port),
            designator(1, 3, &naa3),
            designator(1, 3, &naa6),
        ]
        .concat();
        assert_eq!(wwid(&page).unwrap().as_str(), "3600a09800102030405060708090a0b0c");
    }

    #[test]
    fn a_unit_that_names_only_its_port_has_no_wwid() {
        assert!(matches!(wwid(&designator(1, 0x13, &[0x6f; 16])), Err(ScsiError::NoNaa)));
        assert!(matches!(wwid(&[]), Err(ScsiError::NoNaa)));
    }

    #[test]
    fn a_page_that_is_cut_off_or_another_or_of_no_unit_is_no_answer() {
        assert_eq!(page(&[0, 0x80, 0, 2, b'a', b'b', 0, 0], 0x80).unwrap(), b"ab");
        assert!(matches!(page(&[0, 0x80, 0, 9, b'a'], 0x80), Err(ScsiError::Malformed { .. })));
        assert!(matches!(page(&[0, 0x83, 0, 0], 0x80), Err(ScsiError::Malformed { .. })));
        assert!(matches!(page(&[0x7f, 0x80, 0, 0], 0x80), Err(ScsiError::NoUnit)));
        assert!(matches!(page(&[0x20, 0x80, 0, 0], 0x80), Err(ScsiError::NoUnit)));
        assert!(wwid(&[1, 3, 0, 16, 0x60]).is_err());
    }

    #[test]
    fn a_serial_is_freed_from_its_padding_only() {
        assert_eq!(serial(b"  81DaR$Qq/1ii\0\0").unwrap().as_str(), "81DaR$Qq/1ii");
        assert!(serial(b"    ").is_err());
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_readers_panic(answer in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _whatever = (page(&answer, 0x83), wwid(&answer), serial(&answer));
        }
    }
}
