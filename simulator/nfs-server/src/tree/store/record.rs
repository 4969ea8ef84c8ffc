//! Records: the effects of which changes are made, as bytes (little endian).

use crate::tree::attributes::{FileKind, Timestamp};
use crate::tree::content::Content;
use crate::tree::directory::Directory;
use crate::tree::inode::{Inode, InodeNumber, Kind};
use crate::tree::quota::Quota;
use crate::tree::space::Settings;

/// One effect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::tree) enum Record<'data> {
    /// The first of every file: whose it is, and which in their order.
    File {
        fsid: u64,
        sequence: u64,
    },
    /// The last of a checkpoint.
    End,
    Settings {
        settings: Settings,
        next_inode: u64,
        last_change: Timestamp,
    },
    /// An inode made, or its attributes changed; its bytes or entries come apart.
    Inode {
        number: InodeNumber,
        meta: Meta<'data>,
    },
    Gone {
        number: InodeNumber,
    },
    Entry {
        dir: InodeNumber,
        cookie: u64,
        name: &'data [u8],
        inode: InodeNumber,
    },
    NoEntry {
        dir: InodeNumber,
        name: &'data [u8],
    },
    Data {
        number: InodeNumber,
        offset: u64,
        data: &'data [u8],
    },
    Size {
        number: InodeNumber,
        size: u64,
    },
    Qtree {
        id: u32,
        root: InodeNumber,
        quota: Quota,
    },
    NoQtree {
        id: u32,
    },
    Snapshot {
        id: u32,
        name: &'data [u8],
        created: Timestamp,
    },
    SnapshotName {
        id: u32,
        name: &'data [u8],
    },
    NoSnapshot {
        id: u32,
    },
    Restore {
        id: u32,
    },
}

