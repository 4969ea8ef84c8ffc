//! Operations on names: look up, make, link, rename, remove, list.

use crate::tree::Tree;
use crate::tree::attributes::{FileKind, SetAttributes};
use crate::tree::content::Content;
use crate::tree::directory::{Directory, EntryName, NAME_MAX};
use crate::tree::error::TreeError;
use crate::tree::inode::{Inode, InodeNumber, Kind};
use crate::tree::permission::{Identity, Right, SET_GID};

/// Links an inode may have; ONTAP's limit.
pub(crate) const LINK_MAX: u32 = 100_000;
/// The longest target of a symbolic link.
const TARGET_MAX: usize = 4095;

/// How CREATE treats a name that exists (RFC 1813 §3.3.8 createmode3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Creation {
    /// Takes the existing file, and cuts it if a size is given.
    Unchecked(SetAttributes),
    /// Fails.
    Guarded(SetAttributes),
    /// Fails, unless this very request made the file.
    Exclusive([u8; 8]),
}

/// An inode to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NewNode {
    Directory,
    Symlink(Vec<u8>),
    Device { kind: FileKind, device: (u32, u32) },
    Fifo,
    Socket,
}

impl Tree {
    /// What `name` means in `dir`; `.` and `..` included. The root's `..` is the root.
    pub(crate) fn lookup(
        &self,
        dir: InodeNumber,
        who: &Identity,
        name: &[u8],
    ) -> Result<InodeNumber, TreeError> {
        let inode = self.inode(dir)?;
        let directory = inode.directory()?;
        inode.require_right(who, Right::Execute)?;
        match name {
            b"." => Ok(dir),
            b".." => Ok(self.parent_of(dir, directory.parent())),
            _ if name.len() > NAME_MAX => Err(TreeError::NameTooLong),
            _ => {
                if let Some(found) = self.lookup_snapshot(dir, name) {
                    return Ok(found);
                }
                let name = EntryName::parse(name).map_err(|_| TreeError::NotFound)?;
                let found = directory.find(&name).ok_or(TreeError::NotFound)?;
                Ok(found.seen_in(dir.view()))
            }
        }
    }

    /// Entries of a directory behind `cookie` (0: all): cookie, name, inode.
    pub(crate) fn entries_behind(
        &self,
        dir: InodeNumber,
        who: &Identity,
        cookie: u64,
    ) -> Result<impl Iterator<Item = (u64, &[u8], InodeNumber)>, TreeError> {
        let inode = self.inode(dir)?;
        let directory = inode.directory()?;
        inode.require_right(who, Right::Read)?;
        let own = directory.entries_behind(cookie, dir).map(move |(cookie, name, number)| match name {
            b"." => (cookie, name, dir),
            b".." => (cookie, name, self.parent_of(dir, number)),
            _ => (cookie, name, number.seen_in(dir.view())),
        });
        let besides = self.snapshot_entries(dir).into_iter().filter(move |(at, ..)| *at > cookie);
        Ok(own.chain(besides))
    }

    /// Makes a regular file.
    pub(crate) fn create(
        &mut self,
        dir: InodeNumber,
        who: &Identity,
        name: &[u8],
        how: Creation,
    ) -> Result<InodeNumber, TreeError> {
        let entry = self.require_free_name(dir, name)?;
        if let Some(existing) = self.inode(dir)?.directory()?.find(&entry) {
            self.inode(dir)?.require_right(who, Right::Execute)?;
            return self.accept_existing(existing, who, how).map(|()| existing);
        }
        let (set, created_by) = match how {
            Creation::Unchecked(set) | Creation::Guarded(set) => (set, None),
            Creation::Exclusive(verifier) => (SetAttributes::default(), Some(verifier)),
        };
        self.insert(dir, who, entry, Kind::File { content: Content::default(), created_by }, &set)
    }

    fn accept_existing(
        &mut self,
        existing: InodeNumber,
        who: &Identity,
        how: Creation,
    ) -> Result<(), TreeError> {
        match (how, &self.inode(existing)?.kind) {
            (Creation::Unchecked(set), Kind::File { .. }) => match set.size {
                Some(_) => {
                    let cut = SetAttributes { size: set.size, ..SetAttributes::default() };
                    self.set_attributes(existing, who, &cut, None)
                }
                None => Ok(()),
            },
            (Creation::Exclusive(verifier), Kind::File { created_by, .. })
                if *created_by == Some(verifier) =>
            {
                Ok(())
            }
            _ => Err(TreeError::Exists),
        }
    }

