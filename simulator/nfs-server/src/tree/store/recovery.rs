//! From the files of a directory to a tree.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::tree::Tree;
use crate::tree::directory::EntryName;
use crate::tree::store::files::{
    self, Claim, Listing, MAGIC, attach, checkpoint_path, log_path, new_segment,
};
use crate::tree::store::frame::{Found, HEADER, read_frame};
use crate::tree::store::log::{Log, Segment};
use crate::tree::store::record::Record;
use crate::tree::store::{Durability, StoreError, io_error};

/// The tree in a claimed directory.
pub(in crate::tree) fn recover(
    claim: Claim,
    durability: Durability,
) -> Result<(Arc<RwLock<Tree>>, Arc<Log>), StoreError> {
    let listing = Listing::read(&claim.dir)?;
    let newest = *listing.checkpoints.last().ok_or_else(|| StoreError::NoTree(claim.dir.clone()))?;
    let mut checkpoint = Source::open(checkpoint_path(&claim.dir, newest))?;
    let mut tree = Tree::bare(checkpoint.fsid_of(newest)?, 0);
    checkpoint.replay_checkpoint(&mut tree)?;
    let logs: Vec<u64> = listing.logs.iter().copied().filter(|log| *log >= newest).collect();
    require_unbroken(&claim.dir, newest, &logs)?;
    let mut segment = None;
    for sequence in &logs {
        let is_last = logs.last() == Some(sequence);
        segment = Source::open(log_path(&claim.dir, *sequence))?.replay_log(&mut tree, *sequence, is_last)?;
    }
    let mut segment = match segment {
        Some(segment) => segment,
        // None was begun, or the last one not finished its first bytes.
        None => {
            new_segment(&claim.dir, tree.fsid, logs.last().copied().unwrap_or(newest), checkpoint.length)?
        }
    };
    segment.checkpoint = checkpoint.length;
    listing.remove_unfinished()?;
    files::remove_older(&claim.dir, newest)?;
    tracing::info!(dir = %claim.dir.display(), inodes = tree.image.inodes.len(), "file tree opened");
    Ok(attach(claim, durability, segment, tree))
}

/// The logs must be those that follow the checkpoint, none left out.
fn require_unbroken(dir: &Path, newest: u64, logs: &[u64]) -> Result<(), StoreError> {
    match (newest..).zip(logs).find(|(expected, found)| expected != *found) {
        None => Ok(()),
        Some((missing, _)) => Err(StoreError::Damaged {
            file: log_path(dir, missing),
            offset: 0,
            reason: "the file is missing",
        }),
    }
}

/// A file being read.
#[derive(Debug)]
struct Source {
    from: BufReader<File>,
    path: PathBuf,
    length: u64,
    /// Where the next frame begins.
    offset: u64,
    payload: Vec<u8>,
}

impl Source {
    fn open(path: PathBuf) -> Result<Self, StoreError> {
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(io_error("open", &path))?;
        let length = file.metadata().map_err(io_error("look at", &path))?.len();
        let from = BufReader::with_capacity(1 << 20, file);
        Ok(Self { from, path, length, offset: 0, payload: Vec::new() })
    }

    fn damaged(&self, reason: &'static str) -> StoreError {
        StoreError::Damaged { file: self.path.clone(), offset: self.offset, reason }
    }

    /// Reads the next frame into the payload.
    fn advance(&mut self) -> Result<Found, StoreError> {
        let found = read_frame(&mut self.from, self.length - self.offset, &mut self.payload);
        found.map_err(io_error("read", &self.path))
    }

    fn step(&mut self) {
        self.offset += (HEADER + self.payload.len()) as u64;
    }

    /// Reads the first bytes; returns whose file this is, or `None` where they are not all there.
    fn read_head(&mut self, sequence: u64) -> Result<Option<u64>, StoreError> {
        let mut magic = Vec::new();
        let read = (&mut self.from).take(MAGIC.len() as u64).read_to_end(&mut magic);
        read.map_err(io_error("read", &self.path))?;
        if !MAGIC.starts_with(&magic) {
            return Err(self.damaged("it does not begin as a file of a tree does"));
        }
        self.offset = magic.len() as u64;
        match self.advance()? {
            Found::Frame => {}
            Found::Torn | Found::End => return Ok(None),
            Found::Damaged(reason) => return Err(self.damaged(reason)),
        }
        match Record::decode(&mut &*self.payload) {
            Some(Record::File { fsid, sequence: number }) if number == sequence => {
                self.step();
                Ok(Some(fsid))
            }
            _ => Err(self.damaged("it is another file, renamed")),
        }
    }

