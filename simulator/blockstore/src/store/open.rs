//! Opening a data directory: read the newest journal, cut off what a crash left unfinished, and
//! build the index from the rest.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::catalog::Catalog;
use super::checkpoint;
use super::frame::{self, Defect, FORMAT, Header};
use super::journal::{self, Journal, JournalFile, UNFINISHED, name_of};
use super::medium::{Directory, RawFile};
use super::pagefile::{PAGES, PageFile};
use super::replay::{Content, Replay};
use super::{Recovery, Store};
use crate::error::StoreError;
use crate::image::{Image, Medium};
use crate::page::Pool;
use crate::volume::{Snapshot, Volume};

/// Opens the store in `directory`, or begins one there.
pub(crate) fn open(directory: Arc<dyn Directory>, checkpoint_after: u64) -> Result<Store, StoreError> {
    let opener = Opener { directory: directory.as_ref() };
    let mut generations = opener.generations()?;
    let newest = generations.pop();
    let pool = Pool::new();
    let pages = Arc::new(PageFile::new(opener.pages(newest)?, directory.path(PAGES), pool.clone()));
    let mut replay = Replay::new(pages.clone());
    let (file, recovery) = match newest {
        Some(generation) => opener.read(generation, &mut replay)?,
        None => (opener.begin()?, Recovery::default()),
    };
    let used = replay.used();
    pages.settle(&used)?;
    // What a crash in the middle of a checkpoint left.
    for leftover in generations.into_iter().map(name_of).chain([UNFINISHED.to_owned()]) {
        opener.remove(&leftover)?;
    }
    let journal = Arc::new(Journal::new(directory, pages, file, checkpoint_after));
    let catalog = Arc::new(Mutex::new(catalog_of(replay, &journal)));
    journal.serve(&catalog);
    Ok(Store { catalog, journal: Some(journal), pool, recovery })
}

fn catalog_of(replay: Replay, journal: &Arc<Journal>) -> Catalog {
    let image = |content: Content| {
        let medium = Medium::Disk(journal.clone());
        Image { size: content.size, pages: content.pages, medium }
    };
    let volumes = replay.volumes.into_iter();
    let snapshots = replay.snapshots.into_iter();
    Catalog {
        volumes: volumes.map(|(id, content)| (id, Volume::with_image(image(content), Some(id)))).collect(),
        snapshots: snapshots.map(|(id, content)| (id, Snapshot::of(image(content)))).collect(),
        armed: false,
    }
}

struct Opener<'a> {
    directory: &'a dyn Directory,
}

impl Opener<'_> {
    /// Generations of the journal that are there, the newest last.
    fn generations(&self) -> Result<Vec<u64>, StoreError> {
        let names = self.directory.names().map_err(self.failed("list", "."))?;
        let generation = |name: &String| name.strip_prefix("journal.")?.parse().ok();
        let mut generations: Vec<u64> = names.iter().filter_map(generation).collect();
        generations.sort_unstable();
        Ok(generations)
    }

    /// The page file; an empty one in a new store.
    fn pages(&self, newest: Option<u64>) -> Result<Box<dyn RawFile>, StoreError> {
        let held = self.directory.open(PAGES).map_err(self.failed("open", PAGES))?;
        let Some(file) = held else {
            let file = self.directory.create(PAGES).map_err(self.failed("create", PAGES))?;
            self.directory.sync().map_err(self.failed("synchronise", "."))?;
            return Ok(file);
        };
        if newest.is_none() && file.length().map_err(self.failed("examine", PAGES))? > 0 {
            return Err(self.damaged(
                PAGES,
                0,
                "there are pages, but the journal that names them is missing",
            ));
        }
        Ok(file)
    }

    /// The journal of a new store.
    fn begin(&self) -> Result<JournalFile, StoreError> {
        let (data, next) = checkpoint::encode(1, &Vec::new());
        let file = journal::begin(self.directory, 1, &data).map_err(self.failed("write", &name_of(1)))?;
        let end = data.len() as u64;
        Ok(JournalFile { file, generation: 1, next, end, checkpoint_end: end })
    }

    /// Reads a generation of the journal into `replay`.
    fn read(&self, generation: u64, replay: &mut Replay) -> Result<(JournalFile, Recovery), StoreError> {
        let name = name_of(generation);
        let file = self.directory.open(&name).map_err(self.failed("open", &name))?;
        let file = file.ok_or_else(|| self.damaged(&name, 0, "the file is missing"))?;
        let length = file.length().map_err(self.failed("examine", &name))?;
        let mut data = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut data, 0).map_err(self.failed("read", &name))?;
        let header = Header::decode(&data).map_err(|defect| self.defect(&name, defect))?;
        if header.generation != generation {
            return Err(self.damaged(&name, 0, "this is a journal of another generation"));
        }
        let frames = frame::walk(&data, header).map_err(|defect| self.defect(&name, defect))?;
        for payload in &frames.payloads {
            let applied = replay.apply_all(data.get(payload.clone()).unwrap_or_default());
            applied.map_err(|what| self.damaged(&name, payload.start as u64, what))?;
        }
        let end = frames.end as u64;
        if end < length {
            file.set_length(end).and_then(|()| file.sync()).map_err(self.failed("cut off", &name))?;
        }
        let (next, checkpoint_end) = (frames.payloads.len() as u64, header.checkpoint_end);
        let file = JournalFile { file, generation, next, end, checkpoint_end };
        Ok((file, Recovery { cut_off: length - end }))
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        match self.directory.remove(name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(self.failed("remove", name)(error))
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, action: &'static str, name: &str) -> impl FnOnce(std::io::Error) -> StoreError + use<> {
        let path = self.directory.path(name);
        move |source| StoreError::Io { action, path, source }
    }

    fn damaged(&self, name: &str, offset: u64, what: &'static str) -> StoreError {
        StoreError::Damaged { path: self.directory.path(name), offset, what }
    }

    fn defect(&self, name: &str, defect: Defect) -> StoreError {
        match defect {
            Defect::Damaged { offset, what } => self.damaged(name, offset, what),
            Defect::Format { found } => {
                StoreError::Format { path: self.directory.path(name), found, supported: FORMAT }
            }
        }
    }
}

/// Opens the store in a directory of the host.
pub(crate) fn open_path(path: &Path, checkpoint_after: u64) -> Result<Store, StoreError> {
    open(Arc::new(super::medium::HostDirectory::open(path)?), checkpoint_after)
}
