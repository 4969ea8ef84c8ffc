//! Replication: what makes of one snapshot the next ones, as bytes for a tree elsewhere, and back.
//!
//! The bytes are frames as in a checkpoint. Whoever receives them has all of them before the first
//! one counts, so that a transfer that breaks off leaves nothing behind.

use std::io::Write;
use std::path::PathBuf;

use crate::tree::image::Image;
use crate::tree::quota::Quota;
use crate::tree::store::checkpoint::Writer;
use crate::tree::store::frame::{Found, HEADER, read_frame};
use crate::tree::store::record::Record;
use crate::tree::{AdminError, FileTree, Tree, TreeError};

impl FileTree {
    /// Writes what makes of the snapshot `base` (of an empty tree, when absent) the snapshots `names`, one
    /// after the other in this order. The tree goes on meanwhile. Returns the bytes written.
    ///
    /// # Errors
    /// [`AdminError::NoSnapshot`]; [`AdminError::Store`] when `to` refuses.
    pub fn send_snapshots(
        &self,
        base: Option<&str>,
        names: &[String],
        to: impl Write,
    ) -> Result<u64, AdminError> {
        let (mut before, images, end) = {
            let tree = self.look();
            let taken = |name: &str| {
                let id = tree.find_snapshot(name)?;
                let found = tree.snapshots.iter().find(|(known, _)| *known == id);
                let (_, taken) = found.ok_or_else(|| AdminError::NoSnapshot(name.to_owned()))?;
                Ok::<_, AdminError>((taken.created, taken.image.clone()))
            };
            let before = base.map(taken).transpose()?.map_or_else(Image::default, |(_, image)| image);
            let images = names.iter().map(|name| taken(name)).collect::<Result<Vec<_>, _>>()?;
            let Tree { settings, next_inode, last_change, .. } = *tree;
            (before, images, Record::Settings { settings, next_inode, last_change })
        };
        let mut writer = Writer::new(to, PathBuf::from("the replica"));
        for (name, (created, image)) in names.iter().zip(images) {
            writer.write_step(&before, &image)?;
            writer.record(&Record::Snapshot { id: 0, name: name.as_bytes(), created })?;
            before = image;
        }
        writer.record(&end)?;
        Ok(writer.finish()?)
    }

    /// Makes of the snapshot `base` (of an empty tree, when absent) what [`Self::send_snapshots`] wrote: the
    /// snapshots, and a present that is the last of them. Clients see all of it at once. What the tree was
    /// besides `base` and older snapshots is gone.
    ///
    /// # Errors
    /// [`AdminError::Replica`] when these are not whole such bytes: nothing changed, or, where they do not fit
    /// `base`, the tree is what `base` says. [`AdminError::NoSnapshot`]; [`AdminError::Store`].
    pub fn receive_snapshots(&self, base: Option<&str>, bytes: &[u8]) -> Result<(), AdminError> {
        require_whole(bytes)?;
        let outcome = {
            let mut tree = self.tree.write();
            tree.become_base(base)?;
            self.end_change(&mut tree);
            let received = frames(bytes).try_for_each(|payload| {
                let mut rest = &*payload.map_err(AdminError::Replica)?;
                while let Some(record) = next_record(&mut rest)? {
                    tree.replay(&record).map_err(|_| AdminError::Replica("it does not fit what is here"))?;
                }
                self.end_change(&mut tree);
                Ok(())
            });
            if received.is_err() {
                tree.become_base(base)?;
                self.end_change(&mut tree);
            }
            received
        };
        self.flush()?;
        outcome
    }
}

/// The next record; `None` at the end.
fn next_record<'data>(rest: &mut &'data [u8]) -> Result<Option<Record<'data>>, AdminError> {
    if rest.is_empty() {
        return Ok(None);
    }
    Record::decode(rest).map(Some).ok_or(AdminError::Replica("a record is of no known kind"))
}

/// The payloads of frames, or why the next one cannot be read.
fn frames(mut bytes: &[u8]) -> impl Iterator<Item = Result<Vec<u8>, &'static str>> {
    std::iter::from_fn(move || {
        let mut payload = Vec::new();
        match read_frame(&mut &*bytes, bytes.len() as u64, &mut payload) {
            Ok(Found::Frame) => {
                bytes = bytes.get(HEADER.saturating_add(payload.len())..).unwrap_or_default();
                Some(Ok(payload))
            }
            Ok(Found::End) => None,
            Ok(Found::Damaged(reason)) => {
                bytes = &[];
                Some(Err(reason))
            }
            Ok(Found::Torn) | Err(_) => {
                bytes = &[];
                Some(Err("it breaks off"))
            }
        }
    })
}

fn require_whole(bytes: &[u8]) -> Result<(), AdminError> {
    let mut ended = false;
    for payload in frames(bytes) {
        let payload = payload.map_err(AdminError::Replica)?;
        let mut rest = &*payload;
        while let Some(record) = next_record(&mut rest)? {
            if ended {
                return Err(AdminError::Replica("it goes on after its end"));
            }
            ended = record == Record::End;
        }
    }
    if ended { Ok(()) } else { Err(AdminError::Replica("it breaks off")) }
}

impl Tree {
    /// Makes the tree what a snapshot of it was, or empties it: not even a root is left.
    fn become_base(&mut self, base: Option<&str>) -> Result<(), AdminError> {
        if let Some(name) = base {
            return Ok(self.restore_snapshot(self.find_snapshot(name)?)?);
        }
        let snapshots: Vec<_> = self.snapshots.iter().map(|(id, _)| id).collect();
        snapshots.into_iter().rev().for_each(|id| self.drop_snapshot(id));
        let qtrees: Vec<_> = self.image.qtrees.keys().copied().collect();
        qtrees.into_iter().for_each(|id| self.forget_qtree(id));
        let inodes: Vec<_> = self.image.inodes.iter().map(|(number, _)| number).collect();
        inodes.into_iter().for_each(|number| self.drop_inode(crate::tree::InodeNumber(number)));
        self.changes.forget_inodes();
        Ok(())
    }

    /// Does what a record from another tree tells, and tells the log.
    fn replay(&mut self, record: &Record<'_>) -> Result<(), TreeError> {
        let told = match *record {
            Record::Snapshot { name, created, .. } => {
                let name = String::from_utf8_lossy(name);
                if let Ok(id) = self.find_snapshot(&name) {
                    self.drop_snapshot(id);
                }
                let id = self.snapshots.epoch().saturating_add(1);
                self.put_snapshot(id, &name, created);
                return Ok(());
            }
            // Size and reserve are this tree's own, and so are the limits of its qtrees.
            Record::Settings { next_inode, last_change, .. } => {
                Record::Settings { settings: self.settings, next_inode, last_change }
            }
            Record::Qtree { id, root, .. } => {
                let quota = self.image.qtrees.get(&id).map_or_else(Quota::default, |qtree| qtree.quota);
                Record::Qtree { id, root, quota }
            }
            other => other,
        };
        if told == Record::End {
            return Ok(());
        }
        self.changes.record(|| told);
        let recording = self.changes.set_recording(false);
        let outcome = self.apply(&told);
        self.changes.set_recording(recording);
        outcome
    }
}
