//! Checkpoints: a log that makes the tree as it is, snapshots first.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::tree::Tree;
use crate::tree::attributes::Timestamp;
use crate::tree::content::{CHUNK, Content};
use crate::tree::directory::Directory;
use crate::tree::image::Image;
use crate::tree::inode::{Inode, InodeNumber, Kind};
use crate::tree::space::Settings;
use crate::tree::store::files::{checkpoint_path, head, sync_dir};
use crate::tree::store::frame::Frame;
use crate::tree::store::record::{Meta, Record};
use crate::tree::store::{StoreError, io_error};

/// Records of a checkpoint are gathered up to about so many bytes.
const FRAME_SIZE: usize = 1 << 20;

/// A tree at one time. Taking it copies nothing.
#[derive(Debug)]
pub(in crate::tree) struct Picture {
    fsid: u64,
    settings: Settings,
    next_inode: u64,
    last_change: Timestamp,
    snapshots: Vec<(u32, String, Timestamp, Image)>,
    image: Image,
}

impl Picture {
    pub(in crate::tree) fn of(tree: &Tree) -> Self {
        let snapshots = tree.snapshots.iter();
        Self {
            fsid: tree.fsid,
            settings: tree.settings,
            next_inode: tree.next_inode,
            last_change: tree.last_change,
            snapshots: snapshots
                .map(|(id, taken)| (id, taken.name.clone(), taken.created, taken.image.clone()))
                .collect(),
            image: tree.image.clone(),
        }
    }
}

/// Writes a checkpoint under a passing name, and gives it its own when it is on disk. Returns its
/// length in bytes.
pub(super) fn write_checkpoint(dir: &Path, picture: &Picture, sequence: u64) -> Result<u64, StoreError> {
    let path = checkpoint_path(dir, sequence);
    let unfinished = path.with_extension("new");
    let file = File::create(&unfinished).map_err(io_error("create", &unfinished))?;
    let to = BufWriter::with_capacity(FRAME_SIZE, file);
    let mut writer = Writer::new(to, unfinished.clone());
    writer.put(&head(picture.fsid, sequence))?;
    writer.write_picture(picture)?;
    writer.finish()?;
    let length = writer.length;
    let file = writer.to.into_inner().map_err(|error| io_error("write", &unfinished)(error.into_error()))?;
    file.sync_all().map_err(io_error("sync", &unfinished))?;
    fs::rename(&unfinished, &path).map_err(io_error("rename", &unfinished))?;
    sync_dir(dir)?;
    Ok(length)
}

/// Writes frames.
#[derive(Debug)]
pub(super) struct Writer<W> {
    to: W,
    path: PathBuf,
    frame: Frame,
    length: u64,
}

impl<W: Write> Writer<W> {
    /// Writes to `to`, which errors call `path`.
    pub(super) fn new(to: W, path: PathBuf) -> Self {
        Self { to, path, frame: Frame::default(), length: 0 }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.length += bytes.len() as u64;
        self.to.write_all(bytes).map_err(io_error("write", &self.path))
    }

    pub(super) fn record(&mut self, record: &Record<'_>) -> Result<(), StoreError> {
        self.frame.push(record);
        if self.frame.len() < FRAME_SIZE { Ok(()) } else { self.finish_frame() }
    }

    fn finish_frame(&mut self) -> Result<(), StoreError> {
        let frame = std::mem::take(&mut self.frame);
        self.put(&frame.seal())
    }

    /// Ends it; what was written so far, in bytes.
    pub(super) fn finish(&mut self) -> Result<u64, StoreError> {
        self.record(&Record::End)?;
        self.finish_frame()?;
        Ok(self.length)
    }

    fn write_picture(&mut self, picture: &Picture) -> Result<(), StoreError> {
        let nothing = Image::default();
        let mut before = &nothing;
        for (id, name, created, image) in &picture.snapshots {
            self.write_step(before, image)?;
            self.record(&Record::Snapshot { id: *id, name: name.as_bytes(), created: *created })?;
            before = image;
        }
        self.write_step(before, &picture.image)?;
        let Picture { settings, next_inode, last_change, .. } = *picture;
        self.record(&Record::Settings { settings, next_inode, last_change })
    }

    /// What makes of one state the next.
    pub(super) fn write_step(&mut self, before: &Image, after: &Image) -> Result<(), StoreError> {
        for (id, qtree) in &before.qtrees {
            if after.qtrees.get(id).is_none_or(|later| later.root != qtree.root) {
                self.record(&Record::NoQtree { id: *id })?;
            }
        }
        for (id, qtree) in &after.qtrees {
            self.record(&Record::Qtree { id: *id, root: qtree.root, quota: qtree.quota })?;
        }
        for (number, _, later) in before.changed_besides(after) {
            if later.is_none() {
                self.record(&Record::Gone { number })?;
            }
        }
        for (number, inode, earlier) in after.changed_besides(before) {
            self.write_inode(number, inode, earlier)?;
        }
        Ok(())
    }

    fn write_inode(
        &mut self,
        number: InodeNumber,
        inode: &Inode,
        earlier: Option<&Inode>,
    ) -> Result<(), StoreError> {
        self.record(&Record::Inode { number, meta: Meta::of(inode) })?;
        match (&inode.kind, earlier.map(|earlier| &earlier.kind)) {
            (Kind::Directory(directory), Some(Kind::Directory(earlier))) => {
                self.write_entries(number, directory, earlier)
            }
            (Kind::Directory(directory), _) => {
                self.write_entries(number, directory, &Directory::new(InodeNumber::ROOT))
            }
            (Kind::File { content, .. }, Some(Kind::File { content: earlier, .. })) => {
                self.write_content(number, content, earlier)
            }
            (Kind::File { content, .. }, _) => self.write_content(number, content, &Content::default()),
            _ => Ok(()),
        }
    }

    fn write_entries(
        &mut self,
        dir: InodeNumber,
        directory: &Directory,
        earlier: &Directory,
    ) -> Result<(), StoreError> {
        for (cookie, name, inode) in earlier.entries() {
            if !directory.has_entry(cookie, name, inode) {
                self.record(&Record::NoEntry { dir, name: name.as_bytes() })?;
            }
        }
        for (cookie, name, inode) in directory.entries() {
            if !earlier.has_entry(cookie, name, inode) {
                self.record(&Record::Entry { dir, cookie, name: name.as_bytes(), inode })?;
            }
        }
        Ok(())
    }

    fn write_content(
        &mut self,
        number: InodeNumber,
        content: &Content,
        earlier: &Content,
    ) -> Result<(), StoreError> {
        let common = content.common_size(earlier);
        self.record(&Record::Size { number, size: common })?;
        let mut cut = earlier.clone();
        cut.set_size(common, 0, 0);
        for (at, chunk) in content.changed_besides(&cut) {
            self.record(&Record::Data { number, offset: at * CHUNK, data: chunk.as_ref() })?;
        }
        self.record(&Record::Size { number, size: content.size() })
    }
}
