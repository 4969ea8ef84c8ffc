//! Marks of on-disk formats.
//!
//! The names are for people. What makes a device blank is that nothing is there, not that nothing was
//! recognised: a format missing here makes a device "data of no known format", never blank.

use agent_core::areas::ALIGNMENT;
use agent_core::facts::{Content, Filesystem};
use contract::FsType;

/// Where a mark stands.
#[derive(Debug, Clone, Copy)]
enum At {
    /// Bytes from the first.
    Start(u64),
    /// Bytes before the end.
    End(u64),
}

use At::{End, Start};

/// `MD_SB_MAGIC` (0xa92b4efc), little endian.
const MD: &[u8] = b"\xfc\x4e\x2b\xa9";

/// Formats that may have a filesystem's superblock inside them, at the very place where the
/// filesystem alone would have it. They win.
const CONTAINERS: &[(At, &[u8], &str)] = &[
    (Start(0), b"LUKS\xba\xbe", "a LUKS header"),
    (Start(0x4000), b"SKUL\xba\xbe", "a LUKS2 secondary header"),
    (Start(0), b"LABELONE", "an LVM label"),
    (Start(512), b"LABELONE", "an LVM label"),
    (Start(1024), b"LABELONE", "an LVM label"),
    (Start(1536), b"LABELONE", "an LVM label"),
    (Start(512), b"EFI PART", "a GPT partition table"),
    (Start(4096), b"EFI PART", "a GPT partition table"),
    (Start(0), MD, "an md RAID superblock (1.1)"),
    (Start(4096), MD, "an md RAID superblock (1.2)"),
    (End(8192), MD, "an md RAID superblock (1.0)"),
];

const OTHERS: &[(At, &[u8], &str)] = &[
    (Start(0x1_0040), b"_BHRfS_M", "a btrfs"),
    (Start((64 << 20) + 0x40), b"_BHRfS_M", "a btrfs mirror superblock"),
    (Start((256 << 30) + 0x40), b"_BHRfS_M", "a btrfs mirror superblock"),
    (Start(4086), b"SWAPSPACE2", "a swap area"),
    (Start(4086), b"SWAP-SPACE", "a swap area"),
    (Start(65526), b"SWAPSPACE2", "a swap area"),
    (Start(3), b"NTFS    ", "an NTFS"),
    (Start(3), b"EXFAT   ", "an exFAT"),
    (Start(54), b"FAT1", "a FAT"),
    (Start(82), b"FAT32", "a FAT"),
    (Start(1024), b"\x10\x20\xf5\xf2", "an F2FS"),
    (Start(1024), b"\xe2\xe1\xf5\xe0", "an EROFS"),
    (Start(0), b"hsqs", "a SquashFS"),
    (Start(0x8001), b"CD001", "an ISO 9660"),
    (Start(0x1_0034), b"ReIsEr", "a ReiserFS"),
    (Start(0x1_0000), b"\x01\x16\x19\x70", "a GFS2"),
    (Start(0x2000), b"OCFSV2", "an OCFS2"),
    (Start(0), b"bluestore block device", "a Ceph BlueStore"),
    (Start(0x2_0000), b"\x0c\xb1\xba\x00\x00\x00\x00\x00", "a ZFS"),
    (Start(0x2_0000), b"\x00\x00\x00\x00\x00\xba\xb1\x0c", "a ZFS"),
    (Start(0x2_0000 + 0x4000), b"\x0c\xb1\xba\x00", "a ZFS"),
    (Start(2 << 20), b"SKUL\xba\xbe", "a LUKS2 secondary header"),
    (Start(4 << 20), b"SKUL\xba\xbe", "a LUKS2 secondary header"),
    (End(512), b"EFI PART", "a backup GPT partition table"),
    (End(4096), b"EFI PART", "a backup GPT partition table"),
    (Start(510), b"\x55\xaa", "an MBR"),
];

/// What was read, blocks of zeros left out: they bear no mark, most of what is read is zeros, and
/// keeping them is most of the work. No mark lies across the border of two blocks.
#[derive(Debug)]
pub(super) struct Areas {
    size: u64,
    /// Runs of blocks that are not all zeros: offset of the first, and their bytes.
    read: Vec<(u64, Vec<u8>)>,
}

/// [`ALIGNMENT`], as a length in memory.
const BLOCK: usize = 4096;

fn end(start: u64, run: &[u8]) -> Option<u64> {
    start.checked_add(u64::try_from(run.len()).ok()?)
}

/// Eight bytes at a time, 64 bytes without a branch.
fn is_zero(block: &[u8]) -> bool {
    let (lines, rest) = block.as_chunks::<64>();
    let used = |line: &[u8; 64]| {
        let (words, _none) = line.as_chunks::<8>();
        words.iter().fold(0, |used, word| used | u64::from_ne_bytes(*word))
    };
    lines.iter().all(|line| used(line) == 0) && rest.iter().all(|byte| *byte == 0)
}

impl Areas {
    pub(super) fn new(size: u64) -> Self {
        Self { size, read: Vec::new() }
    }

