//! A directory whose power fails: what was not synchronised is lost sector by sector, as chance has
//! it, and so are the last creations and renames.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::store::medium::{Directory, RawFile};

/// What a disk writes as a whole, in bytes.
const SECTOR: usize = 512;

type Shared<T> = Arc<Mutex<T>>;

/// See the [module](self). Clones are the same directory.
#[derive(Clone, Debug, Default)]
pub(crate) struct PowerDirectory {
    world: Shared<World>,
}

#[derive(Debug, Default)]
struct World {
    names: BTreeMap<String, Shared<Content>>,
    /// The names as they were at every change since the last synchronisation, oldest first.
    past: Vec<BTreeMap<String, Shared<Content>>>,
    /// Operations that still succeed; `None`: all.
    fuse: Option<u64>,
}

#[derive(Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Writes since the last synchronisation: where, and what.
    pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug)]
struct PowerFile {
    world: Shared<World>,
    content: Shared<Content>,
}

impl PowerDirectory {
    /// The power fails after so many more operations that change something.
    pub(crate) fn fail_after(&self, operations: u64) {
        self.world.lock().fuse = Some(operations);
    }

    /// What the disk holds when the power is back.
    pub(crate) fn after_power_loss(&self, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let world = self.world.lock();
        let states: Vec<_> = world.past.iter().chain([&world.names]).collect();
        let names = states[random.random_range(0..states.len())];
        let survive = |(name, content): (&String, &Shared<Content>)| {
            let held = content.lock().survivors(&mut random);
            let content = Content { now: held.clone(), durable: held, pending: Vec::new() };
            (name.clone(), Arc::new(Mutex::new(content)))
        };
        let names = names.iter().map(survive).collect();
        Self { world: Arc::new(Mutex::new(World { names, ..World::default() })) }
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        self.world.lock().names[name].lock().now.clone()
    }

    /// A copy with one file different, or without it.
    pub(crate) fn with(&self, name: &str, bytes: Option<&[u8]>) -> Self {
        let mut copy = self.world.lock().names.clone();
        for content in copy.values_mut() {
            let now = content.lock().now.clone();
            *content = Arc::new(Mutex::new(Content { now: now.clone(), durable: now, pending: Vec::new() }));
        }
        match bytes {
            None => drop(copy.remove(name)),
            Some(bytes) => {
                let (now, durable) = (bytes.to_vec(), bytes.to_vec());
                copy.insert(
                    name.to_owned(),
                    Arc::new(Mutex::new(Content { now, durable, pending: Vec::new() })),
                );
            }
        }
        Self { world: Arc::new(Mutex::new(World { names: copy, ..World::default() })) }
    }

    /// Names of the journals that are there.
    pub(crate) fn journals(&self) -> Vec<String> {
        self.world.lock().names.keys().filter(|name| name.starts_with("journal")).cloned().collect()
    }

    fn file(&self, content: &Shared<Content>) -> Box<dyn RawFile> {
        Box::new(PowerFile { world: self.world.clone(), content: content.clone() })
    }
}

impl Content {
    /// What of the unsynchronised writes reached the disk: any of their sectors.
    fn survivors(&self, random: &mut StdRng) -> Vec<u8> {
        let mut held = self.durable.clone();
        for (offset, data) in &self.pending {
            for (index, sector) in data.chunks(SECTOR).enumerate() {
                if random.random() {
                    put(&mut held, offset + index * SECTOR, sector);
                }
            }
        }
        held
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if bytes.len() < offset + data.len() {
        bytes.resize(offset + data.len(), 0);
    }
    bytes[offset..offset + data.len()].copy_from_slice(data);
}

impl World {
    fn require_power(&mut self) -> io::Result<()> {
        match &mut self.fuse {
            None => Ok(()),
            Some(0) => Err(io::Error::other("no power")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut BTreeMap<String, Shared<Content>>)) -> io::Result<()> {
        self.require_power()?;
        self.past.push(self.names.clone());
        change(&mut self.names);
        Ok(())
    }
}

impl Directory for PowerDirectory {
    fn open(&self, name: &str) -> io::Result<Option<Box<dyn RawFile>>> {
        Ok(self.world.lock().names.get(name).map(|content| self.file(content)))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn RawFile>> {
        let content = Shared::<Content>::default();
        self.world.lock().change(|names| drop(names.insert(name.to_owned(), content.clone())))?;
        Ok(self.file(&content))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.world.lock().change(|names| {
            let content = names.remove(from).unwrap();
            names.insert(to.to_owned(), content);
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        if !self.world.lock().names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.world.lock().change(|names| drop(names.remove(name)))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.world.lock().names.keys().cloned().collect())
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.world.lock();
        world.require_power()?;
        world.past.clear();
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("data").join(name)
    }
}

impl RawFile for PowerFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let content = self.content.lock();
        let start = offset as usize;
        let held = content.now.get(start..start + buffer.len());
        buffer.copy_from_slice(held.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let powered = self.world.lock().require_power();
        let mut content = self.content.lock();
        // The write during which the power fails may have reached the disk in part.
        content.pending.push((offset as usize, data.to_vec()));
        powered?;
        put(&mut content.now, offset as usize, data);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.world.lock().require_power()?;
        let mut content = self.content.lock();
        content.durable = content.now.clone();
        content.pending.clear();
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.content.lock().now.len() as u64)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.world.lock().require_power()?;
        let mut content = self.content.lock();
        content.now.resize(length as usize, 0);
        Ok(())
    }
}
