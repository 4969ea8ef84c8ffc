//! Operations on one inode: its bytes and its attributes.

use bytes::Bytes;

use crate::tree::Tree;
use crate::tree::attributes::{SetAttributes, SetTime, Timestamp};
use crate::tree::content::Content;
use crate::tree::error::TreeError;
use crate::tree::inode::{Inode, InodeNumber, Kind};
use crate::tree::permission::{Identity, Right, SET_GID, SET_UID};

/// The largest file: 16 TiB, as on a FlexVol without large-file support.
pub(crate) const MAX_FILE_SIZE: u64 = 16 << 40;

/// A readable range of a file.
#[derive(Debug)]
pub(crate) struct Readable<'tree> {
    content: &'tree Content,
    offset: u64,
    /// Bytes to read: what was asked for, cut at the end of the file.
    pub(crate) length: usize,
    /// Does the range reach the end of the file?
    pub(crate) reaches_end: bool,
}

impl Readable<'_> {
    /// Hands out the bytes, piece by piece, without copying them.
    pub(crate) fn lend(&self, each: impl FnMut(Bytes)) {
        self.content.lend(self.offset, self.length, each);
    }
}

impl Tree {
    pub(crate) fn read(
        &self,
        number: InodeNumber,
        who: &Identity,
        offset: u64,
        count: u32,
    ) -> Result<Readable<'_>, TreeError> {
        let inode = self.inode(number)?;
        let content = inode.content()?;
        inode.require_data_right(who, Right::Read)?;
        let left = content.size().saturating_sub(offset);
        let length = u64::from(count).min(left);
        Ok(Readable { content, offset, length: length as usize, reaches_end: length == left })
    }

    /// Writes all of `data`, or nothing; the reply waits until it is durable.
    pub(crate) fn write(
        &mut self,
        number: InodeNumber,
        who: &Identity,
        offset: u64,
        data: &[u8],
    ) -> Result<(), TreeError> {
        self.require_write(number, who, offset, data)?;
        self.uncommitted.remove(&number);
        self.put_written(number, who, offset, data)
    }

    /// As [`Self::write`], but a power cut before [`Self::commit`] may lose it (RFC 1813 §3.3.7
    /// UNSTABLE).
    pub(crate) fn write_unstable(
        &mut self,
        number: InodeNumber,
        who: &Identity,
        offset: u64,
        data: &[u8],
    ) -> Result<(), TreeError> {
        self.require_write(number, who, offset, data)?;
        self.changes.is_unstable();
        let committed = self.image.find(number)?.content()?;
        self.uncommitted.entry(number).or_insert_with(|| committed.clone());
        self.put_written(number, who, offset, data)
    }

    fn require_write(
        &self,
        number: InodeNumber,
        who: &Identity,
        offset: u64,
        data: &[u8],
    ) -> Result<(), TreeError> {
        self.require_present(number)?;
        let inode = self.inode(number)?;
        let content = inode.content()?;
        inode.require_data_right(who, Right::Write)?;
        if offset.checked_add(data.len() as u64).is_none_or(|end| end > MAX_FILE_SIZE) {
            return Err(TreeError::FileTooLarge);
        }
        self.require_room(inode.qtree, content.foresee(offset, data.len(), self.snapshots.newest()))
    }

    fn put_written(
        &mut self,
        number: InodeNumber,
        who: &Identity,
        offset: u64,
        data: &[u8],
    ) -> Result<(), TreeError> {
        if data.is_empty() {
            return Ok(());
        }
        let now = self.tick();
        self.put_data(number, offset, data)?;
        let inode = self.inode_mut(number)?;
        inode.touch(now);
        if !who.is_root() {
            inode.mode &= !privilege_bits(inode);
        }
        Ok(())
    }

    /// Makes what was written to the file safe from a power cut; the reply waits for that.
    pub(crate) fn commit(&mut self, number: InodeNumber) -> Result<(), TreeError> {
        self.require_present(number)?;
        self.inode(number)?.content()?;
        self.uncommitted.remove(&number);
        self.changes.require_durable();
        Ok(())
    }

    /// A power cut: files lose what was written unstably since their last commit, whole writes each.
    /// Returns how many files did.
    pub(super) fn cut_power(&mut self) -> Result<usize, TreeError> {
        let lost: Vec<_> = self.uncommitted.drain().collect();
        for (number, committed) in &lost {
            self.put_content(*number, committed)?;
        }
        self.count_newest();
        self.verifier = rand::random();
        Ok(lost.len())
    }

    pub(crate) fn read_link(&self, number: InodeNumber) -> Result<&[u8], TreeError> {
        match &self.inode(number)?.kind {
            Kind::Symlink(target) => Ok(target),
            _ => Err(TreeError::Invalid),
        }
    }

    /// Sets attributes; all or, where one is not allowed, none. With `guard`, only if the inode's
    /// ctime is still that.
    pub(crate) fn set_attributes(
        &mut self,
        number: InodeNumber,
        who: &Identity,
        set: &SetAttributes,
        guard: Option<Timestamp>,
    ) -> Result<(), TreeError> {
        self.require_present(number)?;
        let inode = self.inode(number)?;
        if guard.is_some_and(|ctime| ctime != inode.changed) {
            return Err(TreeError::Changed);
        }
        require_owner_changes(inode, who, set)?;
        require_times(inode, who, set)?;
        if let Some(size) = set.size {
            inode.content()?;
            inode.require_data_right(who, Right::Write)?;
            if size > MAX_FILE_SIZE {
                return Err(TreeError::FileTooLarge);
            }
        }
        self.apply_attributes(number, who, set)
    }

    pub(super) fn apply_attributes(
        &mut self,
        number: InodeNumber,
        who: &Identity,
        set: &SetAttributes,
    ) -> Result<(), TreeError> {
        let now = self.tick();
        if let Some(size) = set.size {
            self.uncommitted.remove(&number);
            self.put_size(number, size)?;
        }
        let inode = self.inode_mut(number)?;
        if set.size.is_some() {
            inode.modified = now;
            if !who.is_root() {
                inode.mode &= !privilege_bits(inode);
            }
        }
        if set.uid.is_some() || set.gid.is_some() {
            inode.mode &= !privilege_bits(inode);
        }
        inode.uid = set.uid.unwrap_or(inode.uid);
        inode.gid = set.gid.unwrap_or(inode.gid);
        if let Some(mode) = set.mode {
            let outsider = !who.is_root() && !who.is_in_group(inode.gid) && !inode.is_directory();
            inode.mode = mode & 0o7777 & if outsider { !SET_GID } else { !0 };
        }
        set_time(&mut inode.accessed, set.accessed, now);
        set_time(&mut inode.modified, set.modified, now);
        inode.changed = now;
        Ok(())
    }
}

