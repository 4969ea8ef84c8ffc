//! Status and sense data of commands that do not end GOOD (SAM-5 §5.3, SPC-4 §4.5).

use bytes::{BufMut, Bytes, BytesMut};

/// Status codes (SAM-5 table 34).
const CHECK_CONDITION: u8 = 0x02;
const CONFLICT: u8 = 0x18;
const FULL: u8 = 0x28;

/// Sense keys (SPC-4 table 48).
const NO_SENSE: u8 = 0x0;
const NOT_READY: u8 = 0x2;
const MEDIUM_ERROR: u8 = 0x3;
const ILLEGAL_REQUEST: u8 = 0x5;
const UNIT_ATTENTION: u8 = 0x6;
const DATA_PROTECT: u8 = 0x7;
const ABORTED_COMMAND: u8 = 0xb;
const MISCOMPARE: u8 = 0xe;

/// Why a command did not end GOOD: a status and, with CHECK CONDITION, sense data. Also what
/// REQUEST SENSE has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sense {
    status: u8,
    key: u8,
    /// ADDITIONAL SENSE CODE and its qualifier.
    code: u16,
    information: Option<u64>,
    pointer: Option<Pointer>,
    /// Descriptor format, as D_SENSE of the unit's control mode page asks for.
    descriptor: bool,
}

/// Field pointer of an ILLEGAL REQUEST (SPC-4 §4.5.2.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pointer {
    in_cdb: bool,
    byte: u16,
    bit: Option<u8>,
}

impl Sense {
    pub(crate) const NONE: Self = Self::new(NO_SENSE, 0x0000);
    pub(crate) const MANUAL_INTERVENTION: Self = Self::new(NOT_READY, 0x0403);
    /// Peripheral device write fault: the store refused, which no command should cause.
    pub(crate) const WRITE_FAULT: Self = Self::new(MEDIUM_ERROR, 0x0300);
    pub(crate) const WRITE_ERROR: Self = Self::new(MEDIUM_ERROR, 0x0c00);
    pub(crate) const UNRECOVERED_READ: Self = Self::new(MEDIUM_ERROR, 0x1100);
    pub(crate) const PARAMETER_LENGTH: Self = Self::new(ILLEGAL_REQUEST, 0x1a00);
    pub(crate) const INVALID_OPCODE: Self = Self::new(ILLEGAL_REQUEST, 0x2000);
    pub(crate) const OUT_OF_RANGE: Self = Self::new(ILLEGAL_REQUEST, 0x2100);
    pub(crate) const INVALID_FIELD: Self = Self::new(ILLEGAL_REQUEST, 0x2400);
    pub(crate) const UNIT_NOT_SUPPORTED: Self = Self::new(ILLEGAL_REQUEST, 0x2500);
    pub(crate) const INVALID_PARAMETER: Self = Self::new(ILLEGAL_REQUEST, 0x2600);
    pub(crate) const INVALID_RELEASE: Self = Self::new(ILLEGAL_REQUEST, 0x2604);
    pub(crate) const SAVING_NOT_SUPPORTED: Self = Self::new(ILLEGAL_REQUEST, 0x3900);
    pub(crate) const POWER_ON: Self = Self::new(UNIT_ATTENTION, 0x2900);
    pub(crate) const RESET: Self = Self::new(UNIT_ATTENTION, 0x2903);
    pub(crate) const MODE_CHANGED: Self = Self::new(UNIT_ATTENTION, 0x2a01);
    pub(crate) const RESERVATIONS_PREEMPTED: Self = Self::new(UNIT_ATTENTION, 0x2a03);
    pub(crate) const RESERVATIONS_RELEASED: Self = Self::new(UNIT_ATTENTION, 0x2a04);
    pub(crate) const REGISTRATIONS_PREEMPTED: Self = Self::new(UNIT_ATTENTION, 0x2a05);
    pub(crate) const ACCESS_STATE_CHANGED: Self = Self::new(UNIT_ATTENTION, 0x2a06);
    pub(crate) const CAPACITY_CHANGED: Self = Self::new(UNIT_ATTENTION, 0x2a09);
    pub(crate) const COMMANDS_CLEARED: Self = Self::new(UNIT_ATTENTION, 0x2f00);
    pub(crate) const LUNS_CHANGED: Self = Self::new(UNIT_ATTENTION, 0x3f0e);
    pub(crate) const WRITE_PROTECTED: Self = Self::new(DATA_PROTECT, 0x2700);
    pub(crate) const SOFTWARE_PROTECTED: Self = Self::new(DATA_PROTECT, 0x2702);
    /// Space allocation failed write protect (SBC-3): the store is full.
    pub(crate) const NO_SPACE: Self = Self::new(DATA_PROTECT, 0x2707);
    pub(crate) const UNEXPECTED_DATA: Self = Self::new(ABORTED_COMMAND, 0x0c0c);
    /// Protocol service CRC error: the data came damaged (RFC 7143 §11.4.7.2).
    pub(crate) const CRC_ERROR: Self = Self::new(ABORTED_COMMAND, 0x4705);
    pub(crate) const DATA_PHASE_ERROR: Self = Self::new(ABORTED_COMMAND, 0x4b00);
    pub(crate) const MISCOMPARE: Self = Self::new(MISCOMPARE, 0x1d00);

    /// RESERVATION CONFLICT and TASK SET FULL: a status that needs no sense data.
    pub(crate) const RESERVATION_CONFLICT: Self = Self::bare(CONFLICT);
    pub(crate) const TASK_SET_FULL: Self = Self::bare(FULL);

    const fn new(key: u8, code: u16) -> Self {
        Self { status: CHECK_CONDITION, key, code, information: None, pointer: None, descriptor: false }
    }

