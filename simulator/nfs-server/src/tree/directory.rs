//! Directories: names, and the cookies by which a listing is resumed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::tree::error::TreeError;
use crate::tree::inode::InodeNumber;

/// The longest name, in bytes.
pub(crate) const NAME_MAX: usize = 255;
/// The cookies of `.` and `..`; those of entries follow.
const COOKIE_SELF: u64 = 1;
const COOKIE_PARENT: u64 = 2;

/// A name that an entry can have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct EntryName(Arc<[u8]>);

/// The directory that every directory of a tree with visible snapshots seems to have.
pub(crate) const SNAPSHOT_DIRECTORY: &[u8] = b".snapshot";

impl EntryName {
    /// Refuses what is too long, empty, `.` or `..`, or holds a slash or a NUL.
    pub(crate) fn parse(name: &[u8]) -> Result<Self, TreeError> {
        if name.len() > NAME_MAX {
            return Err(TreeError::NameTooLong);
        }
        if name.is_empty()
            || name == b"."
            || name == b".."
            || name.iter().any(|byte| matches!(byte, b'/' | 0))
        {
            return Err(TreeError::Invalid);
        }
        Ok(Self(name.into()))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Entries by name, and by cookie. A cookie is given once, upwards, and dies with its entry: a
/// listing resumed behind any cookie neither repeats nor skips an entry that was there all along.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    parent: InodeNumber,
    by_name: HashMap<EntryName, u64>,
    by_cookie: BTreeMap<u64, (EntryName, InodeNumber)>,
    next_cookie: u64,
}

impl Directory {
    /// An empty directory in `parent`; a root is its own parent.
    pub(super) fn new(parent: InodeNumber) -> Self {
        let next_cookie = COOKIE_PARENT + 1;
        Self { parent, by_name: HashMap::new(), by_cookie: BTreeMap::new(), next_cookie }
    }

    pub(super) fn parent(&self) -> InodeNumber {
        self.parent
    }

    pub(super) fn set_parent(&mut self, parent: InodeNumber) {
        self.parent = parent;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(super) fn find(&self, name: &EntryName) -> Option<InodeNumber> {
        let cookie = self.by_name.get(name)?;
        self.by_cookie.get(cookie).map(|(_, inode)| *inode)
    }

    /// The cookie of the next entry.
    pub(super) fn next_cookie(&self) -> u64 {
        self.next_cookie
    }

    /// Lets no cookie below this be given again.
    pub(super) fn keep_cookies_above(&mut self, next: u64) {
        self.next_cookie = self.next_cookie.max(next);
    }

    /// Adds an entry, or lets an existing name mean another inode.
    pub(super) fn put(&mut self, name: EntryName, inode: InodeNumber) {
        self.put_at(self.next_cookie, name, inode);
    }

    /// Adds an entry whose cookie is known.
    pub(super) fn put_at(&mut self, cookie: u64, name: EntryName, inode: InodeNumber) {
        self.remove(&name);
        self.keep_cookies_above(cookie.saturating_add(1));
        self.by_name.insert(name.clone(), cookie);
        self.by_cookie.insert(cookie, (name, inode));
    }

    /// Every entry with its cookie.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, &EntryName, InodeNumber)> {
        self.by_cookie.iter().map(|(cookie, (name, inode))| (*cookie, name, *inode))
    }

    /// Does this cookie mean the same entry here?
    pub(super) fn has_entry(&self, cookie: u64, name: &EntryName, inode: InodeNumber) -> bool {
        self.by_cookie.get(&cookie).is_some_and(|(ours, number)| ours == name && *number == inode)
    }

    pub(super) fn remove(&mut self, name: &EntryName) {
        if let Some(cookie) = self.by_name.remove(name) {
            self.by_cookie.remove(&cookie);
        }
    }

    /// Entries behind `cookie` (0: from the start), each with its own; `.` is `own`.
    pub(super) fn entries_behind(
        &self,
        cookie: u64,
        own: InodeNumber,
    ) -> impl Iterator<Item = (u64, &[u8], InodeNumber)> {
        let dots = [(COOKIE_SELF, &b"."[..], own), (COOKIE_PARENT, &b".."[..], self.parent)];
        let entries = self.by_cookie.range(cookie.saturating_add(1)..);
        dots.into_iter()
            .filter(move |(dot, ..)| *dot > cookie)
            .chain(entries.map(|(cookie, (name, inode))| (*cookie, &*name.0, *inode)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> EntryName {
        EntryName::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn names_that_no_entry_can_have_are_refused() {
        for bad in ["", ".", "..", "a/b", "a\0b"] {
            assert_eq!(EntryName::parse(bad.as_bytes()), Err(TreeError::Invalid), "{bad:?}");
        }
        assert_eq!(EntryName::parse(&[b'x'; 256]), Err(TreeError::NameTooLong));
        assert!(EntryName::parse(&[b'x'; 255]).is_ok());
    }

    #[test]
    fn a_listing_goes_on_where_it_was_although_its_last_entry_was_deleted() {
        let mut directory = Directory::new(InodeNumber::ROOT);
        for text in ["a", "b", "c", "d"] {
            directory.put(name(text), InodeNumber(100));
        }
        let seen: Vec<_> = directory.entries_behind(0, InodeNumber(1)).take(4).map(|e| (e.0, e.1)).collect();
        assert_eq!(seen, [(1, &b"."[..]), (2, b".."), (3, b"a"), (4, b"b")]);
        directory.remove(&name("a"));
        directory.remove(&name("b"));
        let rest: Vec<_> = directory.entries_behind(4, InodeNumber(1)).map(|e| e.1).collect();
        assert_eq!(rest, [b"c", b"d"]);
    }

    #[test]
    fn a_cookie_of_the_far_end_lists_nothing() {
        let directory = Directory::new(InodeNumber::ROOT);
        assert_eq!(directory.entries_behind(u64::MAX, InodeNumber(1)).count(), 0);
    }
}
