//! Replication: what makes of one snapshot the next ones, as bytes for a tree elsewhere, and back.
//!
//! The bytes are frames as in a checkpoint. Whoever receives them has all of them before the first
//! one counts, so that a transfer that breaks off leaves nothing behind. They are put together beside the
//! tree, which takes as long as it takes, and then change places with what it was, which takes no time.

use std::io::Write;
use std::path::PathBuf;

use crate::tree::image::Image;
use crate::tree::quota::Quota;
use crate::tree::store::checkpoint::Writer;
use crate::tree::store::frame::{Found, Frame, HEADER, read_frame};
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

    /// Takes in what [`Self::send_snapshots`] wrote, beside the tree: nobody sees anything of it, and the tree goes
    /// on meanwhile. `base` is a snapshot here; what was sent stands by itself when absent.
    ///
    /// # Errors
    /// [`AdminError::Replica`] when these are not whole such bytes, or do not fit `base`;
    /// [`AdminError::NoSnapshot`]. Nothing changed then.
    pub fn prepare_snapshots(&self, base: Option<&str>, bytes: &[u8]) -> Result<Incoming, AdminError> {
        let mut beside = {
            let tree = self.look();
            tree.beside(base.map(|name| tree.find_snapshot(name)).transpose()?)?
        };
        if self.log.is_some() {
            beside.changes.start_recording();
        }
        Incoming::read(base, beside, bytes)
    }

    /// As [`Self::prepare_snapshots`], for a tree that is yet to be made.
    ///
    /// # Errors
    /// [`AdminError::Replica`].
    pub fn prepare_first_snapshots(bytes: &[u8]) -> Result<Incoming, AdminError> {
        let mut beside = Tree::bare(0, 0);
        // Whether that tree will have a log is not known.
        beside.changes.start_recording();
        Incoming::read(None, beside, bytes)
    }

    /// Makes of the tree what was prepared for it: the snapshots, and a present that is the last of them. Clients
    /// see all of it at once. What the tree was besides the base and older snapshots is gone.
    ///
    /// # Errors
    /// [`AdminError::Replica`] when snapshots were taken here since it was prepared;
    /// [`AdminError::NoSnapshot`] when the base is gone: nothing changed. [`AdminError::Store`].
    pub fn accept_snapshots(&self, incoming: Incoming) -> Result<(), AdminError> {
        {
            let Incoming { base, above, tree: beside, told } = incoming;
            let mut tree = self.tree.write();
            if tree.snapshots.epoch() != above {
                return Err(AdminError::Replica("snapshots were taken here meanwhile"));
            }
            tree.become_base(base.as_deref())?;
            for taken in beside.snapshots.iter().map(|(_, taken)| &taken.name) {
                if let Ok(id) = tree.find_snapshot(taken) {
                    tree.drop_snapshot(id);
                }
            }
            self.end_change(&mut tree);
            if let Some(log) = &self.log {
                for frame in told {
                    log.append(frame);
                }
            }
            let base = base.map(|name| tree.find_snapshot(&name)).transpose()?;
            tree.adopt(base, beside);
            tree.record_settings();
            self.end_change(&mut tree);
        }
        Ok(self.flush()?)
    }

    /// [`Self::prepare_snapshots`] and [`Self::accept_snapshots`].
    ///
    /// # Errors
    /// Theirs.
    pub fn receive_snapshots(&self, base: Option<&str>, bytes: &[u8]) -> Result<(), AdminError> {
        self.accept_snapshots(self.prepare_snapshots(base, bytes)?)
    }
}

/// Snapshots from elsewhere, put together beside the tree that they are for.
#[derive(Debug)]
pub struct Incoming {
    base: Option<String>,
    /// The id of the last snapshot that the tree had taken.
    above: u32,
    tree: Tree,
    /// What the log is told of it.
    told: Vec<Frame>,
}

impl Incoming {
    fn read(base: Option<&str>, mut tree: Tree, bytes: &[u8]) -> Result<Self, AdminError> {
        require_whole(bytes)?;
        let (above, mut told) = (tree.snapshots.epoch(), Vec::new());
        for payload in frames(bytes) {
            let mut rest = &*payload.map_err(AdminError::Replica)?;
            while let Some(record) = next_record(&mut rest)? {
                tree.replay(&record).map_err(|_| AdminError::Replica("it does not fit what is here"))?;
            }
            let Tree { changes, image, .. } = &mut tree;
            told.extend(changes.take(image).0);
        }
        Ok(Self { base: base.map(str::to_owned), above, tree, told })
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
