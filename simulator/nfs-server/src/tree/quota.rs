//! Qtrees: directories below the root whose content is counted apart, and limited.

use crate::tree::attributes::SetAttributes;
use crate::tree::content::BLOCK;
use crate::tree::directory::{Directory, EntryName};
use crate::tree::error::{AdminError, TreeError};
use crate::tree::inode::{Inode, InodeNumber, Kind};
use crate::tree::permission::Identity;
use crate::tree::space::SpaceReport;
use crate::tree::store::Record;
use crate::tree::{RootAttributes, Tree};

/// Hard limits of a qtree; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Bytes of file data, in whole blocks of 4 KiB.
    pub bytes: Option<u64>,
    /// Files, directories and other inodes, the qtree's own directory included.
    pub files: Option<u64>,
}

/// A qtree, and its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Qtree {
    pub(super) root: InodeNumber,
    pub(super) quota: Quota,
    pub(super) used_blocks: u64,
    pub(super) files: u64,
}

impl Qtree {
    /// What statfs tells within it.
    pub(super) fn narrow(&self, of_tree: SpaceReport) -> SpaceReport {
        let mut space = of_tree;
        if let Some(bytes) = self.quota.bytes {
            space.total_bytes = bytes.min(of_tree.total_bytes);
            let left = bytes.saturating_sub(self.used_blocks * BLOCK);
            space.free_bytes = left.min(of_tree.free_bytes);
        }
        if let Some(files) = self.quota.files {
            space.total_inodes = files.min(of_tree.total_inodes);
            space.free_inodes = files.saturating_sub(self.files).min(of_tree.free_inodes);
        }
        space
    }

    pub(super) fn require_room(&self, blocks: u64) -> Result<(), TreeError> {
        let fits = |limit| (self.used_blocks + blocks) * BLOCK <= limit;
        if self.quota.bytes.is_none_or(fits) { Ok(()) } else { Err(TreeError::QuotaExceeded) }
    }

    pub(super) fn require_file(&self) -> Result<(), TreeError> {
        let fits = |limit| self.files < limit;
        if self.quota.files.is_none_or(fits) { Ok(()) } else { Err(TreeError::QuotaExceeded) }
    }
}

/// As whom an administrator works.
const ADMINISTRATOR: Identity = Identity { uid: 0, gid: 0, groups: Vec::new() };

impl Tree {
    /// Is the inode the directory of a qtree? Clients neither remove nor rename those.
    pub(super) fn is_qtree_root(&self, number: InodeNumber) -> bool {
        let qtree = self.image.find(number).ok().and_then(|inode| self.image.qtrees.get(&inode.qtree));
        qtree.is_some_and(|qtree| qtree.root == number)
    }

    pub(super) fn create_qtree(
        &mut self,
        id: u32,
        name: &str,
        root: RootAttributes,
    ) -> Result<(), AdminError> {
        let entry = EntryName::parse(name.as_bytes()).map_err(|_| AdminError::BadName(name.to_owned()))?;
        let taken = self.lookup(InodeNumber::ROOT, &ADMINISTRATOR, name.as_bytes()).is_ok();
        if id == 0 || self.image.qtrees.contains_key(&id) || taken {
            return Err(AdminError::Exists(name.to_owned()));
        }
        let now = self.tick();
        let number = self.take_number()?;
        let quota = Quota::default();
        self.put_qtree(id, Qtree { root: number, quota, used_blocks: 0, files: 0 });
        let kind = Kind::Directory(Directory::new(InodeNumber::ROOT));
        let inode = Inode { qtree: id, ..Inode::new(kind, root.mode, root.uid, root.gid, now) };
        self.put_inode(number, inode);
        self.put_entry(InodeNumber::ROOT, entry, number)?;
        let parent = self.inode_mut(InodeNumber::ROOT)?;
        parent.links += 1;
        parent.touch(now);
        Ok(())
    }

    /// Puts a qtree, or its new limits.
    pub(super) fn put_qtree(&mut self, id: u32, qtree: Qtree) {
        let Qtree { root, quota, .. } = qtree;
        self.changes.record(|| Record::Qtree { id, root, quota });
        let entry = self.image.qtrees.entry(id).or_insert(qtree);
        entry.quota = quota;
    }

    pub(super) fn forget_qtree(&mut self, id: u32) {
        self.changes.record(|| Record::NoQtree { id });
        self.image.qtrees.remove(&id);
    }

    pub(super) fn find_qtree(&self, name: &str) -> Result<(u32, Qtree), AdminError> {
        let unknown = || AdminError::NoQtree(name.to_owned());
        let number =
            self.lookup(InodeNumber::ROOT, &ADMINISTRATOR, name.as_bytes()).map_err(|_| unknown())?;
        let found = self.image.qtrees.iter().find(|(_, qtree)| qtree.root == number);
        found.map(|(id, qtree)| (*id, *qtree)).ok_or_else(unknown)
    }

    /// Removes a qtree with all that is in it.
    pub(super) fn remove_qtree(&mut self, name: &str) -> Result<(), AdminError> {
        let (id, qtree) = self.find_qtree(name)?;
        let mut open = vec![qtree.root];
        while let Some(number) = open.pop() {
            // A file of two names is met twice, and gone the second time.
            let Ok(inode) = self.image.find(number) else { continue };
            if let Kind::Directory(directory) = &inode.kind {
                open.extend(directory.entries().map(|(_, _, inode)| inode));
            }
            self.drop_inode(number);
        }
        self.forget_qtree(id);
        let entry = EntryName::parse(name.as_bytes())?;
        self.remove_entry(InodeNumber::ROOT, &entry)?;
        let now = self.tick();
        let parent = self.inode_mut(InodeNumber::ROOT)?;
        parent.links = parent.links.saturating_sub(1);
        parent.touch(now);
        Ok(())
    }

    pub(super) fn rename_qtree(&mut self, name: &str, new_name: &str) -> Result<(), AdminError> {
        let (_, qtree) = self.find_qtree(name)?;
        let new =
            EntryName::parse(new_name.as_bytes()).map_err(|_| AdminError::BadName(new_name.to_owned()))?;
        if self.lookup(InodeNumber::ROOT, &ADMINISTRATOR, new_name.as_bytes()).is_ok() {
            return Err(AdminError::Exists(new_name.to_owned()));
        }
        let old = EntryName::parse(name.as_bytes())?;
        self.remove_entry(InodeNumber::ROOT, &old)?;
        self.put_entry(InodeNumber::ROOT, new, qtree.root)?;
        let now = self.tick();
        self.inode_mut(InodeNumber::ROOT)?.touch(now);
        Ok(())
    }

    /// Mode and owner of a qtree's directory, or of the root (`""`).
    pub(super) fn set_root(&mut self, name: &str, root: RootAttributes) -> Result<(), AdminError> {
        let number = if name.is_empty() { InodeNumber::ROOT } else { self.find_qtree(name)?.1.root };
        let set = SetAttributes {
            mode: Some(root.mode),
            uid: Some(root.uid),
            gid: Some(root.gid),
            ..SetAttributes::default()
        };
        Ok(self.set_attributes(number, &ADMINISTRATOR, &set, None)?)
    }
}
