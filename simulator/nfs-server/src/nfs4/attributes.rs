//! Attributes: what GETATTR tells, what SETATTR sets (RFC 8881 §5, RFC 7530 §5).

use std::time::Duration;

use bytes::Bytes;

use crate::handle::FileHandle;
use crate::nfs4::compound::{Compound, Failure};
use crate::nfs4::operation::{Bitmap, MAX_TRANSFER, RawAttributes};
use crate::nfs4::state::{FileKey, StateId};
use crate::nfs4::status::Status;
use crate::tree::{
    Attributes, FileKind, LINK_MAX, MAX_FILE_SIZE, NAME_MAX, SetAttributes, SetTime, SpaceReport, Timestamp,
};
use crate::xdr::{Decoder, Encoder};

/// The numbers of attributes.
mod id {
    pub(super) const SUPPORTED_ATTRS: u32 = 0;
    pub(super) const TYPE: u32 = 1;
    pub(super) const FH_EXPIRE_TYPE: u32 = 2;
    pub(super) const CHANGE: u32 = 3;
    pub(super) const SIZE: u32 = 4;
    pub(super) const LINK_SUPPORT: u32 = 5;
    pub(super) const SYMLINK_SUPPORT: u32 = 6;
    pub(super) const NAMED_ATTR: u32 = 7;
    pub(super) const FSID: u32 = 8;
    pub(super) const UNIQUE_HANDLES: u32 = 9;
    pub(super) const LEASE_TIME: u32 = 10;
    pub(super) const RDATTR_ERROR: u32 = 11;
    pub(super) const ACLSUPPORT: u32 = 13;
    pub(super) const CANSETTIME: u32 = 15;
    pub(super) const CASE_INSENSITIVE: u32 = 16;
    pub(super) const CASE_PRESERVING: u32 = 17;
    pub(super) const CHOWN_RESTRICTED: u32 = 18;
    pub(super) const FILEHANDLE: u32 = 19;
    pub(super) const FILEID: u32 = 20;
    pub(super) const FILES_AVAIL: u32 = 21;
    pub(super) const FILES_FREE: u32 = 22;
    pub(super) const FILES_TOTAL: u32 = 23;
    pub(super) const HOMOGENEOUS: u32 = 26;
    pub(super) const MAXFILESIZE: u32 = 27;
    pub(super) const MAXLINK: u32 = 28;
    pub(super) const MAXNAME: u32 = 29;
    pub(super) const MAXREAD: u32 = 30;
    pub(super) const MAXWRITE: u32 = 31;
    pub(super) const MODE: u32 = 33;
    pub(super) const NO_TRUNC: u32 = 34;
    pub(super) const NUMLINKS: u32 = 35;
    pub(super) const OWNER: u32 = 36;
    pub(super) const OWNER_GROUP: u32 = 37;
    pub(super) const RAWDEV: u32 = 41;
    pub(super) const SPACE_AVAIL: u32 = 42;
    pub(super) const SPACE_FREE: u32 = 43;
    pub(super) const SPACE_TOTAL: u32 = 44;
    pub(super) const SPACE_USED: u32 = 45;
    pub(super) const TIME_ACCESS: u32 = 47;
    pub(super) const TIME_ACCESS_SET: u32 = 48;
    pub(super) const TIME_DELTA: u32 = 51;
    pub(super) const TIME_METADATA: u32 = 52;
    pub(super) const TIME_MODIFY: u32 = 53;
    pub(super) const TIME_MODIFY_SET: u32 = 54;
    pub(super) const MOUNTED_ON_FILEID: u32 = 55;
    pub(super) const SUPPATTR_EXCLCREAT: u32 = 75;
}

/// Attributes a client may set.
const SETTABLE: [u32; 6] =
    [id::SIZE, id::MODE, id::OWNER, id::OWNER_GROUP, id::TIME_ACCESS_SET, id::TIME_MODIFY_SET];
