//! Copies of files that an administrator asks for: no client moves the bytes.

use crate::tree::attributes::{FileKind, SetAttributes};
use crate::tree::content::{CHUNK, Content};
use crate::tree::error::TreeError;
use crate::tree::inode::InodeNumber;
use crate::tree::namespace::Creation;
use crate::tree::permission::Identity;
use crate::tree::{AdminError, FileTree, Tree};

/// Whoever administers the tree.
const ROOT: Identity = Identity { uid: 0, gid: 0, groups: Vec::new() };

/// A copy's name until it is whole; nobody sees it, since the tree is held meanwhile.
const UNFINISHED: &[u8] = b".copy-that-is-being-made";

/// Bytes of one file that are to be bytes of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileRange {
    /// Where they begin in the one.
    pub source: u64,
    /// Where they begin in the other.
    pub destination: u64,
    /// How many.
    pub length: u64,
}

impl FileTree {
    /// Whether something is at the path, and whether it is a regular file; `.snapshot` can be entered.
    #[must_use]
    pub fn holds_file(&self, path: &str) -> Option<bool> {
        let tree = self.look();
        let number = tree.find_path(path).ok()?;
        Some(tree.attributes(number).ok()?.kind == FileKind::Regular)
    }

    /// Makes a file that begins as another one, with its owner and mode, as one change; with `replace` an
    /// existing one is overwritten.
    ///
    /// # Errors
    /// [`AdminError::Tree`]: a path that leads nowhere or to no regular file, a name in use, no space.
    pub fn copy_file(&self, source: &str, destination: &str, replace: bool) -> Result<(), AdminError> {
        self.administer(|tree| Ok(tree.copy_file(source, destination, replace)?))
    }

    /// Puts ranges of a file into another one that is there, or into itself, as one change; the rest of it stays.
    ///
    /// # Errors
    /// [`AdminError::Tree`]: a path that leads to no regular file, a range beyond the end of the source, no space.
    /// Nothing changed then.
    pub fn copy_ranges(
        &self,
        source: &str,
        destination: &str,
        ranges: &[FileRange],
    ) -> Result<(), AdminError> {
        self.administer(|tree| Ok(tree.copy_ranges(source, destination, ranges)?))
    }

    /// The size of the regular file at a path, in bytes.
    #[must_use]
    pub fn file_size(&self, path: &str) -> Option<u64> {
        let tree = self.look();
        let number = tree.find_path(path).ok()?;
        Some(tree.inode(number).ok()?.content().ok()?.size())
    }

    /// Takes a copy back.
    ///
    /// # Errors
    /// [`AdminError::Tree`] when it is not there.
    pub fn remove_file(&self, path: &str) -> Result<(), AdminError> {
        self.administer(|tree| {
            let (dir, name) = tree.find_parent(path)?;
            Ok(tree.remove(dir, &ROOT, name.as_bytes())?)
        })
    }
}

impl Tree {
    fn find_path(&self, path: &str) -> Result<InodeNumber, TreeError> {
        let names = path.split('/').filter(|name| !name.is_empty());
        names.into_iter().try_fold(InodeNumber::ROOT, |dir, name| self.lookup(dir, &ROOT, name.as_bytes()))
    }

    /// The directory of a path's last name, and that name.
    fn find_parent<'path>(&self, path: &'path str) -> Result<(InodeNumber, &'path str), TreeError> {
        let path = path.trim_matches('/');
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.find_path(above)?, name))
    }

    fn copy_file(&mut self, source: &str, destination: &str, replace: bool) -> Result<(), TreeError> {
        let from = self.find_path(source)?;
        let (dir, name) = self.find_parent(destination)?;
        let attributes = self.attributes(from)?;
        let content = self.inode(from)?.content()?.clone();
        let set = SetAttributes {
            mode: Some(attributes.mode),
            uid: Some(attributes.uid),
            gid: Some(attributes.gid),
            ..SetAttributes::default()
        };
        match self.lookup(dir, &ROOT, name.as_bytes()) {
            // What is there stays until the copy is whole.
            Ok(there) if replace && there != from => self.inode(there)?.content().map(drop)?,
            Ok(_) => return Err(TreeError::Exists),
            Err(_) => {}
        }
        let made = self.create(dir, &ROOT, UNFINISHED, Creation::Guarded(set))?;
        let filled = self.fill(made, &content);
        match filled.and_then(|()| self.rename(&ROOT, (dir, UNFINISHED), (dir, name.as_bytes()))) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.remove(dir, &ROOT, UNFINISHED)?;
                Err(error)
            }
        }
    }

    fn copy_ranges(
        &mut self,
        source: &str,
        destination: &str,
        ranges: &[FileRange],
    ) -> Result<(), TreeError> {
        let (from, to) = (self.find_path(source)?, self.find_path(destination)?);
        let before = self.inode(to)?.content()?.clone();
        let size = self.inode(from)?.content()?.size();
        if ranges.iter().any(|range| range.source.checked_add(range.length).is_none_or(|end| end > size)) {
            return Err(TreeError::Invalid);
        }
        // All of it is read before any of it is written: a file may be given its own bytes.
        let mut pieces = Vec::new();
        for range in ranges {
            let mut done = 0;
            while done < range.length {
                let length = CHUNK.min(range.length - done);
                let asked = u32::try_from(length).map_err(|_| TreeError::Invalid)?;
                let mut bytes = Vec::new();
                self.read(from, &ROOT, range.source + done, asked)?
                    .lend(|part| bytes.extend_from_slice(&part));
                pieces.push((range.destination.saturating_add(done), bytes));
                done += length;
            }
        }
        let written = pieces.iter().try_for_each(|(offset, bytes)| self.write(to, &ROOT, *offset, bytes));
        written.or_else(|error| {
            self.put_content(to, &before)?;
            Err(error)
        })
    }

    fn fill(&mut self, number: InodeNumber, wanted: &Content) -> Result<(), TreeError> {
        for (at, chunk) in wanted.changed_besides(&Content::default()) {
            self.write(number, &ROOT, at * CHUNK, chunk.as_ref())?;
        }
        let size = SetAttributes { size: Some(wanted.size()), ..SetAttributes::default() };
        self.set_attributes(number, &ROOT, &size, None)
    }
}
