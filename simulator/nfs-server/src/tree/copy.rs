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

    fn fill(&mut self, number: InodeNumber, wanted: &Content) -> Result<(), TreeError> {
        for (at, chunk) in wanted.changed_besides(&Content::default()) {
            self.write(number, &ROOT, at * CHUNK, chunk.as_ref())?;
        }
        let size = SetAttributes { size: Some(wanted.size()), ..SetAttributes::default() };
        self.set_attributes(number, &ROOT, &size, None)
    }
}
