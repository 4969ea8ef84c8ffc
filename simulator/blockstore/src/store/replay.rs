//! The state of a store, built from the records of its journal.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::pagefile::PageFile;
use super::record::{Place, Record};
use super::{SnapshotId, VolumeId};
use crate::page::{DiskPage, PAGE_SIZE, Page};
use crate::tree::{FANOUT, Node, Tree};

/// A volume or a snapshot while it is built.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) size: u64,
    pub(crate) pages: Tree<Page>,
}

/// The state so far.
#[derive(Debug)]
pub(crate) struct Replay {
    file: Arc<PageFile>,
    pub(crate) volumes: BTreeMap<VolumeId, Content>,
    pub(crate) snapshots: BTreeMap<(VolumeId, SnapshotId), Content>,
    /// Nodes of the checkpoint, by number, with the pages below each.
    nodes: Vec<(Arc<Node<Page>>, u64)>,
    /// The page in each slot, so that leaves that share it share it again.
    slots: HashMap<u32, Arc<DiskPage>>,
}

impl Replay {
    pub(crate) fn new(file: Arc<PageFile>) -> Self {
        Self {
            file,
            volumes: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            nodes: Vec::new(),
            slots: HashMap::new(),
        }
    }

    /// Applies the records of one frame.
    pub(crate) fn apply_all(&mut self, mut records: &[u8]) -> Result<(), &'static str> {
        while !records.is_empty() {
            let record = Record::decode(&mut records).ok_or("a record cannot be read")?;
            self.apply(record)?;
        }
        Ok(())
    }

    /// The slots that hold pages, in order. Ends the replay.
    pub(crate) fn used(&mut self) -> Vec<u32> {
        self.nodes.clear();
        let used = self.slots.iter().filter(|(_, page)| Arc::strong_count(page) > 1);
        let mut used: Vec<u32> = used.map(|(slot, _)| *slot).collect();
        used.sort_unstable();
        self.slots.clear();
        used
    }

    fn apply(&mut self, record: Record) -> Result<(), &'static str> {
        if !matches!(record, Record::Leaf { .. } | Record::Inner { .. } | Record::Root { .. }) {
            // The checkpoint is over; what its nodes held must not look like it is still in use.
            self.nodes.clear();
        }
        match record {
            Record::Create { volume, size } => {
                self.volumes.insert(volume, Content { size, pages: Tree::new() });
            }
            Record::Remove { volume } => {
                self.volumes.remove(&volume);
            }
            Record::Snapshot { volume, snapshot } => {
                let content = self.volume(volume)?.clone();
                self.snapshots.insert((volume, snapshot), content);
            }
            Record::RemoveSnapshot { volume, snapshot } => {
                self.snapshots.remove(&(volume, snapshot));
            }
            Record::Copy { from, to } => {
                let content = self.volume(from)?.clone();
                self.volumes.insert(to, content);
            }
            Record::Clone { from, snapshot, to } => {
                let content = self.snapshot(from, snapshot)?.clone();
                self.volumes.insert(to, content);
            }
            Record::Restore { volume, snapshot } => {
                let content = self.snapshot(volume, snapshot)?.clone();
                *self.volume(volume)? = content;
            }
            Record::Resize { volume, size } => {
                let content = self.volume(volume)?;
                content.pages.remove(size.div_ceil(PAGE_SIZE as u64), u64::MAX);
                content.size = size;
            }
            Record::Map { volume, first, places } => {
                for (number, place) in (first..).zip(places) {
                    let page = self.page(place)?;
                    self.volume(volume)?.pages.put(number, page);
                }
            }
            Record::Unmap { volume, first, past } => self.volume(volume)?.pages.remove(first, past),
            Record::Leaf { pages } => self.leaf(pages)?,
            Record::Inner { children } => self.inner(children)?,
            Record::Root { volume, snapshot, size, height, node } => {
                let pages = match node {
                    None => Tree::new(),
                    Some(node) => {
                        let (root, pages) = self.node(node)?.clone();
                        Tree::from_root(Some(root), height.into(), pages)
                    }
                };
                let content = Content { size, pages };
                match snapshot {
                    Some(snapshot) => self.snapshots.insert((volume, snapshot), content).is_some(),
                    None => self.volumes.insert(volume, content).is_some(),
                };
            }
        }
        Ok(())
    }

    fn volume(&mut self, id: VolumeId) -> Result<&mut Content, &'static str> {
        self.volumes.get_mut(&id).ok_or("a record names a volume that is not there")
    }

    fn snapshot(&self, volume: VolumeId, id: SnapshotId) -> Result<&Content, &'static str> {
        self.snapshots.get(&(volume, id)).ok_or("a record names a snapshot that is not there")
    }

    fn node(&self, number: u32) -> Result<&(Arc<Node<Page>>, u64), &'static str> {
        self.nodes.get(number as usize).ok_or("a record names a node that is not there")
    }

    /// The page in a slot; one object for all who share it.
    fn page(&mut self, place: Place) -> Result<Page, &'static str> {
        if let Some(page) = self.slots.get(&place.slot) {
            if page.crc == place.crc {
                return Ok(Page::Disk(page.clone()));
            }
            if Arc::strong_count(page) > 1 {
                return Err("two different pages are said to be in one slot");
            }
        }
        let page = self.file.adopt(place.slot, place.crc);
        self.slots.insert(place.slot, page.clone());
        Ok(Page::Disk(page))
    }

    fn leaf(&mut self, pages: Vec<(u8, Place)>) -> Result<(), &'static str> {
        let mut leaf = [const { None }; FANOUT];
        let count = pages.len() as u64;
        for (at, place) in pages {
            *leaf.get_mut(usize::from(at)).ok_or("a leaf is too wide")? = Some(self.page(place)?);
        }
        self.nodes.push((Arc::new(Node::Leaf(leaf)), count));
        Ok(())
    }

    fn inner(&mut self, children: Vec<(u8, u32)>) -> Result<(), &'static str> {
        let mut inner = [const { None }; FANOUT];
        let mut count = 0;
        for (at, number) in children {
            let (child, pages) = self.node(number)?.clone();
            *inner.get_mut(usize::from(at)).ok_or("a node is too wide")? = Some(child);
            count += pages;
        }
        self.nodes.push((Arc::new(Node::Inner(inner)), count));
        Ok(())
    }
}