    /// Makes anything else.
    pub(crate) fn make(
        &mut self,
        dir: InodeNumber,
        who: &Identity,
        name: &[u8],
        node: NewNode,
        set: &SetAttributes,
    ) -> Result<InodeNumber, TreeError> {
        let entry = self.require_free_name(dir, name)?;
        let kind = match node {
            NewNode::Directory => Kind::Directory(Directory::new(dir)),
            NewNode::Symlink(target) if target.len() > TARGET_MAX => return Err(TreeError::NameTooLong),
            NewNode::Symlink(target) => Kind::Symlink(target.into()),
            NewNode::Device { .. } if !who.is_root() => return Err(TreeError::NotPermitted),
            NewNode::Device { kind, device } => Kind::Device { kind, device },
            NewNode::Fifo => Kind::Fifo,
            NewNode::Socket => Kind::Socket,
        };
        if self.inode(dir)?.directory()?.find(&entry).is_some() {
            return Err(TreeError::Exists);
        }
        self.insert(dir, who, entry, kind, set)
    }

    fn insert(
        &mut self,
        dir: InodeNumber,
        who: &Identity,
        name: EntryName,
        kind: Kind,
        set: &SetAttributes,
    ) -> Result<InodeNumber, TreeError> {
        let parent = self.inode(dir)?;
        parent.directory()?;
        require_entry_change(parent, who)?;
        let is_directory = matches!(kind, Kind::Directory(_));
        if is_directory && parent.links >= LINK_MAX {
            return Err(TreeError::TooManyLinks);
        }
        let qtree = parent.qtree;
        self.require_inode(qtree)?;
        let inherits = parent.mode & SET_GID != 0;
        let gid = if inherits { parent.gid } else { who.gid };
        let set_gid = if inherits && is_directory { SET_GID } else { 0 };
        let mode = if matches!(kind, Kind::Symlink(_)) { Some(0o777) } else { set.mode };
        // Whose a new inode is, root alone says (RFC 1813 §3.3.8 leaves it open; knfsd does so too).
        let (uid_wanted, gid_wanted) = if who.is_root() { (set.uid, set.gid) } else { (None, None) };
        let now = self.tick();
        let number = self.take_number()?;
        self.put_inode(number, Inode { qtree, ..Inode::new(kind, 0, who.uid, gid, now) });
        let initial = SetAttributes {
            mode: Some(mode.unwrap_or(0) | set_gid),
            uid: uid_wanted,
            gid: gid_wanted,
            size: set.size.filter(|_| !is_directory),
            ..*set
        };
        if let Err(error) = self.initialise(number, who, &initial) {
            self.drop_inode(number);
            return Err(error);
        }
        self.put_entry(dir, name, number)?;
        let parent = self.inode_mut(dir)?;
        parent.links += u32::from(is_directory);
        parent.touch(now);
        Ok(number)
    }

    fn initialise(
        &mut self,
        number: InodeNumber,
        who: &Identity,
        set: &SetAttributes,
    ) -> Result<(), TreeError> {
        let is_file = self.inode(number)?.content().is_ok();
        let size = set.size.filter(|_| is_file);
        if size.is_some_and(|size| size > super::MAX_FILE_SIZE) {
            return Err(TreeError::FileTooLarge);
        }
        self.apply_attributes(number, who, &SetAttributes { size, ..*set })
    }

    /// Gives an inode a further name.
    pub(crate) fn link(
        &mut self,
        target: InodeNumber,
        dir: InodeNumber,
        who: &Identity,
        name: &[u8],
    ) -> Result<(), TreeError> {
        self.require_present(target)?;
        let entry = self.require_free_name(dir, name)?;
        let inode = self.inode(target)?;
        if inode.is_directory() {
            return Err(TreeError::IsADirectory);
        }
        if inode.links >= LINK_MAX {
            return Err(TreeError::TooManyLinks);
        }
        let parent = self.inode(dir)?;
        let existing = parent.directory()?.find(&entry);
        require_entry_change(parent, who)?;
        if existing.is_some() {
            return Err(TreeError::Exists);
        }
        if inode.qtree != parent.qtree {
            return Err(TreeError::CrossDevice);
        }
        let now = self.tick();
        let inode = self.inode_mut(target)?;
        inode.links += 1;
        inode.changed = now;
        self.put_entry(dir, entry, target)?;
        self.inode_mut(dir)?.touch(now);
        Ok(())
    }

    /// Removes a name of anything but a directory.
    pub(crate) fn remove(&mut self, dir: InodeNumber, who: &Identity, name: &[u8]) -> Result<(), TreeError> {
        let (entry, number) = self.require_removable(dir, who, name)?;
        if self.inode(number)?.is_directory() {
            return Err(TreeError::IsADirectory);
        }
        self.unlink(dir, &entry, number)
    }

    /// Removes an empty directory.
    pub(crate) fn remove_directory(
        &mut self,
        dir: InodeNumber,
        who: &Identity,
        name: &[u8],
    ) -> Result<(), TreeError> {
        let (entry, number) = self.require_removable(dir, who, name)?;
        if !self.inode(number)?.directory()?.is_empty() {
            return Err(TreeError::NotEmpty);
        }
        self.unlink(dir, &entry, number)
    }

