//! Snapshots: the tree as it was, read-only, in `.snapshot` of every directory.
//!
//! A snapshot is a copy of the image, which takes no time. Its space is what the tree has changed
//! since: a change that leaves bytes behind adds them to the newest snapshot, which is the last to
//! have them together with the present. So each block is counted once, with the last snapshot
//! that has it, and what a deletion frees is known by comparing two neighbours.

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::tree::Tree;
use crate::tree::attributes::Timestamp;
use crate::tree::content::BLOCK;
use crate::tree::directory::{Directory, EntryName, SNAPSHOT_DIRECTORY};
use crate::tree::error::{AdminError, TreeError};
use crate::tree::image::Image;
use crate::tree::inode::{Inode, InodeNumber, Kind, LAST_SNAPSHOT, View};
use crate::tree::quota::Qtree;
use crate::tree::store::Record;

/// Snapshots a volume may have (ONTAP 9.4 and later).
const MAX_SNAPSHOTS: usize = 1023;
/// `.snapshot` lies behind all entries of the root, and before the junctions in it.
const SNAPSHOT_DIRECTORY_COOKIE: u64 = 1 << 61;
/// Cookies of snapshots lie behind those of `.` and `..`.
const FIRST_SNAPSHOT_COOKIE: u64 = 2;

/// A snapshot as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Its name, unique in its tree.
    pub name: String,
    /// When it was taken.
    pub created: SystemTime,
    /// Bytes that it holds and no later snapshot nor the tree: what the tree has changed since.
    pub retained_bytes: u64,
}

#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) name: String,
    pub(super) created: Timestamp,
    pub(super) image: Image,
    /// Blocks that neither a later snapshot nor the present holds.
    retained: u64,
}

#[derive(Debug)]
pub(super) struct Snapshots {
    taken: BTreeMap<u32, Snapshot>,
    /// The id of the latest one ever taken.
    epoch: u32,
    retained: u64,
    /// What every `.snapshot` is.
    directory: Inode,
}

impl Default for Snapshots {
    fn default() -> Self {
        let kind = Kind::Directory(Directory::new(InodeNumber::ROOT));
        let directory = Inode::new(kind, 0o555, 0, 0, Timestamp::default());
        Self { taken: BTreeMap::new(), epoch: 0, retained: 0, directory }
    }
}

impl Snapshots {
    /// The newest one there is; 0 for none.
    pub(super) fn newest(&self) -> u32 {
        self.taken.last_key_value().map_or(0, |(id, _)| *id)
    }

    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    pub(super) fn retained_blocks(&self) -> u64 {
        self.retained
    }

    pub(super) fn retain_blocks(&mut self, blocks: u64) {
        if let Some(mut newest) = self.taken.last_entry() {
            newest.get_mut().retained += blocks;
            self.retained += blocks;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Snapshot)> {
        self.taken.iter().map(|(id, snapshot)| (*id, snapshot))
    }

    /// Neighbours of an id: the one before, the one after.
    fn neighbours(&self, id: u32) -> (Option<u32>, Option<u32>) {
        let before = self.taken.range(..id).next_back().map(|(id, _)| *id);
        let after = self.taken.range(id.saturating_add(1)..).next().map(|(id, _)| *id);
        (before, after)
    }

    fn set_retained(&mut self, id: u32, blocks: u64) {
        if let Some(snapshot) = self.taken.get_mut(&id) {
            self.retained = (self.retained + blocks).saturating_sub(snapshot.retained);
            snapshot.retained = blocks;
        }
    }
}

impl Tree {
    pub(super) fn take_snapshot(&mut self, name: &str) -> Result<(), AdminError> {
        EntryName::parse(name.as_bytes()).map_err(|_| AdminError::BadName(name.to_owned()))?;
        if self.snapshots.taken.values().any(|taken| taken.name == name) {
            return Err(AdminError::Exists(name.to_owned()));
        }
        let id = self.snapshots.epoch + 1;
        if self.snapshots.taken.len() >= MAX_SNAPSHOTS || id > LAST_SNAPSHOT {
            return Err(AdminError::TooManySnapshots);
        }
        let created = self.tick();
        self.put_snapshot(id, name, created);
        Ok(())
    }

    /// Takes a snapshot whose id is known. What a snapshot holds is committed.
    pub(super) fn put_snapshot(&mut self, id: u32, name: &str, created: Timestamp) {
        self.changes.record(|| Record::Snapshot { id, name: name.as_bytes(), created });
        self.uncommitted.clear();
        let image = self.image.clone();
        let snapshot = Snapshot { name: name.to_owned(), created, image, retained: 0 };
        self.snapshots.taken.insert(id, snapshot);
        self.snapshots.epoch = self.snapshots.epoch.max(id);
        self.snapshots.directory.touch(created);
    }