/// Set only, never got.
const WRITE_ONLY: [u32; 2] = [id::TIME_ACCESS_SET, id::TIME_MODIFY_SET];
/// Bound of an owner's name.
const MAX_OWNER: usize = 1024;
/// Whom "nobody" names.
const NOBODY: u32 = 65534;

impl Bitmap {
    pub(super) const EMPTY: Self = Self([0; 3]);

    const fn of(ids: &[u32]) -> Self {
        let mut words = [0; 3];
        let mut at = 0;
        while at < ids.len() {
            words[(ids[at] / 32) as usize] |= 1 << (ids[at] % 32);
            at += 1;
        }
        Self(words)
    }

    pub(super) fn has(self, id: u32) -> bool {
        self.0.get((id / 32) as usize).is_some_and(|word| word & (1 << (id % 32)) != 0)
    }

    fn and(self, other: Self) -> Self {
        let [a, b, c] = self.0;
        let [x, y, z] = other.0;
        Self([a & x, b & y, c & z])
    }

    fn without(self, other: Self) -> Self {
        let [x, y, z] = other.0;
        self.and(Self([!x, !y, !z]))
    }

    /// Of attributes for a new file, what is done to one that was there (RFC 8881 §18.16.3).
    pub(super) fn size_alone(self) -> Self {
        self.and(Self::of(&[id::SIZE]))
    }

    /// The attributes in it, in order.
    fn ids(self) -> impl Iterator<Item = u32> {
        (0..96).filter(move |id| self.has(*id))
    }

    /// Written without the words of zeros at its end.
    pub(super) fn put(self, to: &mut Encoder) {
        let length = self.0.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        // At most three.
        to.u32(length as u32);
        for word in self.0.iter().take(length) {
            to.u32(*word);
        }
    }

    /// What a minor version supports.
    pub(super) fn supported(minor: u32) -> Self {
        let all = Self::of(&[
            id::SUPPORTED_ATTRS,
            id::TYPE,
            id::FH_EXPIRE_TYPE,
            id::CHANGE,
            id::SIZE,
            id::LINK_SUPPORT,
            id::SYMLINK_SUPPORT,
            id::NAMED_ATTR,
            id::FSID,
            id::UNIQUE_HANDLES,
            id::LEASE_TIME,
            id::RDATTR_ERROR,
            id::ACLSUPPORT,
            id::CANSETTIME,
            id::CASE_INSENSITIVE,
            id::CASE_PRESERVING,
            id::CHOWN_RESTRICTED,
            id::FILEHANDLE,
            id::FILEID,
            id::FILES_AVAIL,
            id::FILES_FREE,
            id::FILES_TOTAL,
            id::HOMOGENEOUS,
            id::MAXFILESIZE,
            id::MAXLINK,
            id::MAXNAME,
            id::MAXREAD,
            id::MAXWRITE,
            id::MODE,
            id::NO_TRUNC,
            id::NUMLINKS,
            id::OWNER,
            id::OWNER_GROUP,
            id::RAWDEV,
            id::SPACE_AVAIL,
            id::SPACE_FREE,
            id::SPACE_TOTAL,
            id::SPACE_USED,
            id::TIME_ACCESS,
            id::TIME_ACCESS_SET,
            id::TIME_DELTA,
            id::TIME_METADATA,
            id::TIME_MODIFY,
            id::TIME_MODIFY_SET,
            id::MOUNTED_ON_FILEID,
            id::SUPPATTR_EXCLCREAT,
        ]);
        if minor == 0 { all.without(Self::of(&[id::SUPPATTR_EXCLCREAT])) } else { all }
    }
}

/// All that is told of one object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) attributes: Attributes,
    pub(super) handle: FileHandle,
    /// The file id of what it is mounted upon, or its own.
    pub(super) mounted_on: u64,
    pub(super) space: SpaceReport,
    pub(super) minor: u32,
    pub(super) lease: Duration,
}

