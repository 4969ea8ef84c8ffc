//! Blocks of a LUN as bytes between arrays.
//!
//! ```text
//! size of the LUN u64 · (offset u64 · length u64 · bytes)*
//! ```

use blockstore::{BlockError, Snapshot, Volume};

/// Bytes of one run at most.
const LONGEST: u64 = 1 << 20;

/// Why blocks cannot be put onto a LUN.
#[derive(Debug, thiserror::Error)]
pub enum BlocksError {
    /// The bytes are none that [`written`] makes.
    #[error("the blocks of a LUN break off")]
    Torn,
    /// The LUN refuses them.
    #[error("the blocks of a LUN cannot be written")]
    Store(#[from] BlockError),
}

/// What makes of one state of a LUN a later one; of nothing when there is none.
pub(super) fn written(base: Option<&Snapshot>, snapshot: &Snapshot) -> Result<Vec<u8>, BlockError> {
    let mut bytes = snapshot.size().to_le_bytes().to_vec();
    for range in snapshot.changed_since(base) {
        let mut at = range.start;
        while at < range.end {
            let length = LONGEST.min(range.end.saturating_sub(at));
            bytes.extend_from_slice(&at.to_le_bytes());
            bytes.extend_from_slice(&length.to_le_bytes());
            let begin = bytes.len();
            // A run is a mebibyte at most.
            bytes.resize(begin.saturating_add(usize::try_from(length).unwrap_or(0)), 0);
            snapshot.read_at(at, bytes.get_mut(begin..).unwrap_or_default())?;
            at = at.saturating_add(length);
        }
    }
    Ok(bytes)
}

/// Puts it onto a LUN that is in the earlier state. What reads as zero takes no space.
pub(crate) fn put(mut bytes: &[u8], onto: &Volume) -> Result<(), BlocksError> {
    let size = number(&mut bytes)?;
    if onto.size() != size {
        onto.set_size(size)?;
    }
    while !bytes.is_empty() {
        let (offset, length) = (number(&mut bytes)?, number(&mut bytes)?);
        let length = usize::try_from(length).map_err(|_| BlocksError::Torn)?;
        let (data, rest) = bytes.split_at_checked(length).ok_or(BlocksError::Torn)?;
        if data.iter().all(|byte| *byte == 0) {
            onto.deallocate(offset, length as u64)?;
        } else {
            onto.write_at(offset, data)?;
        }
        bytes = rest;
    }
    Ok(())
}

fn number(bytes: &mut &[u8]) -> Result<u64, BlocksError> {
    let (first, rest) = bytes.split_first_chunk().ok_or(BlocksError::Torn)?;
    *bytes = rest;
    Ok(u64::from_le_bytes(*first))
}
