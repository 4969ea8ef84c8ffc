//! Sense data (SPC-4 §4.5).

/// Sense keys (SPC-4 table 48).
const NO_SENSE: u8 = 0x0;
const MEDIUM_ERROR: u8 = 0x3;
const ILLEGAL_REQUEST: u8 = 0x5;
const UNIT_ATTENTION: u8 = 0x6;
const DATA_PROTECT: u8 = 0x7;
const ABORTED_COMMAND: u8 = 0xb;
const MISCOMPARE: u8 = 0xe;

/// Why a command ended with CHECK CONDITION, or what REQUEST SENSE has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sense {
    key: u8,
    /// ADDITIONAL SENSE CODE and its qualifier.
    code: u16,
    information: Option<u64>,
}

impl Sense {
    pub(crate) const NONE: Self = Self::new(NO_SENSE, 0x0000);
    pub(crate) const INVALID_OPCODE: Self = Self::new(ILLEGAL_REQUEST, 0x2000);
    pub(crate) const OUT_OF_RANGE: Self = Self::new(ILLEGAL_REQUEST, 0x2100);
    pub(crate) const INVALID_FIELD: Self = Self::new(ILLEGAL_REQUEST, 0x2400);
    pub(crate) const UNIT_NOT_SUPPORTED: Self = Self::new(ILLEGAL_REQUEST, 0x2500);
    pub(crate) const INVALID_PARAMETER: Self = Self::new(ILLEGAL_REQUEST, 0x2600);
    pub(crate) const PARAMETER_LENGTH: Self = Self::new(ILLEGAL_REQUEST, 0x1a00);
    pub(crate) const SAVING_NOT_SUPPORTED: Self = Self::new(ILLEGAL_REQUEST, 0x3900);
    pub(crate) const WRITE_PROTECTED: Self = Self::new(DATA_PROTECT, 0x2700);
    /// Peripheral device write fault: the store refused, which no command should cause.
    pub(crate) const WRITE_FAULT: Self = Self::new(MEDIUM_ERROR, 0x0300);
    pub(crate) const DATA_PHASE_ERROR: Self = Self::new(ABORTED_COMMAND, 0x4b00);
    pub(crate) const UNEXPECTED_DATA: Self = Self::new(ABORTED_COMMAND, 0x0c0c);
    pub(crate) const POWER_ON: Self = Self::new(UNIT_ATTENTION, 0x2900);
    pub(crate) const RESET: Self = Self::new(UNIT_ATTENTION, 0x2903);
    pub(crate) const CAPACITY_CHANGED: Self = Self::new(UNIT_ATTENTION, 0x2a09);
    pub(crate) const LUNS_CHANGED: Self = Self::new(UNIT_ATTENTION, 0x3f0e);

    const fn new(key: u8, code: u16) -> Self {
        Self { key, code, information: None }
    }

    /// The compared data differ, first at this byte.
    pub(crate) const fn miscompare(offset: u64) -> Self {
        Self { key: MISCOMPARE, code: 0x1d00, information: Some(offset) }
    }

    /// Fixed format, response code 70h (SPC-4 §4.5.3).
    pub(crate) fn fixed(self) -> [u8; 18] {
        let [asc, ascq] = self.code.to_be_bytes();
        let information = self.information.and_then(|value| u32::try_from(value).ok());
        let valid = if information.is_some() { 0x80 } else { 0 };
        let [a, b, c, d] = information.unwrap_or(0).to_be_bytes();
        [0x70 | valid, 0, self.key, a, b, c, d, 10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0]
    }

    /// Descriptor format, response code 72h, no descriptors (SPC-4 §4.5.2).
    pub(crate) fn descriptor(self) -> [u8; 8] {
        let [asc, ascq] = self.code.to_be_bytes();
        [0x72, self.key, asc, ascq, 0, 0, 0, 0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_sense_has_key_and_code_in_their_places() {
        let sense = Sense::OUT_OF_RANGE.fixed();
        assert_eq!((sense[0], sense[2], sense[7], sense[12], sense[13]), (0x70, 5, 10, 0x21, 0));
        let miscompare = Sense::miscompare(0x1234).fixed();
        assert_eq!((miscompare[0], &miscompare[3..7]), (0xf0, &[0, 0, 0x12, 0x34][..]));
    }
}
