//! Data types of NFS v3 on the wire (RFC 1813 §2.6).

use bytes::Bytes;

use crate::handle::FileHandle;
use crate::tree::{
    Attributes, Creation, FileKind, NAME_MAX, Node, SetAttributes, SetTime, Timestamp, TreeError,
};
use crate::xdr::{Decoder, Encoder, XdrError};

/// Bound of a handle from a client (NFS3_FHSIZE).
const MAX_HANDLE: usize = 64;
/// Names and targets longer than any tree takes are read, to be refused by status and not as garbage.
const MAX_STRING: usize = 64 << 10;

/// `nfsstat3`, as far as this server has reason for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Status {
    Ok = 0,
    Perm = 1,
    NoEnt = 2,
    Access = 13,
    Exist = 17,
    CrossDevice = 18,
    NotDir = 20,
    IsDir = 21,
    Invalid = 22,
    FileTooBig = 27,
    NoSpace = 28,
    ReadOnly = 30,
    TooManyLinks = 31,
    NameTooLong = 63,
    NotEmpty = 66,
    QuotaExceeded = 69,
    Stale = 70,
    BadHandle = 10001,
    NotSync = 10002,
    TooSmall = 10005,
    BadType = 10007,
}

impl From<TreeError> for Status {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Stale => Self::Stale,
            TreeError::NotFound => Self::NoEnt,
            TreeError::AccessDenied => Self::Access,
            TreeError::NotPermitted => Self::Perm,
            TreeError::Exists => Self::Exist,
            TreeError::NotADirectory => Self::NotDir,
            TreeError::IsADirectory => Self::IsDir,
            TreeError::NotEmpty => Self::NotEmpty,
            TreeError::Invalid => Self::Invalid,
            TreeError::FileTooLarge => Self::FileTooBig,
            TreeError::NoSpace => Self::NoSpace,
            TreeError::NameTooLong => Self::NameTooLong,
            TreeError::TooManyLinks => Self::TooManyLinks,
            TreeError::Changed => Self::NotSync,
            TreeError::ReadOnly => Self::ReadOnly,
            TreeError::QuotaExceeded => Self::QuotaExceeded,
            TreeError::CrossDevice => Self::CrossDevice,
        }
    }
}

/// `stable_how`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Stability {
    Unstable = 0,
    DataSync = 1,
    FileSync = 2,
}

/// Attributes before and after a change (`wcc_data`), by which a client tells its own change from
/// another's and keeps its cache.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wcc {
    pub(super) before: Option<Attributes>,
    pub(super) after: Option<Attributes>,
}

pub(super) fn handle(from: &mut Decoder) -> Result<Bytes, XdrError> {
    from.opaque(MAX_HANDLE)
}

pub(super) fn string(from: &mut Decoder) -> Result<Bytes, XdrError> {
    from.opaque(MAX_STRING)
}

/// `diropargs3`: a directory, and a name in it.
pub(super) fn entry(from: &mut Decoder) -> Result<(Bytes, Bytes), XdrError> {
    Ok((handle(from)?, string(from)?))
}

pub(super) fn timestamp(from: &mut Decoder) -> Result<Timestamp, XdrError> {
    let (seconds, nanoseconds) = (from.u32()?, from.u32()?);
    if nanoseconds >= 1_000_000_000 {
        return Err(XdrError::UnknownValue { what: "nanoseconds", value: nanoseconds });
    }
    Ok(Timestamp { seconds, nanoseconds })
}

pub(super) fn stability(from: &mut Decoder) -> Result<Stability, XdrError> {
    match from.u32()? {
        0 => Ok(Stability::Unstable),
        1 => Ok(Stability::DataSync),
        2 => Ok(Stability::FileSync),
        value => Err(XdrError::UnknownValue { what: "stable_how", value }),
    }
}

fn set_time(from: &mut Decoder) -> Result<SetTime, XdrError> {
    match from.u32()? {
        0 => Ok(SetTime::Keep),
        1 => Ok(SetTime::ToServerTime),
        2 => timestamp(from).map(SetTime::To),
        value => Err(XdrError::UnknownValue { what: "time_how", value }),
    }
}

