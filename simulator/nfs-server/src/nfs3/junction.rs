//! Junctions as a client meets them: names in the root directory of the volume above, behind which
//! another file system begins (another fsid, upon which Linux mounts it by itself).
//!
//! They come from the export table and not from the tree above: a volume mounted there is there at
//! once. Only junctions directly below a volume's root are shown.

use std::sync::Arc;

use crate::export::Export;
use crate::handle::FileHandle;
use crate::nfs3::wire::{Status, put_handle, put_optional_attributes};
use crate::nfs3::{Nfs3, require_attributes};
use crate::rpc::Caller;
use crate::tree::InodeNumber;
use crate::xdr::Encoder;

/// Cookies of junctions lie behind those of all entries, and below 2^63 (some clients take cookies
/// for signed).
const JUNCTION_COOKIES: u64 = 1 << 62;

/// A junction in a listing.
#[derive(Debug)]
pub(super) struct JunctionEntry {
    /// Made of the fsid behind it, hence stable; serves as file id as well.
    pub(super) cookie: u64,
    pub(super) name: String,
}

impl Nfs3 {
    /// The export mounted at `name` in a directory, if that is the root of the export above.
    pub(super) fn find_junction(&self, dir: &[u8], name: &[u8]) -> Option<Arc<Export>> {
        let handle = FileHandle::parse(dir).filter(|handle| handle.node.number == InodeNumber::ROOT)?;
        self.exports.find_junction(handle.fsid, std::str::from_utf8(name).ok()?)
    }

    /// LOOKUP of a junction: handle and attributes of the root behind it, then the directory's.
    pub(super) fn lookup_junction(&self, caller: &Caller, dir: &[u8], junction: &Export, to: &mut Encoder) {
        self.inspect(caller, dir, to, |tree, dir, access, to| {
            tree.lookup(dir, &access.who, b".")?;
            junction.policy.admit(caller.address, &caller.credential).ok_or(Status::Access)?;
            let behind = junction.tree.look();
            put_handle(to, junction.tree.fsid(), behind.node(InodeNumber::ROOT)?);
            put_optional_attributes(to, Some(require_attributes(&behind, InodeNumber::ROOT)?));
            put_optional_attributes(to, tree.attributes(dir).ok());
            Ok(())
        });
    }

    /// The junctions in a directory, by cookie.
    pub(super) fn junctions_in(&self, dir: &[u8]) -> Vec<JunctionEntry> {
        let root = FileHandle::parse(dir).filter(|handle| handle.node.number == InodeNumber::ROOT);
        let found = root.map(|handle| self.exports.junctions_in(handle.fsid)).unwrap_or_default();
        let mut entries: Vec<_> = found
            .into_iter()
            .map(|(name, fsid)| JunctionEntry { cookie: JUNCTION_COOKIES | (fsid >> 2), name })
            .collect();
        entries.sort_by_key(|entry| entry.cookie);
        entries
    }
}