/// An inode without its bytes or entries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::tree) struct Meta<'data> {
    generation: u32,
    qtree: u32,
    mode: u32,
    links: u32,
    uid: u32,
    gid: u32,
    times: [Timestamp; 3],
    kind: MetaKind<'data>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum MetaKind<'data> {
    File { created_by: Option<[u8; 8]> },
    Directory { parent: InodeNumber, next_cookie: u64 },
    Symlink(&'data [u8]),
    BlockDevice(u32, u32),
    CharacterDevice(u32, u32),
    Fifo,
    Socket,
}

impl<'data> Meta<'data> {
    pub(in crate::tree) fn of(inode: &'data Inode) -> Self {
        let kind = match &inode.kind {
            Kind::File { created_by, .. } => MetaKind::File { created_by: *created_by },
            Kind::Directory(directory) => {
                MetaKind::Directory { parent: directory.parent(), next_cookie: directory.next_cookie() }
            }
            Kind::Symlink(target) => MetaKind::Symlink(target),
            Kind::Device { kind: FileKind::BlockDevice, device } => MetaKind::BlockDevice(device.0, device.1),
            Kind::Device { device, .. } => MetaKind::CharacterDevice(device.0, device.1),
            Kind::Fifo => MetaKind::Fifo,
            Kind::Socket => MetaKind::Socket,
        };
        Self {
            generation: inode.generation,
            qtree: inode.qtree,
            mode: inode.mode,
            links: inode.links,
            uid: inode.uid,
            gid: inode.gid,
            times: [inode.accessed, inode.modified, inode.changed],
            kind,
        }
    }

    /// The latest of its times that only the server sets.
    pub(super) fn changed(&self) -> Timestamp {
        let [_, _, changed] = self.times;
        changed
    }

    /// The inode, empty.
    pub(super) fn to_inode(self) -> Inode {
        let kind = match self.kind {
            MetaKind::File { created_by } => Kind::File { content: Content::default(), created_by },
            MetaKind::Directory { parent, next_cookie } => {
                let mut directory = Directory::new(parent);
                directory.keep_cookies_above(next_cookie);
                Kind::Directory(directory)
            }
            MetaKind::Symlink(target) => Kind::Symlink(target.into()),
            MetaKind::BlockDevice(major, minor) => {
                Kind::Device { kind: FileKind::BlockDevice, device: (major, minor) }
            }
            MetaKind::CharacterDevice(major, minor) => {
                Kind::Device { kind: FileKind::CharacterDevice, device: (major, minor) }
            }
            MetaKind::Fifo => Kind::Fifo,
            MetaKind::Socket => Kind::Socket,
        };
        let [accessed, modified, changed] = self.times;
        Inode {
            generation: self.generation,
            qtree: self.qtree,
            kind,
            mode: self.mode,
            links: self.links,
            uid: self.uid,
            gid: self.gid,
            accessed,
            modified,
            changed,
        }
    }
}

impl<'data> Record<'data> {
    pub(super) fn encode(&self, to: &mut Vec<u8>) {
        match *self {
            Self::File { fsid, sequence } => put(to, 1, &[fsid, sequence]),
            Self::End => put(to, 2, &[]),
            Self::Settings { settings, next_inode, last_change } => {
                put(to, 3, &[settings.capacity, next_inode]);
                to.extend([settings.reserve_percent, settings.snapshots_visible.into()]);
                put_time(to, last_change);
            }
            Self::Inode { number, meta } => {
                put(to, 4, &[number.0]);
                meta.encode(to);
            }
            Self::Gone { number } => put(to, 5, &[number.0]),
            Self::Entry { dir, cookie, name, inode } => {
                put(to, 6, &[dir.0, cookie, inode.0]);
                put_bytes(to, name);
            }
            Self::NoEntry { dir, name } => {
                put(to, 7, &[dir.0]);
                put_bytes(to, name);
            }
            Self::Data { number, offset, data } => {
                to.reserve(data.len() + 64);
                put(to, 8, &[number.0, offset]);
                put_bytes(to, data);
            }
            Self::Size { number, size } => put(to, 9, &[number.0, size]),
            Self::Qtree { id, root, quota } => {
                // No limit is as good as the largest one.
                let limit = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
                put(to, 10, &[id.into(), root.0, limit(quota.bytes), limit(quota.files)]);
            }
            Self::NoQtree { id } => put(to, 11, &[id.into()]),
            Self::Snapshot { id, name, created } => {
                put(to, 12, &[id.into()]);
                put_time(to, created);
                put_bytes(to, name);
            }
            Self::SnapshotName { id, name } => {
                put(to, 13, &[id.into()]);
                put_bytes(to, name);
            }
            Self::NoSnapshot { id } => put(to, 14, &[id.into()]),
            Self::Restore { id } => put(to, 15, &[id.into()]),
        }
    }

    /// Reads one record; `None` if these bytes are none.
    pub(super) fn decode(from: &mut &'data [u8]) -> Option<Self> {
        let [tag] = take(from)?;
        Some(match tag {
            1 => Self::File { fsid: long(from)?, sequence: long(from)? },
            2 => Self::End,
            3 => {
                let (capacity, next_inode) = (long(from)?, long(from)?);
                let [reserve_percent, visible] = take(from)?;
                let settings = Settings { capacity, reserve_percent, snapshots_visible: visible != 0 };
                Self::Settings { settings, next_inode, last_change: time(from)? }
            }
            4 => Self::Inode { number: inode(from)?, meta: Meta::decode(from)? },
            5 => Self::Gone { number: inode(from)? },
            6 => {
                let (dir, cookie, inode) = (inode(from)?, long(from)?, inode(from)?);
                Self::Entry { dir, cookie, name: bytes(from)?, inode }
            }
            7 => Self::NoEntry { dir: inode(from)?, name: bytes(from)? },
            8 => Self::Data { number: inode(from)?, offset: long(from)?, data: bytes(from)? },
            9 => Self::Size { number: inode(from)?, size: long(from)? },
            10 => {
                let (id, root) = (id(from)?, inode(from)?);
                let limit = |limit| (limit != u64::MAX).then_some(limit);
                let quota = Quota { bytes: limit(long(from)?), files: limit(long(from)?) };
                Self::Qtree { id, root, quota }
            }
            11 => Self::NoQtree { id: id(from)? },
            12 => {
                let (id, created) = (id(from)?, time(from)?);
                Self::Snapshot { id, name: bytes(from)?, created }
            }
            13 => Self::SnapshotName { id: id(from)?, name: bytes(from)? },
            14 => Self::NoSnapshot { id: id(from)? },
            15 => Self::Restore { id: id(from)? },
            _ => return None,
        })
    }
}

impl<'data> Meta<'data> {
    fn encode(&self, to: &mut Vec<u8>) {
        for word in [self.generation, self.qtree, self.mode, self.links, self.uid, self.gid] {
            to.extend(word.to_le_bytes());
        }
        for time in self.times {
            put_time(to, time);
        }
        match self.kind {
            MetaKind::File { created_by: None } => to.push(1),
            MetaKind::File { created_by: Some(verifier) } => {
                to.push(2);
                to.extend(verifier);
            }
            MetaKind::Directory { parent, next_cookie } => put(to, 3, &[parent.0, next_cookie]),
            MetaKind::Symlink(target) => {
                to.push(4);
                put_bytes(to, target);
            }
            MetaKind::BlockDevice(major, minor) => put(to, 5, &[major.into(), minor.into()]),
            MetaKind::CharacterDevice(major, minor) => put(to, 6, &[major.into(), minor.into()]),
            MetaKind::Fifo => to.push(7),
            MetaKind::Socket => to.push(8),
        }
    }

    fn decode(from: &mut &'data [u8]) -> Option<Self> {
        let (generation, qtree, mode) = (word(from)?, word(from)?, word(from)?);
        let (links, uid, gid) = (word(from)?, word(from)?, word(from)?);
        let times = [time(from)?, time(from)?, time(from)?];
        let [tag] = take(from)?;
        let kind = match tag {
            1 => MetaKind::File { created_by: None },
            2 => MetaKind::File { created_by: Some(take(from)?) },
            3 => MetaKind::Directory { parent: inode(from)?, next_cookie: long(from)? },
            4 => MetaKind::Symlink(bytes(from)?),
            5 => MetaKind::BlockDevice(id(from)?, id(from)?),
            6 => MetaKind::CharacterDevice(id(from)?, id(from)?),
            7 => MetaKind::Fifo,
            8 => MetaKind::Socket,
            _ => return None,
        };
        Some(Self { generation, qtree, mode, links, uid, gid, times, kind })
    }
}

fn put(to: &mut Vec<u8>, tag: u8, numbers: &[u64]) {
    to.push(tag);
    for number in numbers {
        to.extend(number.to_le_bytes());
    }
}

fn put_time(to: &mut Vec<u8>, time: Timestamp) {
    to.extend(time.seconds.to_le_bytes());
    to.extend(time.nanoseconds.to_le_bytes());
}

/// Names and the data of one call: their length fits 32 bits.
fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    to.extend_from_slice(bytes);
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*taken)
}

fn word(from: &mut &[u8]) -> Option<u32> {
    take(from).map(u32::from_le_bytes)
}

fn long(from: &mut &[u8]) -> Option<u64> {
    take(from).map(u64::from_le_bytes)
}

fn inode(from: &mut &[u8]) -> Option<InodeNumber> {
    long(from).map(InodeNumber)
}

fn id(from: &mut &[u8]) -> Option<u32> {
    u32::try_from(long(from)?).ok()
}

fn time(from: &mut &[u8]) -> Option<Timestamp> {
    Some(Timestamp { seconds: word(from)?, nanoseconds: word(from)? })
}

fn bytes<'data>(from: &mut &'data [u8]) -> Option<&'data [u8]> {
    let length = word(from)? as usize;
    let (taken, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(taken)
}