    fn fsid_of(&mut self, sequence: u64) -> Result<u64, StoreError> {
        self.read_head(sequence)?.ok_or_else(|| self.damaged("the file ends too early"))
    }

    fn apply(&self, tree: &mut Tree) -> Result<bool, StoreError> {
        let mut rest = &*self.payload;
        while !rest.is_empty() {
            let record =
                Record::decode(&mut rest).ok_or_else(|| self.damaged("the record is of no known kind"))?;
            if record == Record::End {
                return Ok(true);
            }
            tree.apply(&record).map_err(|_| self.damaged("the record does not fit what came before it"))?;
        }
        Ok(false)
    }

    fn replay_checkpoint(&mut self, tree: &mut Tree) -> Result<(), StoreError> {
        loop {
            match self.advance()? {
                Found::Frame if self.apply(tree)? => return Ok(()),
                Found::Frame => self.step(),
                Found::Torn | Found::End => return Err(self.damaged("the file ends too early")),
                Found::Damaged(reason) => return Err(self.damaged(reason)),
            }
        }
    }

    /// Replays a log. The last one may have a torn end, which is cut off, and goes on from there;
    /// `None` if not even its beginning is whole.
    fn replay_log(
        mut self,
        tree: &mut Tree,
        sequence: u64,
        is_last: bool,
    ) -> Result<Option<Segment>, StoreError> {
        match self.read_head(sequence)? {
            Some(fsid) if fsid == tree.fsid => {}
            Some(_) => return Err(self.damaged("it belongs to another tree")),
            None if is_last => return Ok(None),
            None => return Err(self.damaged("the file ends too early")),
        }
        let torn = loop {
            match self.advance()? {
                Found::Frame => {
                    self.apply(tree)?;
                    self.step();
                }
                Found::End => break false,
                Found::Torn if is_last => break true,
                Found::Torn => return Err(self.damaged("the file ends too early")),
                Found::Damaged(reason) => return Err(self.damaged(reason)),
            }
        };
        let Self { from, path, length, offset, .. } = self;
        let mut file = from.into_inner();
        file.seek(SeekFrom::Start(offset)).map_err(io_error("seek in", &path))?;
        let mut segment = Segment { file, path, sequence, length: offset, checkpoint: 0 };
        if torn {
            let bytes = length - offset;
            tracing::warn!(log = %segment.path.display(), bytes, "cut off a change that was not finished");
            segment.cut_at(offset)?;
        }
        Ok(Some(segment))
    }
}

impl Tree {
    /// Does what a record tells.
    pub(super) fn apply(&mut self, record: &Record<'_>) -> Result<(), crate::tree::TreeError> {
        match *record {
            Record::File { .. } | Record::End => {}
            Record::Settings { settings, next_inode, last_change } => {
                self.settings = settings;
                self.next_inode = self.next_inode.max(next_inode);
                self.last_change = self.last_change.max(last_change);
            }
            Record::Inode { number, meta } => {
                self.last_change = self.last_change.max(meta.changed());
                self.restore_inode(number, meta.to_inode());
            }
            Record::Gone { number } => self.drop_inode(number),
            Record::Entry { dir, cookie, name, inode } => {
                let name = EntryName::parse(name)?;
                self.inode_mut(dir)?.directory_mut()?.put_at(cookie, name, inode);
            }
            Record::NoEntry { dir, name } => self.remove_entry(dir, &EntryName::parse(name)?)?,
            Record::Data { number, offset, data } => self.put_data(number, offset, data)?,
            Record::Size { number, size } => self.put_size(number, size)?,
            Record::Qtree { id, root, quota } => {
                self.put_qtree(id, crate::tree::quota::Qtree { root, quota, used_blocks: 0, files: 0 });
            }
            Record::NoQtree { id } => self.forget_qtree(id),
            Record::Snapshot { id, name, created } => {
                self.put_snapshot(id, &String::from_utf8_lossy(name), created);
            }
            Record::SnapshotName { id, name } => self.put_snapshot_name(id, &String::from_utf8_lossy(name)),
            Record::NoSnapshot { id } => self.drop_snapshot(id),
            Record::Restore { id } => self.restore_snapshot(id)?,
        }
        Ok(())
    }
}
