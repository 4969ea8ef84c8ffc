//! The files of a tree's directory: `lock`, `checkpoint-N`, `log-N`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::tree::Tree;
use crate::tree::store::checkpoint::{Picture, write_checkpoint};
use crate::tree::store::frame::Frame;
use crate::tree::store::log::{Log, Segment};
use crate::tree::store::record::Record;
use crate::tree::store::{Durability, StoreError, io_error};

/// What every file begins with; the last byte is the version.
pub(super) const MAGIC: [u8; 8] = *b"FILTREE\x01";
const FIRST: u64 = 1;

/// A directory that this process alone uses, for as long as this lives.
#[derive(Debug)]
pub(in crate::tree) struct Claim {
    pub(super) dir: PathBuf,
    _lock: File,
}

/// The checkpoints and logs there are, by number.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) checkpoints: Vec<u64>,
    pub(super) logs: Vec<u64>,
    unfinished: Vec<PathBuf>,
}

pub(super) fn checkpoint_path(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("checkpoint-{sequence}"))
}

pub(super) fn log_path(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("log-{sequence}"))
}

/// Takes the directory for this process.
pub(in crate::tree) fn claim(dir: &Path) -> Result<Claim, StoreError> {
    let path = dir.join("lock");
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let lock = lock.map_err(io_error("open", &path))?;
    match lock.try_lock() {
        Ok(()) => Ok(Claim { dir: dir.to_owned(), _lock: lock }),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(StoreError::Io { what: "lock", path, source }),
    }
}

impl Listing {
    pub(super) fn read(dir: &Path) -> Result<Self, StoreError> {
        let mut listing = Self::default();
        for entry in fs::read_dir(dir).map_err(io_error("list", dir))? {
            let path = entry.map_err(io_error("list", dir))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let number = |prefix| name.strip_prefix(prefix).and_then(|number: &str| number.parse().ok());
            if let Some(number) = number("checkpoint-") {
                listing.checkpoints.push(number);
            } else if let Some(number) = number("log-") {
                listing.logs.push(number);
            } else if name.ends_with(".new") {
                listing.unfinished.push(path);
            }
        }
        listing.checkpoints.sort_unstable();
        listing.logs.sort_unstable();
        Ok(listing)
    }

    /// Removes what a checkpoint left when it was interrupted.
    pub(super) fn remove_unfinished(&self) -> Result<(), StoreError> {
        self.unfinished.iter().try_for_each(|path| fs::remove_file(path).map_err(io_error("remove", path)))
    }
}

/// Writes a new tree's first files into a claimed directory.
pub(in crate::tree) fn create(
    claim: Claim,
    durability: Durability,
    tree: Tree,
) -> Result<(Arc<RwLock<Tree>>, Arc<Log>), StoreError> {
    let listing = Listing::read(&claim.dir)?;
    if !listing.checkpoints.is_empty() {
        return Err(StoreError::TreeExists(claim.dir));
    }
    listing.remove_unfinished()?;
    // The log first: a directory with a checkpoint is a tree.
    let mut segment = new_segment(&claim.dir, tree.fsid, FIRST, 0)?;
    segment.checkpoint = write_checkpoint(&claim.dir, &Picture::of(&tree), FIRST)?;
    Ok(attach(claim, durability, segment, tree))
}

/// Lets a tree record its changes in a log.
pub(super) fn attach(
    claim: Claim,
    durability: Durability,
    segment: Segment,
    mut tree: Tree,
) -> (Arc<RwLock<Tree>>, Arc<Log>) {
    tree.changes.start_recording();
    let tree = Arc::new(RwLock::new(tree));
    let log = Arc::new(Log::new(claim, durability, segment, Arc::downgrade(&tree)));
    (tree, log)
}

/// An empty log.
pub(super) fn new_segment(
    dir: &Path,
    fsid: u64,
    sequence: u64,
    checkpoint: u64,
) -> Result<Segment, StoreError> {
    let path = log_path(dir, sequence);
    let mut file = File::create(&path).map_err(io_error("create", &path))?;
    let head = head(fsid, sequence);
    file.write_all(&head).and_then(|()| file.sync_data()).map_err(io_error("write", &path))?;
    sync_dir(dir)?;
    Ok(Segment { file, path, sequence, length: head.len() as u64, checkpoint })
}

/// The first bytes of a file.
pub(super) fn head(fsid: u64, sequence: u64) -> Vec<u8> {
    let mut frame = Frame::default();
    frame.push(&Record::File { fsid, sequence });
    [&MAGIC[..], &frame.seal()].concat()
}

/// Makes names in the directory durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("sync", dir))
}

/// Removes what checkpoint `sequence` has made needless.
pub(super) fn remove_older(dir: &Path, sequence: u64) -> Result<(), StoreError> {
    let listing = Listing::read(dir)?;
    let checkpoints = listing.checkpoints.iter().map(|number| (*number, checkpoint_path(dir, *number)));
    let logs = listing.logs.iter().map(|number| (*number, log_path(dir, *number)));
    for (_, path) in checkpoints.chain(logs).filter(|(number, _)| *number < sequence) {
        fs::remove_file(&path).map_err(io_error("remove", &path))?;
    }
    Ok(())
}
