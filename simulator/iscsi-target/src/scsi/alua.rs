//! Asymmetric logical unit access (SPC-4 §5.15, §6.37): which ports are near a unit's owner.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};

use super::sense::Sense;
use super::unit::Unit;

/// ASYMMETRIC ACCESS STATE (SPC-4 table 310).
const OPTIMIZED: u8 = 0x0;
const NON_OPTIMIZED: u8 = 0x1;
/// States a port group can have here: AN_SUP, AO_SUP.
const SUPPORTED: u8 = 0x03;
/// STATUS CODE: set by implicit ALUA.
const IMPLICIT: u8 = 0x02;

/// REPORT TARGET PORT GROUPS, in either header format.
pub(crate) fn report(unit: &Unit<'_>, extended: bool) -> Result<Bytes, Sense> {
    if unit.lun.optimized_groups.is_empty() {
        // SERVICE ACTION: MAINTENANCE IN itself is there.
        return Err(Sense::INVALID_FIELD.in_cdb_bit(1, 4));
    }
    let mut groups: BTreeMap<u16, BTreeSet<u16>> = BTreeMap::new();
    for port in unit.ports {
        groups.entry(port.id).or_default().insert(port.relative_port);
    }
    let mut body = BytesMut::new();
    if extended {
        // RETURN DATA FORMAT 1; IMPLICIT TRANSITION TIME 0: the initiator uses its own.
        body.put_slice(&[0x10, 0, 0, 0]);
    }
    for (group, ports) in groups {
        let state = if unit.lun.optimized_groups.contains(&group) { OPTIMIZED } else { NON_OPTIMIZED };
        body.put_slice(&[state, SUPPORTED]);
        body.put_u16(group);
        body.put_slice(&[0, IMPLICIT, 0, ports.len() as u8]);
        for port in ports {
            body.put_u16(0);
            body.put_u16(port);
        }
    }
    let mut data = BytesMut::with_capacity(4 + body.len());
    data.put_u32(body.len() as u32);
    data.put_slice(&body);
    Ok(data.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::unit::tests::Bench;

    #[test]
    fn each_group_is_listed_once_with_its_state_and_ports() {
        let bench = Bench::new();
        let data = report(&bench.unit(), false).unwrap();
        let near = [0x00, 3, 0x03, 0xe8, 0, 2, 0, 1, 0, 0, 0, 1];
        let far = [0x01, 3, 0x03, 0xe9, 0, 2, 0, 1, 0, 0, 0, 2];
        assert_eq!(&data[..], [&[0, 0, 0, 24][..], &near, &far].concat());
        let extended = report(&bench.unit(), true).unwrap();
        assert_eq!(&extended[..8], &[0, 0, 0, 28, 0x10, 0, 0, 0]);
        assert_eq!(&extended[8..], &data[4..]);
    }

    #[test]
    fn a_unit_without_alua_does_not_know_the_command() {
        let mut bench = Bench::new();
        bench.lun.optimized_groups.clear();
        assert_eq!(report(&bench.unit(), false), Err(Sense::INVALID_FIELD.in_cdb_bit(1, 4)));
    }
}