impl Facts {
    /// Writes `fattr4`: those wanted that are supported.
    pub(super) fn put(&self, wanted: Bitmap, to: &mut Encoder) {
        let write_only = Bitmap::of(&WRITE_ONLY);
        let told = wanted.and(Bitmap::supported(self.minor)).without(write_only);
        told.put(to);
        let at = to.len();
        to.u32(0);
        for id in told.ids() {
            self.put_one(id, to);
        }
        let length = to.len().saturating_sub(at + 4);
        to.set_u32(at, u32::try_from(length).unwrap_or(u32::MAX));
    }

    fn put_one(&self, id: u32, to: &mut Encoder) {
        let of = &self.attributes;
        match id {
            id::SUPPORTED_ATTRS => Bitmap::supported(self.minor).put(to),
            id::TYPE => to.u32(kind_number(of.kind)),
            // FH4_PERSISTENT; rdattr_error OK; no ACLs.
            id::FH_EXPIRE_TYPE | id::RDATTR_ERROR | id::ACLSUPPORT => to.u32(0),
            id::CHANGE => to.u64(change_of(of)),
            id::SIZE => to.u64(of.size),
            id::LINK_SUPPORT
            | id::SYMLINK_SUPPORT
            | id::UNIQUE_HANDLES
            | id::CANSETTIME
            | id::CASE_PRESERVING
            | id::CHOWN_RESTRICTED
            | id::HOMOGENEOUS
            | id::NO_TRUNC => to.bool(true),
            id::NAMED_ATTR | id::CASE_INSENSITIVE => to.bool(false),
            id::FSID => {
                to.u64(of.fsid);
                to.u64(0);
            }
            id::LEASE_TIME => to.u32(u32::try_from(self.lease.as_secs()).unwrap_or(u32::MAX)),
            id::FILEHANDLE => to.opaque(&self.handle.to_bytes()),
            id::FILEID => to.u64(of.inode.0),
            id::FILES_AVAIL | id::FILES_FREE => to.u64(self.space.free_inodes),
            id::FILES_TOTAL => to.u64(self.space.total_inodes),
            id::MAXFILESIZE => to.u64(MAX_FILE_SIZE),
            id::MAXLINK => to.u32(LINK_MAX),
            id::MAXNAME => to.u32(NAME_MAX as u32),
            id::MAXREAD | id::MAXWRITE => to.u64(MAX_TRANSFER.into()),
            id::MODE => to.u32(of.mode),
            id::NUMLINKS => to.u32(of.links),
            id::OWNER => to.opaque(of.uid.to_string().as_bytes()),
            id::OWNER_GROUP => to.opaque(of.gid.to_string().as_bytes()),
            id::RAWDEV => {
                to.u32(of.device.0);
                to.u32(of.device.1);
            }
            id::SPACE_AVAIL | id::SPACE_FREE => to.u64(self.space.free_bytes),
            id::SPACE_TOTAL => to.u64(self.space.total_bytes),
            id::SPACE_USED => to.u64(of.used),
            id::TIME_ACCESS => put_time(to, of.accessed),
            id::TIME_DELTA => put_time(to, Timestamp { seconds: 0, nanoseconds: 1 }),
            id::TIME_METADATA => put_time(to, of.changed),
            id::TIME_MODIFY => put_time(to, of.modified),
            id::MOUNTED_ON_FILEID => to.u64(self.mounted_on),
            // What an exclusive create sets besides: all that can be set.
            id::SUPPATTR_EXCLCREAT => Bitmap::of(&SETTABLE).put(to),
            _ => {}
        }
    }
}

/// `changeid4`: the ctime, which no two changes of a tree share.
pub(super) fn change_of(attributes: &Attributes) -> u64 {
    u64::from(attributes.changed.seconds) << 32 | u64::from(attributes.changed.nanoseconds)
}

