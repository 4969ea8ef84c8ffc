//! READ CAPACITY(16) (SBC-3 §5.16).

use super::ScsiError;

/// Bytes asked for.
pub(super) const LENGTH: usize = 32;

/// SERVICE ACTION IN(16) with service action 0x10; allocation length in bytes 10 to 13.
pub(super) const COMMAND: [u8; 16] = [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0];

/// Last block's number and a block's bytes make the size.
pub(super) fn size(answer: &[u8]) -> Result<u64, ScsiError> {
    let malformed = |what| ScsiError::Malformed { command: "READ CAPACITY(16)", what };
    let (Some(last), Some(block)) = (answer.first_chunk::<8>(), answer.get(8..12)) else {
        return Err(malformed("it is shorter than 12 bytes"));
    };
    let block: [u8; 4] = block.try_into().map_err(|_wrong_length| malformed("no block length"))?;
    let blocks = u64::from_be_bytes(*last).checked_add(1);
    let bytes = blocks.and_then(|blocks| blocks.checked_mul(u64::from(u32::from_be_bytes(block))));
    bytes.filter(|bytes| *bytes > 0).ok_or_else(|| malformed("the size is not a number of bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gibibyte_is_read_as_one() {
        let mut answer = [0_u8; LENGTH];
        answer[..8].copy_from_slice(&0x1f_ffff_u64.to_be_bytes());
        answer[8..12].copy_from_slice(&512_u32.to_be_bytes());
        assert_eq!(size(&answer).unwrap(), 1 << 30);
    }

    #[test]
    fn a_short_or_absurd_answer_is_no_size() {
        assert!(size(&[0; 11]).is_err());
        assert!(size(&[0; 12]).is_err());
        assert!(size(&[0xff; 32]).is_err());
    }
}