    pub(super) fn find_snapshot(&self, name: &str) -> Result<u32, AdminError> {
        let found = self.snapshots.iter().find(|(_, taken)| taken.name == name);
        found.map(|(id, _)| id).ok_or_else(|| AdminError::NoSnapshot(name.to_owned()))
    }

    /// Deletes a snapshot; what it alone held is free.
    pub(super) fn drop_snapshot(&mut self, id: u32) {
        let (before, after) = self.snapshots.neighbours(id);
        self.changes.record(|| Record::NoSnapshot { id });
        self.snapshots.set_retained(id, 0);
        self.snapshots.taken.remove(&id);
        if let Some(before) = before {
            self.count_retained(before, after);
        }
        let now = self.tick();
        self.snapshots.directory.touch(now);
    }

    /// Counts what a snapshot holds besides its successor, or the present.
    fn count_retained(&mut self, id: u32, after: Option<u32>) {
        let later = after.and_then(|after| self.snapshots.taken.get(&after));
        let later = later.map_or(&self.image, |later| &later.image);
        let blocks = self.snapshots.taken.get(&id).map_or(0, |taken| taken.image.blocks_besides(later));
        self.snapshots.set_retained(id, blocks);
    }

    /// Counts what the newest snapshot holds besides the present, after a change in bulk.
    pub(super) fn count_newest(&mut self) {
        self.count_retained(self.snapshots.newest(), None);
    }

    /// Makes the tree what it was. Later snapshots are gone, as with the array's `snapshot restore`;
    /// limits of qtrees stay those of today.
    pub(super) fn restore_snapshot(&mut self, id: u32) -> Result<(), TreeError> {
        let later: Vec<u32> = self.snapshots.taken.range(id.saturating_add(1)..).map(|(id, _)| *id).collect();
        for later in later.into_iter().rev() {
            self.drop_snapshot(later);
        }
        self.changes.record(|| Record::Restore { id });
        self.changes.forget_inodes();
        let taken = self.snapshots.taken.get(&id).ok_or(TreeError::NotFound)?;
        let quotas: Vec<_> = self.image.qtrees.iter().map(|(id, qtree)| (*id, qtree.quota)).collect();
        self.image = taken.image.clone();
        for (id, quota) in quotas {
            if let Some(qtree) = self.image.qtrees.get_mut(&id) {
                qtree.quota = quota;
            }
        }
        self.uncommitted.clear();
        self.snapshots.set_retained(id, 0);
        Ok(())
    }

    pub(super) fn rename_snapshot(&mut self, name: &str, new_name: &str) -> Result<(), AdminError> {
        EntryName::parse(new_name.as_bytes()).map_err(|_| AdminError::BadName(new_name.to_owned()))?;
        let id = self.find_snapshot(name)?;
        if self.find_snapshot(new_name).is_ok() {
            return Err(AdminError::Exists(new_name.to_owned()));
        }
        self.put_snapshot_name(id, new_name);
        let now = self.tick();
        self.snapshots.directory.touch(now);
        Ok(())
    }

    pub(super) fn put_snapshot_name(&mut self, id: u32, name: &str) {
        self.changes.record(|| Record::SnapshotName { id, name: name.as_bytes() });
        if let Some(taken) = self.snapshots.taken.get_mut(&id) {
            taken.name = name.to_owned();
        }
    }

    pub(super) fn snapshot_infos(&self) -> Vec<SnapshotInfo> {
        let info = |(_, taken): (u32, &Snapshot)| SnapshotInfo {
            name: taken.name.clone(),
            created: taken.created.into(),
            retained_bytes: taken.retained * BLOCK,
        };
        self.snapshots.iter().map(info).collect()
    }

    /// The tree of a clone: what the snapshot holds, with an identity of its own.
    pub(super) fn clone_of(&self, id: u32, fsid: u64) -> Result<Self, TreeError> {
        let taken = self.snapshots.taken.get(&id).ok_or(TreeError::NotFound)?;
        let mut clone = Self::bare(fsid, self.settings.capacity);
        clone.settings = self.settings;
        clone.image = taken.image.clone();
        clone.next_inode = self.next_inode;
        clone.last_change = self.last_change;
        // Chunks keep the mark of the snapshots here after which they were written.
        clone.snapshots.epoch = self.snapshots.epoch;
        Ok(clone)
    }