pub(super) fn file_key(attributes: &Attributes) -> FileKey {
    FileKey { fsid: attributes.fsid, inode: attributes.inode.0 }
}

fn kind_number(kind: FileKind) -> u32 {
    match kind {
        FileKind::Regular => 1,
        FileKind::Directory => 2,
        FileKind::BlockDevice => 3,
        FileKind::CharacterDevice => 4,
        FileKind::Symlink => 5,
        FileKind::Socket => 6,
        FileKind::Fifo => 7,
    }
}

/// `nfstime4`.
fn put_time(to: &mut Encoder, time: Timestamp) {
    to.u64(time.seconds.into());
    to.u32(time.nanoseconds);
}

fn time(from: &mut Decoder) -> Result<Timestamp, Status> {
    let (seconds, nanoseconds) = (from.u64()? as i64, from.u32()?);
    if nanoseconds >= 1_000_000_000 {
        return Err(Status::Invalid);
    }
    // The tree's times are v3's, from 1970 to 2106.
    let seconds = u32::try_from(seconds.max(0)).unwrap_or(u32::MAX);
    Ok(Timestamp { seconds, nanoseconds })
}

fn set_time(from: &mut Decoder) -> Result<SetTime, Status> {
    match from.u32()? {
        0 => Ok(SetTime::ToServerTime),
        1 => time(from).map(SetTime::To),
        _ => Err(Status::BadXdr),
    }
}

/// A user or group: a number (RFC 8881 §5.9), or one of the names that everybody knows.
fn owner(from: &mut Decoder) -> Result<u32, Status> {
    let text = from.opaque(MAX_OWNER)?;
    let text = std::str::from_utf8(&text).map_err(|_| Status::Invalid)?;
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_err(|_| Status::BadOwner);
    }
    match text.split('@').next() {
        Some("root") => Ok(0),
        Some("nobody" | "nogroup") => Ok(NOBODY),
        _ => Err(Status::BadOwner),
    }
}

impl RawAttributes {
    /// The wish to set them (RFC 8881 §5.5).
    pub(super) fn to_set(&self, minor: u32) -> Result<SetAttributes, Status> {
        if self.mask.without(Bitmap::supported(minor)) != Bitmap::EMPTY {
            return Err(Status::AttributeNotSupported);
        }
        if self.mask.without(Bitmap::of(&SETTABLE)) != Bitmap::EMPTY {
            return Err(Status::Invalid);
        }
        let mut from = Decoder::new(self.values.clone());
        let mut set = SetAttributes::default();
        for id in self.mask.ids() {
            match id {
                id::SIZE => set.size = Some(from.u64()?),
                id::MODE => set.mode = Some(require_mode(from.u32()?)?),
                id::OWNER => set.uid = Some(owner(&mut from)?),
                id::OWNER_GROUP => set.gid = Some(owner(&mut from)?),
                id::TIME_ACCESS_SET => set.accessed = set_time(&mut from)?,
                _ => set.modified = set_time(&mut from)?,
            }
        }
        if from.rest().is_empty() { Ok(set) } else { Err(Status::BadXdr) }
    }
}

fn require_mode(mode: u32) -> Result<u32, Status> {
    if mode & !0o7777 == 0 { Ok(mode) } else { Err(Status::Invalid) }
}

