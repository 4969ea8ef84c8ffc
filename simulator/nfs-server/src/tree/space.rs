//! How much room a tree has, and what its clients are told of it.

use crate::tree::Tree;
use crate::tree::content::{BLOCK, SpaceChange};
use crate::tree::error::{AdminError, TreeError};
use crate::tree::inode::InodeNumber;
use crate::tree::store::Record;

/// One inode for so many bytes of capacity, as ONTAP counts `files_maximum` of a new FlexVol.
const BYTES_PER_INODE: u64 = 32 << 10;
/// Even the smallest tree may hold so many inodes.
const MIN_INODES: u64 = 1024;

/// What an administrator sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) capacity: u64,
    /// Of the capacity: kept for snapshots, and not shown to clients.
    pub(super) reserve_percent: u8,
    pub(super) snapshots_visible: bool,
}

impl Settings {
    /// Bytes kept for snapshots.
    fn reserve(self) -> u64 {
        // Whole blocks; in 128 bits, where nothing overflows.
        let share = u128::from(self.capacity) * u128::from(self.reserve_percent) / 100;
        u64::try_from(share).unwrap_or(u64::MAX) / BLOCK * BLOCK
    }
}

/// What statfs tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpaceReport {
    pub(crate) total_bytes: u64,
    pub(crate) free_bytes: u64,
    pub(crate) total_inodes: u64,
    pub(crate) free_inodes: u64,
}

impl Tree {
    pub(super) fn used(&self) -> u64 {
        self.image.used_blocks * BLOCK
    }

    /// Bytes that snapshots alone hold.
    pub(super) fn snapshot_used(&self) -> u64 {
        self.snapshots.retained_blocks() * BLOCK
    }

    fn max_inodes(&self) -> u64 {
        (self.settings.capacity / BYTES_PER_INODE).max(MIN_INODES)
    }

    /// The room of the whole tree, without the snapshot reserve. Snapshots that outgrow the reserve
    /// take from what files could have, as on the array.
    pub(crate) fn space(&self) -> SpaceReport {
        let reserve = self.settings.reserve();
        let total_bytes = self.settings.capacity - reserve;
        let taken = self.used() + self.snapshot_used().saturating_sub(reserve);
        let total_inodes = self.max_inodes();
        SpaceReport {
            total_bytes,
            free_bytes: total_bytes.saturating_sub(taken),
            total_inodes,
            free_inodes: total_inodes.saturating_sub(self.image.inodes.len()),
        }
    }

    /// The room as seen at an inode: within a qtree with a limit, the limit is the size.
    pub(crate) fn space_at(&self, number: InodeNumber) -> SpaceReport {
        let space = self.space();
        let qtree = self.inode(number).ok().and_then(|inode| self.image.qtrees.get(&inode.qtree));
        qtree.map_or(space, |qtree| qtree.narrow(space))
    }

    /// Is there room for the change, in the tree and in the qtree?
    pub(super) fn require_room(&self, qtree: u32, change: SpaceChange) -> Result<(), TreeError> {
        if change.added > 0
            && let Some(qtree) = self.image.qtrees.get(&qtree)
        {
            qtree.require_room(change.added)?;
        }
        if change.added + change.retained == 0 {
            return Ok(());
        }
        let reserve = self.settings.reserve();
        let kept = ((self.snapshots.retained_blocks() + change.retained) * BLOCK).saturating_sub(reserve);
        let used = (self.image.used_blocks + change.added) * BLOCK;
        // What overwrites within the reserve takes no room from files.
        let grows = change.added > 0 || kept > 0;
        if grows && used + kept > self.settings.capacity - reserve {
            return Err(TreeError::NoSpace);
        }
        Ok(())
    }

    /// May one more inode be made there?
    pub(super) fn require_inode(&self, qtree: u32) -> Result<(), TreeError> {
        if self.image.inodes.len() >= self.max_inodes() {
            return Err(TreeError::NoSpace);
        }
        self.image.qtrees.get(&qtree).map_or(Ok(()), |qtree| qtree.require_file())
    }

    pub(super) fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
        self.record_settings();
    }

    pub(super) fn record_settings(&mut self) {
        let (settings, next_inode, last_change) = (self.settings, self.next_inode, self.last_change);
        self.changes.record(|| Record::Settings { settings, next_inode, last_change });
    }

    /// A new capacity, if what is held fits in.
    pub(super) fn resize(&mut self, capacity: u64) -> Result<(), AdminError> {
        let settings = Settings { capacity, ..self.settings };
        let held = self.used() + self.snapshot_used().saturating_sub(settings.reserve());
        if capacity < self.settings.capacity && held > capacity - settings.reserve() {
            return Err(AdminError::BelowUsed { wanted: capacity, used: held });
        }
        self.set_settings(settings);
        Ok(())
    }
}
