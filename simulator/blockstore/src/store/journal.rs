//! The journal: what makes a data directory outlive the process and the power.
//!
//! ```text
//! write ─► page to a new slot ─► record to the buffer ─► index in memory
//! flush ─► commit: sync the page file ─► buffer as one frame to the journal ─► sync the journal
//!                                                            └► slots freed before it can be reused
//! ```
//!
//! The order of a commit is what crash safety rests on: no record is on disk before the pages it
//! names are. Flushes that come while a commit runs wait for the next one and share it. A commit
//! that finds the journal grown past its bound begins a new generation of it with a checkpoint.

use std::io;
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::{Condvar, Mutex};

use super::catalog::Catalog;
use super::checkpoint;
use super::frame::seal;
use super::medium::{Directory, RawFile};
use super::pagefile::PageFile;
use super::record::Record;
use crate::error::BlockError;

/// Bytes of records in memory from which a write commits without being asked to.
const BUFFER: usize = 1 << 20;

/// A checkpoint under this name is not finished.
pub(crate) const UNFINISHED: &str = "journal.new";

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Journal {
    directory: Arc<dyn Directory>,
    pages: Arc<PageFile>,
    buffer: Mutex<Buffer>,
    /// A commit ended.
    settled: Condvar,
    file: Mutex<JournalFile>,
    /// What a checkpoint is of. Weak: the volumes in it have the journal.
    catalog: OnceLock<Weak<Mutex<Catalog>>>,
    /// Bytes of commits after which a checkpoint is due.
    checkpoint_after: u64,
}

#[derive(Debug, Default)]
struct Buffer {
    records: Vec<u8>,
    /// Changes recorded so far.
    appended: u64,
    /// Of these, durable.
    durable: u64,
    committing: bool,
}

/// The file the journal is written to.
#[derive(Debug)]
pub(crate) struct JournalFile {
    pub(crate) file: Box<dyn RawFile>,
    pub(crate) generation: u64,
    /// Number of the next frame.
    pub(crate) next: u64,
    /// Where it goes.
    pub(crate) end: u64,
    pub(crate) checkpoint_end: u64,
}

/// Name of a generation of the journal.
pub(crate) fn name_of(generation: u64) -> String {
    format!("journal.{generation}")
}