impl Compound<'_> {
    pub(super) fn get_attributes(&self, wanted: Bitmap, to: &mut Encoder) -> Result<(), Failure> {
        // RFC 8881 §18.7.3: what can only be set cannot be asked for.
        if wanted.and(Bitmap::of(&WRITE_ONLY)) != Bitmap::EMPTY {
            return Err(Status::Invalid.into());
        }
        self.facts(self.handle()?)?.put(wanted, to);
        Ok(())
    }

    pub(super) fn set_attributes(
        &self,
        state: StateId,
        attributes: &RawAttributes,
        to: &mut Encoder,
    ) -> Result<(), Failure> {
        let set = attributes.to_set(self.minor)?;
        if set.size.is_some() {
            let file = self.require_file()?;
            self.require_io(state, file, true)?;
        }
        self.alter(self.handle()?, |tree, number, access| {
            Ok(tree.set_attributes(number, &access.who, &set, None)?)
        })?;
        attributes.mask.put(to);
        Ok(())
    }

    /// VERIFY (`same`) and NVERIFY.
    pub(super) fn verify(&self, attributes: &RawAttributes, same: bool) -> Result<(), Failure> {
        let mask = attributes.mask;
        if mask.without(Bitmap::supported(self.minor)) != Bitmap::EMPTY {
            return Err(Status::AttributeNotSupported.into());
        }
        if mask.and(Bitmap::of(&WRITE_ONLY)) != Bitmap::EMPTY || mask.has(id::RDATTR_ERROR) {
            return Err(Status::Invalid.into());
        }
        let mut own = Encoder::default();
        self.facts(self.handle()?)?.put(mask, &mut own);
        let mut given = Encoder::default();
        mask.put(&mut given);
        given.opaque(&attributes.values);
        match (own.finish() == given.finish(), same) {
            (true, false) => Err(Status::Same.into()),
            (false, true) => Err(Status::NotSame.into()),
            _ => Ok(()),
        }
    }
}

/// `fattr4` of an entry whose attributes cannot be had: rdattr_error, if that is wanted.
pub(super) fn put_attribute_error(wanted: Bitmap, status: Status, to: &mut Encoder) -> bool {
    if !wanted.has(id::RDATTR_ERROR) {
        return false;
    }
    Bitmap::of(&[id::RDATTR_ERROR]).put(to);
    let value: Bytes = Bytes::copy_from_slice(&(status as u32).to_be_bytes());
    to.opaque(&value);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(ids: &[u32], values: Encoder) -> RawAttributes {
        RawAttributes { mask: Bitmap::of(ids), values: values.finish() }
    }

    #[test]
    fn attributes_to_set_are_read_in_the_order_of_their_numbers() {
        let mut values = Encoder::default();
        values.u64(4096);
        values.u32(0o640);
        values.opaque(b"1000");
        values.opaque(b"nobody@example.org");
        values.u32(1);
        values.u64(7);
        values.u32(9);
        let ids = [id::TIME_MODIFY_SET, id::SIZE, id::OWNER_GROUP, id::OWNER, id::MODE];
        let set = raw(&ids, values).to_set(1).unwrap();
        assert_eq!(
            (set.size, set.mode, set.uid, set.gid),
            (Some(4096), Some(0o640), Some(1000), Some(65534))
        );
        assert_eq!(set.modified, SetTime::To(Timestamp { seconds: 7, nanoseconds: 9 }));
        assert_eq!(set.accessed, SetTime::Keep);
    }

    #[test]
    fn what_cannot_be_set_is_told_from_what_is_not_known() {
        assert_eq!(raw(&[id::TYPE], Encoder::default()).to_set(1), Err(Status::Invalid));
        assert_eq!(raw(&[12], Encoder::default()).to_set(1), Err(Status::AttributeNotSupported));
        let mut excess = Encoder::default();
        excess.u64(1);
        excess.u32(0);
        assert_eq!(raw(&[id::SIZE], excess).to_set(1), Err(Status::BadXdr));
        let mut name = Encoder::default();
        name.opaque(b"alice");
        assert_eq!(raw(&[id::OWNER], name).to_set(1), Err(Status::BadOwner));
    }

    #[test]
    fn a_bitmap_ends_with_its_last_word_in_use() {
        let mut to = Encoder::default();
        Bitmap::of(&[33]).put(&mut to);
        Bitmap::EMPTY.put(&mut to);
        assert_eq!(&to.finish()[..], [0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
    }
}
