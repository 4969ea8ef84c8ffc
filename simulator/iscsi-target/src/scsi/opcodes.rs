//! REPORT SUPPORTED OPERATION CODES and TASK MANAGEMENT FUNCTIONS (SPC-4 §6.34, §6.35).

use bytes::{BufMut, Bytes, BytesMut};

use super::command::OpcodeQuestion;
use super::sense::Sense;
use super::unit::Unit;

/// SUPPORT: the command is not there; as the standard has it.
const ABSENT: u8 = 0x01;
const STANDARD: u8 = 0x03;
/// CTDP: a timeouts descriptor follows.
const TIMEOUTS_FOLLOW: u8 = 0x80;
/// Descriptor flags: SERVACTV, CTDP.
const HAS_ACTIONS: u8 = 0x01;
const HAS_TIMEOUTS: u8 = 0x02;

/// A supported command: which bits of its CDB count. Byte 0 is the operation code.
struct Supported {
    action: Option<u16>,
    usage: &'static [u8],
    /// Of a thin unit alone.
    thin: bool,
    /// Of a unit with ALUA alone.
    alua: bool,
}

const fn plain(usage: &'static [u8]) -> Supported {
    Supported { action: None, usage, thin: false, alua: false }
}

const fn action(action: u16, usage: &'static [u8]) -> Supported {
    Supported { action: Some(action), usage, thin: false, alua: false }
}

/// In order of operation code and service action.
const COMMANDS: &[Supported] = &[
    plain(&[0x00, 0, 0, 0, 0, 0x04]),
    plain(&[0x03, 0x01, 0, 0, 0xff, 0x04]),
    plain(&[0x08, 0x1f, 0xff, 0xff, 0xff, 0x04]),
    plain(&[0x0a, 0x1f, 0xff, 0xff, 0xff, 0x04]),
    plain(&[0x12, 0x01, 0xff, 0xff, 0xff, 0x04]),
    plain(&[0x15, 0x11, 0, 0, 0xff, 0x04]),
    plain(&[0x16, 0, 0, 0, 0, 0x04]),
    plain(&[0x17, 0, 0, 0, 0, 0x04]),
    plain(&[0x1a, 0x08, 0xff, 0xff, 0xff, 0x04]),
    plain(&[0x1b, 0x01, 0, 0x0f, 0xf7, 0x04]),
    plain(&[0x25, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x01, 0x04]),
    plain(&[0x28, 0xf8, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04]),
    plain(&[0x2a, 0xf8, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04]),
    plain(&[0x2e, 0xf6, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04]),
    plain(&[0x2f, 0xf6, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04]),
    plain(&[0x34, 0x02, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04]),
    plain(&[0x35, 0x02, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04]),
    plain(&[0x41, 0xf8, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04]),
    Supported { thin: true, ..plain(&[0x42, 0x01, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04]) },
    plain(&[0x55, 0x11, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04]),
    plain(&[0x5a, 0x08, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0x04]),
    action(0, &[0x5e, 0x1f, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04]),
    action(1, &[0x5e, 0x1f, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04]),
    action(2, &[0x5e, 0x1f, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04]),
    action(3, &[0x5e, 0x1f, 0, 0, 0, 0, 0, 0xff, 0xff, 0x04]),
    action(0, &[0x5f, 0x1f, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04]),
    action(1, &[0x5f, 0x1f, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04]),
    action(2, &[0x5f, 0x1f, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04]),
    action(3, &[0x5f, 0x1f, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04]),
    action(4, &[0x5f, 0x1f, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04]),
    action(5, &[0x5f, 0x1f, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04]),
    action(6, &[0x5f, 0x1f, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x04]),
    plain(&[0x88, 0xf8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0x04]),
    plain(&[0x89, 0xf8, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 255, 0, 0x04]),
    plain(&[0x8a, 0xf8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0x04]),
    plain(&[0x8b, 0xf8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0x04]),
    plain(&[0x8e, 0xf6, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0x04]),
    plain(&[0x8f, 0xf6, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0x04]),
    plain(&[0x90, 0x02, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0x04]),
    plain(&[0x91, 0x02, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0x04]),
    plain(&[0x93, 0xf9, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0x04]),
    action(0x10, &[0x9e, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0x04]),
    action(0x12, &[0x9e, 0x1f, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0x04]),
    plain(&[0xa0, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0x04]),
    Supported { alua: true, ..action(0x0a, &[0xa3, 0xff, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0x04]) },
    action(0x0c, &[0xa3, 0x1f, 0x87, 0xff, 0xff, 0xff, 255, 255, 255, 255, 0, 0x04]),
    action(0x0d, &[0xa3, 0x1f, 0x80, 0, 0, 0, 255, 255, 255, 255, 0, 0x04]),
    plain(&[0xa8, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04]),
    plain(&[0xaa, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04]),
    plain(&[0xae, 0xf6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04]),
    plain(&[0xaf, 0xf6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x04]),
];

impl Supported {
    fn opcode(&self) -> u8 {
        self.usage.first().copied().unwrap_or(0)
    }

    fn is_of(&self, unit: &Unit<'_>) -> bool {
        (unit.lun.thin || !self.thin) && (!unit.lun.optimized_groups.is_empty() || !self.alua)
    }
}