/// The bits by which a program runs as its owner or group: lost when it is written or given away.
fn privilege_bits(inode: &Inode) -> u32 {
    match (inode.is_directory(), inode.mode & 0o010 != 0) {
        (true, _) => 0,
        (false, true) => SET_UID | SET_GID,
        (false, false) => SET_UID,
    }
}

/// Mode and owner are the owner's to change; away from itself root alone gives a file (POSIX
/// `_POSIX_CHOWN_RESTRICTED`; ONTAP `chown_mode restricted`).
fn require_owner_changes(inode: &Inode, who: &Identity, set: &SetAttributes) -> Result<(), TreeError> {
    let gives_away = set.uid.is_some_and(|uid| uid != inode.uid);
    let regroups = set.gid.filter(|gid| *gid != inode.gid);
    let changes = set.mode.is_some() || set.uid.is_some() || set.gid.is_some();
    if (changes && !inode.is_owned_by(who))
        || (gives_away && !who.is_root())
        || regroups.is_some_and(|gid| !who.is_root() && !who.is_in_group(gid))
    {
        return Err(TreeError::NotPermitted);
    }
    Ok(())
}

/// The owner sets any time; who may write sets the present.
fn require_times(inode: &Inode, who: &Identity, set: &SetAttributes) -> Result<(), TreeError> {
    for time in [set.accessed, set.modified] {
        match time {
            SetTime::Keep => {}
            _ if inode.is_owned_by(who) => {}
            SetTime::ToServerTime => inode.require_right(who, Right::Write)?,
            SetTime::To(_) => return Err(TreeError::NotPermitted),
        }
    }
    Ok(())
}

fn set_time(time: &mut Timestamp, set: SetTime, now: Timestamp) {
    match set {
        SetTime::Keep => {}
        SetTime::ToServerTime => *time = now,
        SetTime::To(wanted) => *time = wanted,
    }
}