impl Journal {
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        pages: Arc<PageFile>,
        file: JournalFile,
        checkpoint_after: u64,
    ) -> Self {
        Self {
            directory,
            pages,
            buffer: Mutex::default(),
            settled: Condvar::new(),
            file: Mutex::new(file),
            catalog: OnceLock::new(),
            checkpoint_after,
        }
    }

    /// What checkpoints are of, from now on.
    pub(crate) fn serve(&self, catalog: &Arc<Mutex<Catalog>>) {
        let _ = self.catalog.set(Arc::downgrade(catalog));
    }

    pub(crate) fn pages(&self) -> &Arc<PageFile> {
        &self.pages
    }

    /// Records a change, which a crash then leaves wholly in or wholly out. Call it *before* the
    /// change drops a page: a freed slot must not be older than the record that freed it. Returns
    /// what to [`Journal::commit`].
    pub(crate) fn append(&self, records: &[Record]) -> Result<u64, BlockError> {
        self.pages.require_running()?;
        let mut buffer = self.buffer.lock();
        for record in records {
            record.encode(&mut buffer.records);
        }
        buffer.appended += 1;
        Ok(buffer.appended)
    }

    /// Commits when much has come together since the last commit.
    pub(crate) fn commit_if_due(&self) -> Result<(), BlockError> {
        let mut buffer = self.buffer.lock();
        if buffer.records.len() < BUFFER && !self.pages.wants_commit() {
            return Ok(());
        }
        // Slots may wait that no record freed: those of copies that are in no record.
        buffer.appended += 1;
        let appended = buffer.appended;
        drop(buffer);
        self.commit(appended)
    }

    /// Commits all that was recorded so far.
    pub(crate) fn commit_all(&self) -> Result<(), BlockError> {
        let appended = self.buffer.lock().appended;
        self.commit(appended)
    }

    /// Returns when the change that [`Journal::append`] numbered so is durable. Blocks for the time
    /// of a disk synchronisation or two; hold no lock of a volume or the catalog.
    pub(crate) fn commit(&self, number: u64) -> Result<(), BlockError> {
        let mut buffer = self.buffer.lock();
        loop {
            if buffer.durable >= number {
                return Ok(());
            }
            self.pages.require_running()?;
            if buffer.committing {
                self.settled.wait(&mut buffer);
                continue;
            }
            buffer.committing = true;
            drop(buffer);
            let outcome = self.commit_once();
            buffer = self.buffer.lock();
            buffer.committing = false;
            if let Ok(upto) = outcome {
                buffer.durable = upto;
            }
            self.settled.notify_all();
            outcome?;
        }
    }

    /// Bytes of the journal file.
    pub(crate) fn length(&self) -> u64 {
        self.file.lock().end
    }

    /// One commit; up to which change it went. Any error stops the store.
    fn commit_once(&self) -> Result<u64, BlockError> {
        let mut file = self.file.lock();
        // Freed first, records second: every slot taken here was freed by a record taken here.
        let freed = self.pages.take_freed();
        let (records, upto) = self.take_buffer();
        self.pages.sync()?;
        if !records.is_empty() {
            file.append(&records).map_err(|error| self.stop(&name_of(file.generation), &error))?;
        }
        self.pages.release(freed);
        if file.end - file.checkpoint_end > self.checkpoint_after.max(file.checkpoint_end)
            && let Some(catalog) = self.catalog.get().and_then(Weak::upgrade)
        {
            return self.checkpoint(&mut file, &catalog);
        }
        Ok(upto)
    }

    fn take_buffer(&self) -> (Vec<u8>, u64) {
        let mut buffer = self.buffer.lock();
        (std::mem::take(&mut buffer.records), buffer.appended)
    }

    /// Begins a new generation. What was recorded but not committed is in the captured state, which
    /// may also be ahead of the records that come next: each volume is captured on its own, and
    /// records applied again change nothing. Snapshots and clones are kept out meanwhile, for *those*
    /// depend on the moment.
    fn checkpoint(&self, file: &mut JournalFile, catalog: &Mutex<Catalog>) -> Result<u64, BlockError> {
        let (freed, upto, state) = {
            let catalog = catalog.lock();
            let freed = self.pages.take_freed();
            let (_, upto) = self.take_buffer();
            (freed, upto, catalog.capture())
        };
        self.pages.sync()?;
        let generation = file.generation + 1;
        let (data, frames) = checkpoint::encode(generation, &state);
        let begun = begin(self.directory.as_ref(), generation, &data);
        let begun = begun.map_err(|error| self.stop(&name_of(generation), &error))?;
        // A leftover is removed when the store is opened.
        let _ = self.directory.remove(&name_of(file.generation));
        let end = data.len() as u64;
        *file = JournalFile { file: begun, generation, next: frames, end, checkpoint_end: end };
        self.pages.release(freed);
        Ok(upto)
    }

    fn stop(&self, name: &str, error: &io::Error) -> BlockError {
        let path = self.directory.path(name);
        self.pages.stop_because(format!("cannot write {}: {error}", path.display()))
    }
}

/// Makes a generation of the journal: complete and durable before it has its name.
pub(crate) fn begin(directory: &dyn Directory, generation: u64, data: &[u8]) -> io::Result<Box<dyn RawFile>> {
    let file = directory.create(UNFINISHED)?;
    file.write_all_at(data, 0)?;
    file.sync()?;
    directory.rename(UNFINISHED, &name_of(generation))?;
    directory.sync()?;
    Ok(file)
}

impl JournalFile {
    fn append(&mut self, records: &[u8]) -> io::Result<()> {
        let mut frame = Vec::with_capacity(records.len() + 64);
        seal(&mut frame, self.generation, self.next, records);
        self.file.write_all_at(&frame, self.end)?;
        self.file.sync()?;
        self.end += frame.len() as u64;
        self.next += 1;
        Ok(())
    }
}

impl Drop for Journal {
    /// An orderly end keeps everything.
    fn drop(&mut self) {
        // What fails now was never acknowledged.
        let _ = self.commit_all();
    }
}