/// `sattr3`.
pub(super) fn set_attributes(from: &mut Decoder) -> Result<SetAttributes, XdrError> {
    Ok(SetAttributes {
        mode: from.option(Decoder::u32)?,
        uid: from.option(Decoder::u32)?,
        gid: from.option(Decoder::u32)?,
        size: from.option(Decoder::u64)?,
        accessed: set_time(from)?,
        modified: set_time(from)?,
    })
}

/// `createhow3`.
pub(super) fn creation(from: &mut Decoder) -> Result<Creation, XdrError> {
    match from.u32()? {
        0 => set_attributes(from).map(Creation::Unchecked),
        1 => set_attributes(from).map(Creation::Guarded),
        2 => from.fixed().map(Creation::Exclusive),
        value => Err(XdrError::UnknownValue { what: "createmode3", value }),
    }
}

pub(super) fn put_status(to: &mut Encoder, status: Status) {
    to.u32(status as u32);
}

fn put_timestamp(to: &mut Encoder, time: Timestamp) {
    to.u32(time.seconds);
    to.u32(time.nanoseconds);
}

/// `fattr3`.
pub(super) fn put_attributes(to: &mut Encoder, of: Attributes) {
    to.u32(match of.kind {
        FileKind::Regular => 1,
        FileKind::Directory => 2,
        FileKind::BlockDevice => 3,
        FileKind::CharacterDevice => 4,
        FileKind::Symlink => 5,
        FileKind::Socket => 6,
        FileKind::Fifo => 7,
    });
    for word in [of.mode, of.links, of.uid, of.gid] {
        to.u32(word);
    }
    to.u64(of.size);
    to.u64(of.used);
    to.u32(of.device.0);
    to.u32(of.device.1);
    to.u64(of.fsid);
    to.u64(of.inode.0);
    put_timestamp(to, of.accessed);
    put_timestamp(to, of.modified);
    put_timestamp(to, of.changed);
}

/// `post_op_attr`.
pub(super) fn put_optional_attributes(to: &mut Encoder, of: Option<Attributes>) {
    to.option(of, put_attributes);
}

/// `wcc_data`.
pub(super) fn put_wcc(to: &mut Encoder, wcc: Wcc) {
    to.option(wcc.before, |to, before| {
        to.u64(before.size);
        put_timestamp(to, before.modified);
        put_timestamp(to, before.changed);
    });
    put_optional_attributes(to, wcc.after);
}

/// `nfs_fh3`.
pub(crate) fn put_handle(to: &mut Encoder, fsid: u64, node: Node) {
    to.opaque(&FileHandle { fsid, node }.to_bytes());
}

/// The longest name a server tells of in PATHCONF.
pub(super) const PATHCONF_NAME_MAX: u32 = NAME_MAX as u32;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn attributes_take_the_84_bytes_of_fattr3() {
        let tree = crate::FileTree::new(1, crate::RootAttributes { mode: 0o40755, uid: 1, gid: 2 });
        let attributes = tree.look().attributes(crate::tree::InodeNumber::ROOT).unwrap();
        let mut to = Encoder::default();
        put_attributes(&mut to, attributes);
        let bytes = to.finish();
        assert_eq!(bytes.len(), 84);
        assert_eq!(&bytes[..20], [0, 0, 0, 2, 0, 0, 1, 0xed, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
    }

    #[test]
    fn set_attributes_are_read_from_their_bytes() {
        let words: [u32; 11] = [1, 0o600, 0, 0, 1, 0, 4096, 1, 2, 10, 20];
        let mut from = Decoder::new(words.iter().flat_map(|word| word.to_be_bytes()).collect());
        let set = set_attributes(&mut from).unwrap();
        assert_eq!((set.mode, set.uid, set.gid, set.size), (Some(0o600), None, None, Some(4096)));
        assert_eq!(set.accessed, SetTime::ToServerTime);
        assert_eq!(set.modified, SetTime::To(Timestamp { seconds: 10, nanoseconds: 20 }));
        assert!(from.rest().is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic(noise in proptest::collection::vec(any::<u8>(), 0..120)) {
            let from = || Decoder::new(noise.clone().into());
            let _ = (entry(&mut from()), creation(&mut from()), stability(&mut from()));
        }
    }
}