    const fn bare(status: u8) -> Self {
        Self { status, ..Self::new(NO_SENSE, 0) }
    }

    /// A unit attention with this code.
    pub(crate) const fn attention(code: u16) -> Self {
        Self::new(UNIT_ATTENTION, code)
    }

    /// INFORMATION: a logical block address, or where compared data differ.
    pub(crate) const fn with_information(self, information: u64) -> Self {
        Self { information: Some(information), ..self }
    }

    /// The byte of the CDB that is at fault.
    pub(crate) const fn in_cdb(self, byte: u16) -> Self {
        Self { pointer: Some(Pointer { in_cdb: true, byte, bit: None }), ..self }
    }

    /// The bit of the CDB that is at fault, or the highest one of the field.
    pub(crate) const fn in_cdb_bit(self, byte: u16, bit: u8) -> Self {
        Self { pointer: Some(Pointer { in_cdb: true, byte, bit: Some(bit) }), ..self }
    }

    /// The byte of the parameter list that is at fault.
    pub(crate) const fn in_list(self, byte: u16) -> Self {
        Self { pointer: Some(Pointer { in_cdb: false, byte, bit: None }), ..self }
    }

    /// In the format that the unit's D_SENSE asks for.
    pub(crate) const fn formatted(self, descriptor: bool) -> Self {
        Self { descriptor, ..self }
    }

    /// The SCSI status.
    pub(crate) const fn status(self) -> u8 {
        self.status
    }

    /// Key and code without the particulars, to compare and to log.
    pub(crate) const fn condition(self) -> (u8, u16) {
        (self.key, self.code)
    }

    /// The sense data; none with a status that has none.
    pub(crate) fn data(self) -> Bytes {
        match (self.status, self.descriptor) {
            (CHECK_CONDITION, false) => Bytes::copy_from_slice(&self.fixed()),
            (CHECK_CONDITION, true) => self.described(),
            _ => Bytes::new(),
        }
    }

    /// Fixed format, response code 70h (SPC-4 §4.5.3).
    fn fixed(self) -> [u8; 18] {
        let [asc, ascq] = self.code.to_be_bytes();
        let information = self.information.and_then(|value| u32::try_from(value).ok());
        let valid = if information.is_some() { 0x80 } else { 0 };
        let [a, b, c, d] = information.unwrap_or(0).to_be_bytes();
        let [x, y, z] = self.pointer.map_or([0; 3], Pointer::bytes);
        [0x70 | valid, 0, self.key, a, b, c, d, 10, 0, 0, 0, 0, asc, ascq, 0, x, y, z]
    }

    /// Descriptor format, response code 72h (SPC-4 §4.5.2).
    fn described(self) -> Bytes {
        let mut descriptors = BytesMut::with_capacity(20);
        if let Some(information) = self.information {
            descriptors.put_slice(&[0x00, 0x0a, 0x80, 0]);
            descriptors.put_u64(information);
        }
        if let Some(pointer) = self.pointer {
            descriptors.put_slice(&[0x02, 0x06, 0, 0]);
            descriptors.put_slice(&pointer.bytes());
            descriptors.put_u8(0);
        }
        let [asc, ascq] = self.code.to_be_bytes();
        let mut data = BytesMut::with_capacity(8 + descriptors.len());
        data.put_slice(&[0x72, self.key, asc, ascq, 0, 0, 0, descriptors.len() as u8]);
        data.put_slice(&descriptors);
        data.freeze()
    }
}

impl Pointer {
    /// SENSE KEY SPECIFIC: SKSV, C/D, BPV, BIT POINTER, FIELD POINTER.
    fn bytes(self) -> [u8; 3] {
        let place = if self.in_cdb { 0x40 } else { 0 };
        let bit = self.bit.map_or(0, |bit| 0x08 | bit & 7);
        let [high, low] = self.byte.to_be_bytes();
        [0x80 | place | bit, high, low]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_sense_has_key_code_and_particulars_in_their_places() {
        let sense = Sense::OUT_OF_RANGE.data();
        assert_eq!((sense[0], sense[2], sense[7], sense[12], sense[13]), (0x70, 5, 10, 0x21, 0));
        let miscompare = Sense::MISCOMPARE.with_information(0x1234).data();
        assert_eq!((miscompare[0], &miscompare[3..7]), (0xf0, &[0, 0, 0x12, 0x34][..]));
        assert_eq!(Sense::INVALID_FIELD.in_cdb_bit(1, 3).data()[15..], [0xcb, 0, 1]);
        assert_eq!(Sense::INVALID_PARAMETER.in_list(0x102).data()[15..], [0x80, 1, 2]);
    }

    #[test]
    fn an_address_too_large_for_fixed_format_is_not_given_wrong() {
        let sense = Sense::UNRECOVERED_READ.with_information(1 << 32);
        assert_eq!((sense.data()[0], &sense.data()[3..7]), (0x70, &[0; 4][..]));
        let described = sense.formatted(true).data();
        assert_eq!(described[..8], [0x72, 3, 0x11, 0, 0, 0, 0, 12]);
        assert_eq!(described[8..], [0, 10, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn descriptor_sense_points_at_the_field() {
        let sense = Sense::INVALID_FIELD.in_cdb(2).formatted(true).data();
        assert_eq!(sense[..], [0x72, 5, 0x24, 0, 0, 0, 0, 8, 2, 6, 0, 0, 0xc0, 0, 2, 0]);
    }

    #[test]
    fn a_reservation_conflict_has_a_status_and_no_sense() {
        assert_eq!(Sense::RESERVATION_CONFLICT.status(), 0x18);
        assert!(Sense::RESERVATION_CONFLICT.data().is_empty());
    }
}
