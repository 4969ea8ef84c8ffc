//! The log of one tree: frames gathered, written together, and awaited.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::tree::Tree;
use crate::tree::store::checkpoint::{Picture, write_checkpoint};
use crate::tree::store::files::{self, Claim};
use crate::tree::store::frame::Frame;
use crate::tree::store::{Durability, StoreError, io_error};

/// A log is not worth a checkpoint before it has this many bytes.
const MIN_CHECKPOINT: u64 = 16 << 20;

/// Where the changes of a tree go.
#[derive(Debug)]
pub(in crate::tree) struct Log {
    claim: Claim,
    durability: Durability,
    pending: Mutex<Pending>,
    segment: Mutex<Segment>,
    progress: watch::Sender<Progress>,
    /// Is a task at work that writes what is pending?
    writing: AtomicBool,
    /// Is a checkpoint being made?
    checkpointing: AtomicBool,
    tree: Weak<RwLock<Tree>>,
}

/// Frames not written yet.
#[derive(Debug, Default)]
struct Pending {
    frames: Vec<Frame>,
    /// Frames ever appended.
    appended: u64,
}

/// The file written to.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) sequence: u64,
    pub(super) length: u64,
    /// Bytes of the checkpoint before it.
    pub(super) checkpoint: u64,
}

/// How many frames have got how far.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    written: u64,
    durable: u64,
    failed: bool,
}

impl Log {
    pub(super) fn new(
        claim: Claim,
        durability: Durability,
        segment: Segment,
        tree: Weak<RwLock<Tree>>,
    ) -> Self {
        Self {
            claim,
            durability,
            pending: Mutex::default(),
            segment: Mutex::new(segment),
            progress: watch::Sender::new(Progress::default()),
            writing: AtomicBool::new(false),
            checkpointing: AtomicBool::new(false),
            tree,
        }
    }

    /// Appends the frame of a change; the caller holds the tree, so that the order is that of the
    /// changes. Returns the place to wait for.
    pub(in crate::tree) fn append(&self, frame: Frame) -> u64 {
        let mut pending = self.pending.lock();
        pending.frames.push(frame);
        pending.appended += 1;
        pending.appended
    }

    /// The place behind all changes so far.
    pub(in crate::tree) fn position(&self) -> u64 {
        self.pending.lock().appended
    }

    fn failed(&self) -> StoreError {
        StoreError::Failed(self.claim.dir.clone())
    }

    /// Waits until the log is written up to there, and, if asked, durable.
    pub(super) async fn await_position(
        self: &Arc<Self>,
        position: u64,
        durable: bool,
    ) -> Result<(), StoreError> {
        let mut progress = self.progress.subscribe();
        let reached = move |progress: &Progress| {
            progress.failed || position <= if durable { progress.durable } else { progress.written }
        };
        if !reached(&progress.borrow_and_update()) && !self.writing.swap(true, Ordering::AcqRel) {
            let log = Arc::clone(self);
            tokio::task::spawn_blocking(move || log.write_pending());
        }
        match progress.wait_for(reached).await {
            Ok(progress) if !progress.failed => Ok(()),
            _ => Err(self.failed()),
        }
    }

    /// Makes everything durable before it returns; for callers that are no task.
    pub(in crate::tree) fn flush(self: &Arc<Self>) -> Result<(), StoreError> {
        self.write_batch(&mut self.segment.lock());
        if self.progress.borrow().failed { Err(self.failed()) } else { Ok(()) }
    }

    /// Writes until nothing is pending.
    fn write_pending(self: Arc<Self>) {
        loop {
            self.write_batch(&mut self.segment.lock());
            self.writing.store(false, Ordering::Release);
            // What came since is ours, unless another has taken it up.
            let more = !self.pending.lock().frames.is_empty() && !self.progress.borrow().failed;
            if !more || self.writing.swap(true, Ordering::AcqRel) {
                break;
            }
        }
        self.checkpoint_if_grown();
    }

    /// Writes what is pending as one.
    fn write_batch(&self, segment: &mut Segment) {
        let (frames, upto) = {
            let mut pending = self.pending.lock();
            (std::mem::take(&mut pending.frames), pending.appended)
        };
        if frames.is_empty() || self.progress.borrow().failed {
            return;
        }
        let written = segment.write(frames).inspect(|()| {
            self.progress.send_modify(|progress| progress.written = upto);
        });
        let durable = written.and_then(|()| match self.durability {
            Durability::Process => Ok(()),
            Durability::Host => segment.file.sync_data(),
        });
        if let Err(error) = &durable {
            tracing::error!(log = %segment.path.display(), %error, "the log failed: the tree takes no more changes");
        }
        self.progress.send_modify(|progress| match durable {
            Ok(()) => progress.durable = upto,
            Err(_) => progress.failed = true,
        });
    }

    /// Starts a checkpoint once the log outweighs what it would replace.
    fn checkpoint_if_grown(self: &Arc<Self>) {
        let grown = {
            let segment = self.segment.lock();
            segment.length > MIN_CHECKPOINT.max(2 * segment.checkpoint)
        };
        if !grown || self.checkpointing.swap(true, Ordering::AcqRel) {
            return;
        }
        let log = Arc::clone(self);
        // A thread of its own: it may take as long as all data take to write.
        let started = std::thread::Builder::new().name("checkpoint".into()).spawn(move || {
            if let Err(error) = log.checkpoint() {
                tracing::error!(dir = %log.claim.dir.display(), ?error, "no checkpoint: the log goes on growing");
            }
            log.checkpointing.store(false, Ordering::Release);
        });
        if let Err(error) = started {
            tracing::error!(%error, "no thread for a checkpoint: the log goes on growing");
            self.checkpointing.store(false, Ordering::Release);
        }
    }

    /// Takes a picture of the tree, lets the log go on in a new file, writes the picture to a
    /// checkpoint and removes what that replaces.
    pub(super) fn checkpoint(&self) -> Result<(), StoreError> {
        let Some(tree) = self.tree.upgrade() else { return Ok(()) };
        let (picture, sequence) = {
            let tree = tree.write();
            let mut segment = self.segment.lock();
            // What is pending belongs before the picture: nobody changes the tree meanwhile.
            self.write_batch(&mut segment);
            if self.progress.borrow().failed {
                return Err(self.failed());
            }
            let checkpoint = segment.checkpoint;
            *segment = files::new_segment(&self.claim.dir, tree.fsid, segment.sequence + 1, checkpoint)?;
            (Picture::of(&tree), segment.sequence)
        };
        let length = write_checkpoint(&self.claim.dir, &picture, sequence)?;
        self.segment.lock().checkpoint = length;
        files::remove_older(&self.claim.dir, sequence)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.write_batch(&mut self.segment.lock());
    }
}

impl Segment {
    fn write(&mut self, frames: Vec<Frame>) -> io::Result<()> {
        let sealed: Vec<_> = frames.into_iter().map(Frame::seal).collect();
        let mut slices: Vec<_> = sealed.iter().map(|frame| IoSlice::new(frame)).collect();
        self.length += sealed.iter().map(|frame| frame.len() as u64).sum::<u64>();
        let mut left = &mut slices[..];
        while !left.is_empty() {
            match self.file.write_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Cuts off a frame whose writing ended in its middle.
    pub(super) fn cut_at(&mut self, length: u64) -> Result<(), StoreError> {
        self.length = length;
        self.file.set_len(length).map_err(io_error("cut", &self.path))
    }
}
