//! File handles: what a client keeps of an inode.
//!
//! Opaque to clients and free of state here, hence good for as long as tree and inode live: over
//! reconnects, over a changed policy, over a move of the export to another path.

use crate::tree::{InodeNumber, Node};

/// Tells our handles from noise and from those of other servers; the last byte is the layout.
const MAGIC: [u8; 4] = *b"FHT\x01";
/// Bytes of a handle on the wire; RFC 1813 allows 64.
pub(crate) const HANDLE_LENGTH: usize = 24;

/// A tree, and an inode in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileHandle {
    /// The tree's fsid.
    pub(crate) fsid: u64,
    pub(crate) node: Node,
}

impl FileHandle {
    pub(crate) fn to_bytes(self) -> [u8; HANDLE_LENGTH] {
        let mut bytes = [0; HANDLE_LENGTH];
        let parts = MAGIC
            .into_iter()
            .chain(self.fsid.to_be_bytes())
            .chain(self.node.number.0.to_be_bytes())
            .chain(self.node.generation.to_be_bytes());
        for (byte, part) in bytes.iter_mut().zip(parts) {
            *byte = part;
        }
        bytes
    }

    /// `None` if these bytes never were a handle of ours.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (fsid, rest) = rest.split_first_chunk::<8>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let generation = <[u8; 4]>::try_from(rest).ok()?;
        if *magic != MAGIC {
            return None;
        }
        let node = Node {
            number: InodeNumber(u64::from_be_bytes(*number)),
            generation: u32::from_be_bytes(generation),
        };
        Some(Self { fsid: u64::from_be_bytes(*fsid), node })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_handle_comes_back_and_no_other_length_or_magic_does(
            fsid: u64, number: u64, generation: u32, at in 0usize..4, length in 0usize..HANDLE_LENGTH,
        ) {
            let node = Node { number: InodeNumber(number), generation };
            let handle = FileHandle { fsid, node };
            let mut bytes = handle.to_bytes().to_vec();
            prop_assert_eq!(FileHandle::parse(&bytes), Some(handle));
            prop_assert_eq!(FileHandle::parse(&bytes[..length]), None);
            bytes[at] ^= 0x80;
            prop_assert_eq!(FileHandle::parse(&bytes), None);
            bytes[at] ^= 0x80;
            bytes.push(0);
            prop_assert_eq!(FileHandle::parse(&bytes), None);
        }
    }
}
