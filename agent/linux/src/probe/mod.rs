//! What is on a device, read from the device, through one descriptor (hazard H01).
//!
//! No library and no udev database is asked: every area where a known format leaves a mark is read
//! whole, with O_DIRECT, past every cache. A single error or short read, and nothing is known.

mod signatures;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use agent_core::areas::{ALIGNMENT, signature_areas};
use agent_core::facts::{BlankScan, ByteRange, Content, DeviceNumber};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::own_time::in_kernel;
use crate::sys;
use signatures::Areas;

/// Why it cannot be told what is on a device.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The node could not be opened, or its nature not be read.
    #[error("cannot open {node}")]
    Open {
        /// The node.
        node: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The node stands for another device.
    #[error("{node} is not block device {wanted}")]
    OtherDevice {
        /// The node.
        node: String,
        /// The device it should be.
        wanted: DeviceNumber,
    },
    /// A read failed.
    #[error("cannot read {length} bytes at offset {offset}")]
    Read {
        /// First byte.
        offset: u64,
        /// Bytes wanted.
        length: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A read ended before its end.
    #[error("the device ended at offset {at}, short of its size")]
    Short {
        /// Where.
        at: u64,
    },
}

/// A block device, open past the page cache, that was checked to be the one meant.
#[derive(Debug)]
pub struct OpenDevice {
    descriptor: OwnedFd,
    number: DeviceNumber,
    size: u64,
}

impl OpenDevice {
    /// Opens `node` and checks that it is block device `number`. While the value lives, the device
    /// keeps its number: the kernel removes no map that is open.
    ///
    /// # Errors
    /// [`ProbeError`].
    pub fn open(node: &Path, number: DeviceNumber) -> Result<Self, ProbeError> {
        let failed =
            |errno: Errno| ProbeError::Open { node: node.display().to_string(), source: errno.into() };
        let flags = OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC;
        let descriptor = rustix::fs::open(node, flags, Mode::empty()).map_err(failed)?;
        let status = rustix::fs::fstat(&descriptor).map_err(failed)?;
        let found = DeviceNumber {
            major: rustix::fs::major(status.st_rdev),
            minor: rustix::fs::minor(status.st_rdev),
        };
        if FileType::from_raw_mode(status.st_mode) != FileType::BlockDevice || found != number {
            return Err(ProbeError::OtherDevice { node: node.display().to_string(), wanted: number });
        }
        let size = sys::block_size(descriptor.as_fd())
            .map_err(|source| ProbeError::Open { node: node.display().to_string(), source })?;
        Ok(Self { descriptor, number, size })
    }

    /// For commands through the same descriptor.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What is on it.
    ///
    /// # Errors
    /// [`ProbeError`]: it could not be told.
    pub fn content(&self) -> Result<Content, ProbeError> {
        content(self.descriptor.as_fd(), self.number, self.size)
    }
}

fn content(file: BorrowedFd<'_>, device: DeviceNumber, size: u64) -> Result<Content, ProbeError> {
    let ranges = signature_areas(size);
    let mut areas = Areas::new(size);
    let mut memory = Memory::new()?;
    for range in &ranges {
        // In pieces, through one small buffer: megabytes of fresh memory cost more than the reading.
        for piece in pieces(*range) {
            let bytes = read(file, piece, &mut memory)?;
            areas.add(piece.offset, bytes);
        }
    }
    if let Some(content) = areas.recognise() {
        return Ok(content);
    }
    if let Some(offset) = areas.first_used() {
        return Ok(Content::Foreign(format!("data of no known format (first at offset {offset})")));
    }
    Ok(Content::Blank(BlankScan { device, size, areas: ranges }))
}

/// A range in stretches of at most [`PIECE`].
fn pieces(range: ByteRange) -> impl Iterator<Item = ByteRange> {
    let end = range.offset + range.length;
    let starts = std::iter::successors(Some(range.offset), |offset| offset.checked_add(PIECE));
    starts
        .take_while(move |offset| *offset < end)
        .map(move |offset| ByteRange { offset, length: PIECE.min(end - offset) })
}

/// Bytes read at once.
const PIECE: u64 = 256 << 10;

/// Room for one piece, aligned as O_DIRECT wants it: as the device's blocks are (open(2), NOTES).
struct Memory {
    bytes: Vec<u8>,
    start: usize,
}

impl Memory {
    fn new() -> Result<Self, ProbeError> {
        let too_large = |_| Self::too_large();
        let length = usize::try_from(PIECE).map_err(too_large)?;
        let alignment = usize::try_from(ALIGNMENT).map_err(too_large)?;
        let bytes = vec![0; length + alignment];
        let start = bytes.as_ptr().align_offset(alignment);
        Ok(Self { bytes, start })
    }

    fn piece(&mut self, length: u64) -> Option<&mut [u8]> {
        let end = self.start.checked_add(usize::try_from(length).ok()?)?;
        self.bytes.get_mut(self.start..end)
    }

    fn too_large() -> ProbeError {
        ProbeError::Read { offset: 0, length: PIECE, source: io::ErrorKind::OutOfMemory.into() }
    }
}

/// All of a piece, or an error.
fn read<'a>(file: BorrowedFd<'_>, range: ByteRange, memory: &'a mut Memory) -> Result<&'a [u8], ProbeError> {
    let failed = |source: io::Error| ProbeError::Read { offset: range.offset, length: range.length, source };
    let buffer = memory.piece(range.length).ok_or_else(Memory::too_large)?;
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let at = range.offset + u64::try_from(done).unwrap_or(u64::MAX);
        match in_kernel(|| rustix::io::pread(file, rest, at)) {
            Ok(0) => return Err(ProbeError::Short { at }),
            Ok(length) => done += length,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed(errno.into())),
        }
    }
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::process::Command;

    use contract::FsType;

    use super::*;

    const MIB: u64 = 1 << 20;
    const NUMBER: DeviceNumber = DeviceNumber { major: 253, minor: 0 };

    fn image(size: u64) -> (tempfile::NamedTempFile, File) {
        let path = tempfile::NamedTempFile::new().unwrap();
        let file = File::options().read(true).write(true).open(path.path()).unwrap();
        file.set_len(size).unwrap();
        (path, file)
    }

    fn run(program: &str, arguments: &[&str], image: &tempfile::NamedTempFile) {
        let output = Command::new(program).args(arguments).arg(image.path()).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn of(file: &File) -> Content {
        content(file.as_fd(), NUMBER, file.metadata().unwrap().len()).unwrap()
    }

    fn foreign(file: &File) -> String {
        match of(file) {
            Content::Foreign(what) => what,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_ext4_is_recognised_with_its_uuid() {
        let (path, file) = image(64 * MIB);
        run("/usr/sbin/mkfs.ext4", &["-q", "-U", "0a1b2c3d-0001-0002-0003-000000000004"], &path);
        let Content::Filesystem(found) = of(&file) else { panic!("{:?}", of(&file)) };
        assert_eq!((found.kind, found.uuid.as_str()), (FsType::Ext4, "0a1b2c3d-0001-0002-0003-000000000004"));
    }

    #[test]
    fn an_xfs_is_recognised_with_its_uuid() {
        let (path, file) = image(320 * MIB);
        run("/usr/sbin/mkfs.xfs", &["-q", "-m", "uuid=0a1b2c3d-0001-0002-0003-000000000005"], &path);
        let Content::Filesystem(found) = of(&file) else { panic!("{:?}", of(&file)) };
        assert_eq!((found.kind, found.uuid.as_str()), (FsType::Xfs, "0a1b2c3d-0001-0002-0003-000000000005"));
    }

    #[test]
    fn an_ext2_is_foreign() {
        let (path, file) = image(64 * MIB);
        run("/usr/sbin/mkfs.ext2", &["-q"], &path);
        assert!(foreign(&file).contains("ext2"), "{}", foreign(&file));
    }

    #[test]
    fn an_ext4_whose_head_was_wiped_is_not_blank() {
        let (path, file) = image(256 * MIB);
        run("/usr/sbin/mkfs.ext4", &["-q", "-b", "4096", "-E", "nodiscard"], &path);
        file.write_all_at(&vec![0; 4 << 20], 0).unwrap();
        assert!(foreign(&file).contains("backup superblock"), "{}", foreign(&file));
    }

    #[test]
    fn an_xfs_whose_head_was_wiped_is_not_blank() {
        let (path, file) = image(320 * MIB);
        run("/usr/sbin/mkfs.xfs", &["-q"], &path);
        file.write_all_at(&vec![0; 4 << 20], 0).unwrap();
        assert!(foreign(&file).contains("xfs allocation group"), "{}", foreign(&file));
    }

    #[test]
    fn swap_is_foreign() {
        let (path, file) = image(16 * MIB);
        run("/usr/sbin/mkswap", &["-q"], &path);
        assert!(foreign(&file).contains("swap"), "{}", foreign(&file));
    }

    #[test]
    fn every_known_mark_is_named_where_it_stands() {
        let size = 512 * MIB;
        for (offset, mark, name) in [
            (0, b"LUKS\xba\xbe".as_slice(), "LUKS"),
            (0x4000, b"SKUL\xba\xbe", "LUKS2 secondary header"),
            (512, b"LABELONE", "LVM"),
            (512, b"EFI PART", "GPT"),
            (size - 512, b"EFI PART", "backup GPT"),
            (510, b"\x55\xaa", "MBR"),
            (4096, b"\xfc\x4e\x2b\xa9", "md"),
            (size - 64 * 1024, b"\xfc\x4e\x2b\xa9", "md"),
            (size - 8192, b"\xfc\x4e\x2b\xa9", "md"),
            (0x1_0040, b"_BHRfS_M", "btrfs"),
            (64 * MIB + 0x40, b"_BHRfS_M", "btrfs"),
            (3, b"NTFS    ", "NTFS"),
            (size - 1, b"\x01", "no known format"),
            (MIB, b"\x01", "no known format"),
        ] {
            let (_path, file) = image(size);
            file.write_all_at(mark, offset).unwrap();
            assert!(foreign(&file).contains(name), "{offset}: {} is not {name}", foreign(&file));
        }
    }

    #[test]
    fn a_raid_members_filesystem_is_not_taken_for_the_volumes() {
        let (path, file) = image(64 * MIB);
        run("/usr/sbin/mkfs.ext4", &["-q"], &path);
        file.write_all_at(b"\xfc\x4e\x2b\xa9", 64 * MIB - 8192).unwrap();
        assert!(foreign(&file).contains("md"), "{}", foreign(&file));
    }

    #[test]
    fn zeros_alone_are_blank_and_the_scan_says_where_it_looked() {
        let (_path, file) = image(512 * MIB);
        let Content::Blank(scan) = of(&file) else { panic!("{:?}", of(&file)) };
        assert_eq!((scan.device, scan.size), (NUMBER, 512 * MIB));
        assert_eq!(scan.areas, signature_areas(512 * MIB));
    }

    #[test]
    fn a_device_that_ends_early_or_cannot_be_read_is_not_blank() {
        let (path, file) = image(64 * MIB);
        assert!(matches!(content(file.as_fd(), NUMBER, 128 * MIB), Err(ProbeError::Short { .. })));
        let deaf = File::options().write(true).open(path.path()).unwrap();
        assert!(matches!(content(deaf.as_fd(), NUMBER, 64 * MIB), Err(ProbeError::Read { .. })));
    }

    #[test]
    fn a_node_that_is_no_block_device_is_not_opened() {
        let (path, _file) = image(MIB);
        assert!(OpenDevice::open(path.path(), NUMBER).is_err());
    }
}
