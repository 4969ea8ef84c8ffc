//! A journal that begins anew: the state as records, each shared node and page told once.

use std::collections::HashMap;
use std::sync::Arc;

use super::frame::{HEADER, Header, seal};
use super::record::{Place, Record};
use super::{SnapshotId, VolumeId};
use crate::image::Image;
use crate::page::Page;
use crate::tree::Node;

/// Records a frame of a checkpoint holds at least, in bytes.
const FRAME: usize = 1 << 20;

/// What a checkpoint is of: every volume (no snapshot id) and every snapshot.
pub(crate) type Capture = Vec<(VolumeId, Option<SnapshotId>, Image)>;

/// A journal file with the state and nothing after it, and how many frames that takes.
pub(crate) fn encode(generation: u64, state: &Capture) -> (Vec<u8>, u64) {
    let mut writer =
        Writer { out: vec![0; HEADER], records: Vec::new(), generation, frames: 0, nodes: HashMap::new() };
    for (volume, snapshot, image) in state {
        let node = image.pages.root().map(|root| writer.node(root));
        let height = image.pages.height() as u8;
        let root = Record::Root { volume: *volume, snapshot: *snapshot, size: image.size, height, node };
        writer.put(&root);
    }
    writer.finish()
}

struct Writer {
    out: Vec<u8>,
    records: Vec<u8>,
    generation: u64,
    frames: u64,
    /// Numbers of the nodes written, by their address: `state` keeps them alive and in place.
    nodes: HashMap<*const Node<Page>, u32>,
}

impl Writer {
    /// The number of a node, which is written now unless it was before.
    fn node(&mut self, node: &Arc<Node<Page>>) -> u32 {
        if let Some(number) = self.nodes.get(&Arc::as_ptr(node)) {
            return *number;
        }
        let record = match node.as_ref() {
            Node::Leaf(pages) => {
                let place = |(at, page): (u8, &Option<Page>)| match page {
                    Some(Page::Disk(page)) => Some((at, Place { slot: page.slot, crc: page.crc })),
                    // A volume of a data directory has no pages in memory.
                    Some(Page::Memory(_)) | None => None,
                };
                Record::Leaf { pages: (0..).zip(pages).filter_map(place).collect() }
            }
            Node::Inner(children) => {
                let child =
                    |(at, child): (u8, &Option<Arc<Node<Page>>>)| Some((at, self.node(child.as_ref()?)));
                Record::Inner { children: (0..).zip(children).filter_map(child).collect() }
            }
        };
        self.put(&record);
        let number = self.nodes.len() as u32;
        self.nodes.insert(Arc::as_ptr(node), number);
        number
    }

    fn put(&mut self, record: &Record) {
        record.encode(&mut self.records);
        if self.records.len() >= FRAME {
            self.seal();
        }
    }

    fn seal(&mut self) {
        seal(&mut self.out, self.generation, self.frames, &self.records);
        self.records.clear();
        self.frames += 1;
    }

    fn finish(mut self) -> (Vec<u8>, u64) {
        if !self.records.is_empty() {
            self.seal();
        }
        let header = Header { generation: self.generation, checkpoint_end: self.out.len() as u64 };
        self.out[..HEADER].copy_from_slice(&header.encode());
        (self.out, self.frames)
    }
}