    /// Adds what was read at `offset`; what is added next lies behind it.
    pub(super) fn add(&mut self, offset: u64, bytes: &[u8]) {
        let mut at = offset;
        for block in bytes.chunks(BLOCK) {
            if !is_zero(block) {
                match self.read.last_mut() {
                    Some((start, run)) if Some(at) == end(*start, run) => run.extend_from_slice(block),
                    _ => self.read.push((at, block.to_vec())),
                }
            }
            at = at.saturating_add(u64::try_from(block.len()).unwrap_or(u64::MAX));
        }
    }

    /// Offset of the first byte that is not zero.
    pub(super) fn first_used(&self) -> Option<u64> {
        self.read.iter().find_map(|(offset, bytes)| {
            let at = bytes.iter().position(|byte| *byte != 0)?;
            Some(offset + u64::try_from(at).ok()?)
        })
    }

    /// What a known format left, the outermost one first.
    pub(super) fn recognise(&self) -> Option<Content> {
        let marked = |table: &[(At, &[u8], &str)]| {
            let hit = table.iter().find(|(at, mark, _)| self.shows(*at, mark))?;
            Some(Content::Foreign(format!("{} (at offset {})", hit.2, self.offset(hit.0)?)))
        };
        marked(CONTAINERS)
            .or_else(|| self.old_raid())
            .or_else(|| self.ext())
            .or_else(|| self.xfs())
            .or_else(|| marked(OTHERS))
            .or_else(|| self.remains())
    }

    fn offset(&self, at: At) -> Option<u64> {
        match at {
            Start(offset) => Some(offset),
            End(back) => self.size.checked_sub(back),
        }
    }

    fn shows(&self, at: At, mark: &[u8]) -> bool {
        self.offset(at).and_then(|offset| self.bytes(offset, mark.len())) == Some(mark)
    }

    fn bytes(&self, offset: u64, length: usize) -> Option<&[u8]> {
        self.read.iter().find_map(|(start, bytes)| {
            let at = usize::try_from(offset.checked_sub(*start)?).ok()?;
            bytes.get(at..at.checked_add(length)?)
        })
    }

    /// md 0.90: in the last whole 64 KiB but one (`MD_NEW_SIZE_SECTORS`).
    fn old_raid(&self) -> Option<Content> {
        let at = (self.size & !0xffff).checked_sub(0x1_0000)?;
        (self.bytes(at, 4)? == MD)
            .then(|| Content::Foreign(format!("an md RAID superblock (0.90, at offset {at})")))
    }

    /// The superblock at 1024 (Documentation/filesystems/ext4/super.rst).
    fn ext(&self) -> Option<Content> {
        let superblock = self.bytes(1024, 1024)?;
        if superblock.get(0x38..0x3a)? != b"\x53\xef" {
            return None;
        }
        let word = |at: usize| superblock.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let (compatible, incompatible) = (word(0x5c)?, word(0x60)?);
        let read_only_compatible = word(0x64)?;
        // journal device
        if incompatible & 0x8 != 0 {
            return Some(Content::Foreign("an ext journal device".to_owned()));
        }
        // extents, 64bit, flex_bg; huge_file, metadata_csum
        let is_ext4 = incompatible & (0x40 | 0x80 | 0x200) != 0 || read_only_compatible & (0x8 | 0x400) != 0;
        if !is_ext4 {
            let name = if compatible & 0x4 == 0 { "an ext2" } else { "an ext3" };
            return Some(Content::Foreign(name.to_owned()));
        }
        Some(Content::Filesystem(Filesystem { kind: FsType::Ext4, uuid: uuid(superblock.get(0x68..0x78)?) }))
    }

    /// The superblock at 0, big endian (XFS Algorithms & Data Structures, "Superblocks").
    fn xfs(&self) -> Option<Content> {
        let superblock = self.bytes(0, 512)?;
        if superblock.get(..4)? != b"XFSB" {
            return None;
        }
        Some(Content::Filesystem(Filesystem { kind: FsType::Xfs, uuid: uuid(superblock.get(32..48)?) }))
    }

    /// Copies that a wiped head leaves: at the start of a block that was read, or 1 KiB behind it.
    fn remains(&self) -> Option<Content> {
        for (start, bytes) in &self.read {
            for (index, block) in bytes.chunks(usize::try_from(ALIGNMENT).ok()?).enumerate() {
                let at = start + u64::try_from(index).ok()? * ALIGNMENT;
                let ext = |base: usize| block.get(base + 0x38..base + 0x3a) == Some(b"\x53\xef");
                if at > 0 && (ext(0) || ext(1024)) {
                    return Some(Content::Foreign(format!(
                        "a backup superblock of an ext (near offset {at})"
                    )));
                }
                let xfs = block.get(..4) == Some(b"XFSB") || block.get(512..516) == Some(b"XAGF");
                if at > 0 && xfs {
                    return Some(Content::Foreign(format!("an xfs allocation group (at offset {at})")));
                }
            }
        }
        None
    }
}

/// As blkid prints it.
fn uuid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_that_is_written_in_an_area_stays_unseen(
            at in 0_usize..8192,
            byte in 1_u8..,
            noise in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut bytes = vec![0; 8192];
            bytes[at] = byte;
            let end = (at + 1 + noise.len()).min(8192);
            bytes[at + 1..end].copy_from_slice(&noise[..end - at - 1]);
            let mut areas = Areas::new(8192);
            areas.add(0, &bytes);
            prop_assert_eq!(areas.first_used(), Some(at as u64));
            let _never_panics = areas.recognise();
        }
    }
}
