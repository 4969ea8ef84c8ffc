//! The inodes of a tree at one time, and the changes that can be done to them.
//!
//! Every change of a tree is made of the few here. Each keeps the account of space and tells the
//! log; recovery runs the same ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::tree::Tree;
use crate::tree::content::{CHUNK, Content, SpaceChange};
use crate::tree::directory::EntryName;
use crate::tree::error::TreeError;
use crate::tree::inode::{Inode, InodeNumber, Kind, View};
use crate::tree::quota::Qtree;
use crate::tree::radix::Radix;
use crate::tree::store::{Meta, Record};

/// What there is; a copy takes no time and shares all that does not differ.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    pub(super) inodes: Radix<Arc<Inode>>,
    pub(super) used_blocks: u64,
    pub(super) qtrees: BTreeMap<u32, Qtree>,
}

impl Image {
    pub(super) fn find(&self, number: InodeNumber) -> Result<&Inode, TreeError> {
        self.inodes.get(number.0).map(|inode| &**inode).ok_or(TreeError::Stale)
    }

    /// Inodes that `other` does not share, each with what it is there.
    pub(super) fn changed_besides<'image>(
        &'image self,
        other: &'image Self,
    ) -> impl Iterator<Item = (InodeNumber, &'image Inode, Option<&'image Inode>)> {
        let differing = self.inodes.iter_besides(&other.inodes);
        differing.filter_map(|(number, inode)| match other.inodes.get(number) {
            Some(theirs) if Arc::ptr_eq(inode, theirs) => None,
            theirs => Some((InodeNumber(number), &**inode, theirs.map(|theirs| &**theirs))),
        })
    }

    /// Blocks held here and not in `later`, which came of this by changes.
    pub(super) fn blocks_besides(&self, later: &Self) -> u64 {
        let besides = |(_, inode, theirs): (InodeNumber, &Inode, Option<&Inode>)| {
            let content = inode.content().ok()?;
            let theirs = theirs.and_then(|theirs| theirs.content().ok());
            Some(theirs.map_or_else(|| content.blocks(), |theirs| content.blocks_besides(theirs)))
        };
        self.changed_besides(later).filter_map(besides).sum()
    }

    fn account(&mut self, qtree: u32, change: SpaceChange) {
        self.used_blocks = (self.used_blocks + change.added).saturating_sub(change.freed);
        if let Some(qtree) = self.qtrees.get_mut(&qtree) {
            qtree.used_blocks = (qtree.used_blocks + change.added).saturating_sub(change.freed);
        }
    }
}

impl Tree {
    fn account(&mut self, qtree: u32, change: SpaceChange) {
        self.image.account(qtree, change);
        self.snapshots.retain_blocks(change.retained);
    }

    /// An inode whose attributes change.
    pub(super) fn inode_mut(&mut self, number: InodeNumber) -> Result<&mut Inode, TreeError> {
        if number.view() != View::Present {
            return Err(TreeError::ReadOnly);
        }
        self.changes.inode_changed(number);
        self.image.inodes.get_mut(number.0).map(Arc::make_mut).ok_or(TreeError::Stale)
    }

    /// Adds an inode, which no entry names yet.
    pub(super) fn put_inode(&mut self, number: InodeNumber, inode: Inode) {
        self.changes.record(|| Record::Inode { number, meta: Meta::of(&inode) });
        self.changes.inode_changed(number);
        if let Some(qtree) = self.image.qtrees.get_mut(&inode.qtree) {
            qtree.files += 1;
        }
        self.next_inode = self.next_inode.max(number.0.saturating_add(1));
        self.image.inodes.insert(number.0, Arc::new(inode));
    }

    /// Removes an inode, which no entry names any more.
    pub(super) fn drop_inode(&mut self, number: InodeNumber) {
        let Some(inode) = self.image.inodes.remove(number.0) else { return };
        self.changes.record(|| Record::Gone { number });
        self.uncommitted.remove(&number);
        if let Some(qtree) = self.image.qtrees.get_mut(&inode.qtree) {
            qtree.files = qtree.files.saturating_sub(1);
        }
        if let Ok(content) = inode.content() {
            let retained = content.blocks_in(self.snapshots.newest());
            self.account(inode.qtree, SpaceChange { added: 0, freed: content.blocks(), retained });
        }
    }

    pub(super) fn put_entry(
        &mut self,
        dir: InodeNumber,
        name: EntryName,
        inode: InodeNumber,
    ) -> Result<(), TreeError> {
        let cookie = self.inode(dir)?.directory()?.next_cookie();
        self.changes.record(|| Record::Entry { dir, cookie, name: name.as_bytes(), inode });
        self.inode_mut(dir)?.directory_mut()?.put(name, inode);
        Ok(())
    }

    pub(super) fn remove_entry(&mut self, dir: InodeNumber, name: &EntryName) -> Result<(), TreeError> {
        self.changes.record(|| Record::NoEntry { dir, name: name.as_bytes() });
        self.inode_mut(dir)?.directory_mut()?.remove(name);
        Ok(())
    }

    /// Writes bytes for which there is room.
    pub(super) fn put_data(
        &mut self,
        number: InodeNumber,
        offset: u64,
        data: &[u8],
    ) -> Result<(), TreeError> {
        let (epoch, newest) = (self.snapshots.epoch(), self.snapshots.newest());
        self.changes.record(|| Record::Data { number, offset, data });
        let inode = self.inode_mut(number)?;
        let qtree = inode.qtree;
        let content = inode.content_mut()?;
        let change = content.foresee(offset, data.len(), newest);
        content.write(offset, data, epoch);
        self.account(qtree, change);
        Ok(())
    }

    /// Cuts a file, or extends it with a hole.
    pub(super) fn put_size(&mut self, number: InodeNumber, size: u64) -> Result<(), TreeError> {
        let (epoch, newest) = (self.snapshots.epoch(), self.snapshots.newest());
        self.changes.record(|| Record::Size { number, size });
        let inode = self.inode_mut(number)?;
        let qtree = inode.qtree;
        let change = inode.content_mut()?.set_size(size, epoch, newest);
        self.account(qtree, change);
        Ok(())
    }

    /// Makes a file's bytes those of an earlier state of it.
    pub(super) fn put_content(&mut self, number: InodeNumber, wanted: &Content) -> Result<(), TreeError> {
        let now = self.image.find(number)?.content()?.clone();
        self.put_size(number, wanted.common_size(&now))?;
        let cut = self.image.find(number)?.content()?.clone();
        for (at, chunk) in wanted.changed_besides(&cut) {
            self.put_data(number, at * CHUNK, chunk.as_ref())?;
        }
        self.put_size(number, wanted.size())
    }

    /// An inode as a record of the log brings it: bytes and entries stay those it has.
    pub(super) fn restore_inode(&mut self, number: InodeNumber, mut inode: Inode) {
        let Some(old) = self.image.inodes.get_mut(number.0) else { return self.put_inode(number, inode) };
        let old = Arc::make_mut(old);
        match (&mut inode.kind, &mut old.kind) {
            (Kind::File { content, .. }, Kind::File { content: held, .. }) => *content = std::mem::take(held),
            (Kind::Directory(new), Kind::Directory(held)) => {
                held.set_parent(new.parent());
                held.keep_cookies_above(new.next_cookie());
                std::mem::swap(new, held);
            }
            _ => {}
        }
        *old = inode;
    }
}