    /// A tree without snapshots on which those are put together that come from elsewhere: what a snapshot holds,
    /// or nothing. It goes on with this one's numbers.
    pub(super) fn beside(&self, base: Option<u32>) -> Result<Self, TreeError> {
        let mut tree = match base {
            Some(base) => self.clone_of(base, self.fsid)?,
            None => Self::bare(self.fsid, self.settings.capacity),
        };
        tree.settings = self.settings;
        tree.next_inode = self.next_inode;
        tree.last_change = self.last_change;
        tree.snapshots.epoch = self.snapshots.epoch;
        Ok(tree)
    }

    /// Becomes what was put together beside it, above that snapshot. Limits of qtrees stay its own.
    pub(super) fn adopt(&mut self, base: Option<u32>, beside: Self) {
        let limits: Vec<_> = self.image.qtrees.iter().map(|(id, qtree)| (*id, qtree.quota)).collect();
        let first = beside.snapshots.taken.keys().next().copied();
        self.image = beside.image;
        self.next_inode = self.next_inode.max(beside.next_inode);
        self.last_change = self.last_change.max(beside.last_change);
        self.uncommitted.clear();
        self.snapshots.epoch = beside.snapshots.epoch;
        self.snapshots.retained += beside.snapshots.retained;
        self.snapshots.taken.extend(beside.snapshots.taken);
        self.snapshots.directory.touch(self.last_change);
        if let Some(base) = base {
            self.count_retained(base, first);
        }
        for (id, quota) in limits {
            if let Some(qtree) = self.image.qtrees.get(&id).copied().filter(|qtree| qtree.quota != quota) {
                self.put_qtree(id, Qtree { quota, ..qtree });
            }
        }
    }

    /// A snapshot that clients may look into.
    pub(super) fn visible_snapshot(&self, id: u32) -> Result<&Snapshot, TreeError> {
        if !self.settings.snapshots_visible {
            return Err(TreeError::Stale);
        }
        self.snapshots.taken.get(&id).ok_or(TreeError::Stale)
    }

    /// The `.snapshot` in a directory of the present.
    pub(super) fn snapshot_directory(&self, within: InodeNumber) -> Result<&Inode, TreeError> {
        if self.settings.snapshots_visible && self.image.find(within)?.is_directory() {
            Ok(&self.snapshots.directory)
        } else {
            Err(TreeError::Stale)
        }
    }

    /// What a name means in a directory besides its entries: `.snapshot`, or a snapshot in that.
    pub(super) fn lookup_snapshot(&self, dir: InodeNumber, name: &[u8]) -> Option<InodeNumber> {
        match dir.view() {
            View::Present if name == SNAPSHOT_DIRECTORY && self.settings.snapshots_visible => {
                Some(dir.seen_in(View::SnapshotDirectory))
            }
            View::SnapshotDirectory => {
                let (id, _) = self.snapshots.iter().find(|(_, taken)| taken.name.as_bytes() == name)?;
                self.within_snapshot(id, dir)
            }
            View::Present | View::Snapshot(_) => None,
        }
    }

    /// A directory as a snapshot has it, if it was there.
    fn within_snapshot(&self, id: u32, dir: InodeNumber) -> Option<InodeNumber> {
        let held = self.snapshots.taken.get(&id)?.image.find(dir.plain()).ok()?;
        held.is_directory().then(|| dir.seen_in(View::Snapshot(id)))
    }

    /// The directory above.
    pub(super) fn parent_of(&self, dir: InodeNumber, parent: InodeNumber) -> InodeNumber {
        match dir.view() {
            View::Present => parent,
            View::SnapshotDirectory => dir.plain(),
            // The way out of a snapshot's root leads to where one came in.
            View::Snapshot(_) if parent == dir.plain() => dir.seen_in(View::SnapshotDirectory),
            view @ View::Snapshot(_) => parent.seen_in(view),
        }
    }

    /// What a listing shows besides entries: in the root `.snapshot`, in `.snapshot` the snapshots.
    /// Elsewhere `.snapshot` is found and not listed, as on the array.
    pub(super) fn snapshot_entries(&self, dir: InodeNumber) -> Vec<(u64, &[u8], InodeNumber)> {
        match dir.view() {
            View::Present if dir == InodeNumber::ROOT && self.settings.snapshots_visible => {
                let inner = dir.seen_in(View::SnapshotDirectory);
                vec![(SNAPSHOT_DIRECTORY_COOKIE, SNAPSHOT_DIRECTORY, inner)]
            }
            View::SnapshotDirectory => {
                let listed = |(id, taken)| {
                    let taken: &Snapshot = taken;
                    let cookie = FIRST_SNAPSHOT_COOKIE + u64::from(id);
                    Some((cookie, taken.name.as_bytes(), self.within_snapshot(id, dir)?))
                };
                self.snapshots.iter().filter_map(listed).collect()
            }
            View::Present | View::Snapshot(_) => Vec::new(),
        }
    }
}