    /// Moves a name, over an existing one if that is of the same sort.
    pub(crate) fn rename(
        &mut self,
        who: &Identity,
        (from, from_name): (InodeNumber, &[u8]),
        (to, to_name): (InodeNumber, &[u8]),
    ) -> Result<(), TreeError> {
        let (old_entry, moved) = self.require_removable(from, who, from_name)?;
        let new_entry = self.require_free_name(to, to_name)?;
        let moved_inode = self.inode(moved)?;
        let moves_directory = moved_inode.is_directory();
        let target = self.inode(to)?;
        let replaced = target.directory()?.find(&new_entry);
        require_entry_change(target, who)?;
        if replaced == Some(moved) {
            return Ok(());
        }
        if moved_inode.qtree != target.qtree {
            return Err(TreeError::CrossDevice);
        }
        if moves_directory && from != to {
            moved_inode.require_right(who, Right::Write)?;
            if target.links >= LINK_MAX {
                return Err(TreeError::TooManyLinks);
            }
        }
        if moves_directory && self.is_within(to, moved)? {
            return Err(TreeError::Invalid);
        }
        if let Some(replaced) = replaced {
            self.require_replaceable(to, who, replaced, moves_directory)?;
            self.unlink(to, &new_entry, replaced)?;
        }
        let now = self.tick();
        self.remove_entry(from, &old_entry)?;
        let source = self.inode_mut(from)?;
        source.links -= u32::from(moves_directory);
        source.touch(now);
        self.put_entry(to, new_entry, moved)?;
        let target = self.inode_mut(to)?;
        target.links += u32::from(moves_directory);
        target.touch(now);
        let inode = self.inode_mut(moved)?;
        inode.changed = now;
        if moves_directory {
            inode.directory_mut()?.set_parent(to);
        }
        Ok(())
    }

    fn require_replaceable(
        &self,
        dir: InodeNumber,
        who: &Identity,
        replaced: InodeNumber,
        by_directory: bool,
    ) -> Result<(), TreeError> {
        let inode = self.inode(replaced)?;
        self.inode(dir)?.require_removal(who, inode)?;
        if self.is_qtree_root(replaced) {
            return Err(TreeError::NotPermitted);
        }
        match (&inode.kind, by_directory) {
            (Kind::Directory(directory), true) if !directory.is_empty() => Err(TreeError::NotEmpty),
            (Kind::Directory(_), false) => Err(TreeError::IsADirectory),
            (Kind::Directory(_), true) | (_, false) => Ok(()),
            (_, true) => Err(TreeError::NotADirectory),
        }
    }

    /// Is `number` the directory `ancestor`, or below it?
    fn is_within(&self, number: InodeNumber, ancestor: InodeNumber) -> Result<bool, TreeError> {
        let mut at = number;
        loop {
            if at == ancestor {
                return Ok(true);
            }
            let parent = self.inode(at)?.directory()?.parent();
            if parent == at {
                return Ok(false);
            }
            at = parent;
        }
    }

    fn require_removable(
        &self,
        dir: InodeNumber,
        who: &Identity,
        name: &[u8],
    ) -> Result<(EntryName, InodeNumber), TreeError> {
        self.require_present(dir)?;
        let parent = self.inode(dir)?;
        let directory = parent.directory()?;
        parent.require_right(who, Right::Execute)?;
        if self.lookup_snapshot(dir, name).is_some() {
            return Err(TreeError::ReadOnly);
        }
        let entry = EntryName::parse(name)?;
        let number = directory.find(&entry).ok_or(TreeError::NotFound)?;
        parent.require_removal(who, self.inode(number)?)?;
        if self.is_qtree_root(number) {
            return Err(TreeError::NotPermitted);
        }
        Ok((entry, number))
    }

    /// A name that may be given in a directory of the present: not `.snapshot` where that is shown.
    fn require_free_name(&self, dir: InodeNumber, name: &[u8]) -> Result<EntryName, TreeError> {
        self.require_present(dir)?;
        let entry = EntryName::parse(name)?;
        if self.lookup_snapshot(dir, name).is_some() { Err(TreeError::Exists) } else { Ok(entry) }
    }

    /// Takes an entry out; its inode goes with its last name, and with it its handles. (A file that
    /// is open and unlinked is the client's business in NFS v3: it renames first.)
    fn unlink(&mut self, dir: InodeNumber, entry: &EntryName, number: InodeNumber) -> Result<(), TreeError> {
        let now = self.tick();
        let is_directory = self.inode(number)?.is_directory();
        self.remove_entry(dir, entry)?;
        let parent = self.inode_mut(dir)?;
        parent.links -= u32::from(is_directory);
        parent.touch(now);
        let inode = self.inode_mut(number)?;
        inode.links -= 1;
        inode.changed = now;
        if is_directory || inode.links == 0 {
            self.drop_inode(number);
        }
        Ok(())
    }
}

/// May `who` add an entry to this directory?
fn require_entry_change(parent: &Inode, who: &Identity) -> Result<(), TreeError> {
    parent.require_right(who, Right::Write)?;
    parent.require_right(who, Right::Execute)
}