/// The commands of this unit.
pub(crate) fn report(unit: &Unit<'_>, question: OpcodeQuestion, timeouts: bool) -> Result<Bytes, Sense> {
    let mut known = COMMANDS.iter().filter(|command| command.is_of(unit));
    let (opcode, wanted) = match question {
        OpcodeQuestion::All => return Ok(all(known, timeouts)),
        OpcodeQuestion::Opcode(opcode) => (opcode, None),
        OpcodeQuestion::Action(opcode, action) => (opcode, Some(action)),
        OpcodeQuestion::Either(opcode, action) => {
            let has_actions = COMMANDS.iter().any(|each| each.opcode() == opcode && each.action.is_some());
            (opcode, (has_actions || action != 0).then_some(action))
        }
    };
    let mut of_code = COMMANDS.iter().filter(|command| command.opcode() == opcode);
    // A question of the wrong form is an error; one about a command that is not there has an answer.
    if of_code.any(|command| command.action.is_some() != wanted.is_some())
        && !matches!(question, OpcodeQuestion::Either(..))
    {
        return Err(Sense::INVALID_FIELD.in_cdb_bit(2, 2));
    }
    Ok(one(known.find(|command| command.opcode() == opcode && command.action == wanted), timeouts))
}

fn all<'a>(commands: impl Iterator<Item = &'a Supported>, timeouts: bool) -> Bytes {
    let mut body = BytesMut::with_capacity(20 * COMMANDS.len());
    for command in commands {
        let flags = if command.action.is_some() { HAS_ACTIONS } else { 0 };
        body.put_slice(&[command.opcode(), 0]);
        body.put_u16(command.action.unwrap_or(0));
        body.put_slice(&[0, flags | if timeouts { HAS_TIMEOUTS } else { 0 }]);
        body.put_u16(command.usage.len() as u16);
        if timeouts {
            put_timeouts(&mut body);
        }
    }
    let mut data = BytesMut::with_capacity(4 + body.len());
    data.put_u32(body.len() as u32);
    data.put_slice(&body);
    data.freeze()
}

fn one(command: Option<&Supported>, timeouts: bool) -> Bytes {
    let Some(command) = command else { return Bytes::from_static(&[0, ABSENT, 0, 0]) };
    let mut data = BytesMut::with_capacity(32);
    data.put_slice(&[0, STANDARD | if timeouts { TIMEOUTS_FOLLOW } else { 0 }]);
    data.put_u16(command.usage.len() as u16);
    data.put_slice(command.usage);
    if timeouts {
        put_timeouts(&mut data);
    }
    data.freeze()
}

/// Command timeouts descriptor (SPC-4 §6.34.4): no times are stated.
fn put_timeouts(data: &mut BytesMut) {
    data.put_u16(0x0a);
    data.put_bytes(0, 10);
}

/// ABORT TASK, ABORT TASK SET, LOGICAL UNIT RESET (SPC-4 table 246); the extended form says that no
/// time limits are kept.
pub(crate) fn functions(extended: bool) -> Bytes {
    const FUNCTIONS: u8 = 0xc8;
    let mut data = vec![FUNCTIONS, 0, 0, 0];
    if extended {
        data[3] = 0x0c;
        data.resize(16, 0);
    }
    data.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::Command;
    use crate::scsi::unit::tests::Bench;

    #[test]
    fn what_is_listed_is_recognised_and_nothing_else() {
        for opcode in 0..=255u8 {
            let listed: Vec<_> = COMMANDS.iter().filter(|each| each.opcode() == opcode).collect();
            for action in 0..32u8 {
                let mut cdb = [0; 16];
                (cdb[0], cdb[1]) = (opcode, action);
                // Fields that are wrong when zero: PF, the type of a reservation, the list's length.
                match opcode {
                    0x15 | 0x55 => cdb[1] = 0x10,
                    0x5f => (cdb[2], cdb[8]) = (1, 24),
                    _ if !listed.iter().any(|each| each.action.is_some()) => cdb[1] = 0,
                    _ => {}
                }
                let known = listed.iter().any(|each| each.action.is_none_or(|its| its == u16::from(action)));
                assert_eq!(Command::parse(&cdb).is_ok(), known, "{opcode:02x}/{action:02x}");
            }
        }
    }

    #[test]
    fn one_command_is_told_with_its_usage_map() {
        let bench = Bench::new();
        let ask = |question| report(&bench.unit(), question, false);
        assert_eq!(ask(OpcodeQuestion::Opcode(0x00)).unwrap()[..], [0, 3, 0, 6, 0, 0, 0, 0, 0, 4]);
        assert_eq!(ask(OpcodeQuestion::Opcode(0x04)).unwrap()[..], [0, 1, 0, 0]);
        assert_eq!(ask(OpcodeQuestion::Action(0x9e, 0x10)).unwrap()[4], 0x9e);
        assert_eq!(ask(OpcodeQuestion::Action(0x9e, 0x1f)).unwrap()[..], [0, 1, 0, 0]);
        assert_eq!(ask(OpcodeQuestion::Either(0x28, 0)).unwrap()[4], 0x28);
        for wrong in [OpcodeQuestion::Opcode(0x9e), OpcodeQuestion::Action(0x28, 0)] {
            assert_eq!(ask(wrong), Err(Sense::INVALID_FIELD.in_cdb_bit(2, 2)));
        }
    }

    #[test]
    fn a_thick_unit_without_alua_lists_neither_unmap_nor_port_groups() {
        let mut bench = Bench::new();
        bench.lun.thin = false;
        bench.lun.optimized_groups.clear();
        let list = report(&bench.unit(), OpcodeQuestion::All, false).unwrap();
        let opcodes: Vec<_> = list[4..].chunks_exact(8).map(|each| (each[0], each[3])).collect();
        assert!(!opcodes.contains(&(0x42, 0)) && !opcodes.contains(&(0xa3, 0x0a)));
        assert_eq!(opcodes.len(), COMMANDS.len() - 2);
    }
}
