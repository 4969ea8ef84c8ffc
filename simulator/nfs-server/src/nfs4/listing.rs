//! READDIR (RFC 8881 §18.23).

use crate::export::Export;
use crate::handle::FileHandle;
use crate::nfs4::attributes::put_attribute_error;
use crate::nfs4::compound::{Compound, Failure};
use crate::nfs4::namespace::{Place, junction_id};
use crate::nfs4::operation::{Bitmap, MAX_TRANSFER};
use crate::nfs4::status::Status;
use crate::tree::{InodeNumber, Tree};
use crate::xdr::{Encoder, opaque_size};

/// `cookieverf`, end of list, eof.
const OVERHEAD: usize = 8 + 4 + 4;
/// Cookies 0 to 2 are reserved; the tree has 1 and 2 for `.` and `..`, which v4 does not list.
const LAST_RESERVED: u64 = 2;

/// What the client wants of a listing.
struct Wanted {
    cookie: u64,
    names_bound: usize,
    bound: usize,
    attributes: Bitmap,
}

/// Cookie and name of a place in a directory.
type Junction = (u64, String, Place);

/// A listing as it grows.
struct Listing<'to> {
    wanted: Wanted,
    to: &'to mut Encoder,
    start: usize,
    names: usize,
    entries: usize,
}

impl Listing<'_> {
    /// Adds an entry; no, if it does not fit.
    fn add(
        &mut self,
        (cookie, name): (u64, &[u8]),
        put: impl FnOnce(Bitmap, &mut Encoder) -> Result<(), Status>,
    ) -> Result<bool, Status> {
        let at = self.to.len();
        let names = 8 + opaque_size(name.len());
        if self.entries > 0 && self.names + names > self.wanted.names_bound {
            return Ok(false);
        }
        self.to.bool(true);
        self.to.u64(cookie);
        self.to.opaque(name);
        put(self.wanted.attributes, self.to)?;
        if self.to.len() - self.start + OVERHEAD > self.wanted.bound {
            self.to.truncate(at);
            return Ok(false);
        }
        self.names += names;
        self.entries += 1;
        Ok(true)
    }

    fn end(self, complete: bool) -> Result<(), Failure> {
        if self.entries == 0 && !complete {
            return Err(Status::TooSmall.into());
        }
        self.to.bool(false);
        self.to.bool(complete);
        Ok(())
    }
}

impl Compound<'_> {
    pub(super) fn read_directory(
        &self,
        cookie: u64,
        (names_bound, bound): (u32, u32),
        attributes: Bitmap,
        to: &mut Encoder,
    ) -> Result<(), Failure> {
        if (1..=LAST_RESERVED).contains(&cookie) {
            return Err(Status::BadCookie.into());
        }
        let dir = self.handle()?;
        // A zero dircount is no hint (RFC 8881 §18.23.3).
        let names_bound = if names_bound == 0 { usize::MAX } else { names_bound as usize };
        let bound = bound.min(MAX_TRANSFER) as usize;
        to.u64(0);
        let start = to.len();
        let wanted = Wanted { cookie, names_bound, bound, attributes };
        let listing = Listing { wanted, to, start, names: 0, entries: 0 };
        match self.made_up_path(dir)? {
            Some(path) => self.list_junctions(self.junctions_in(&path), listing),
            None => self.list_tree(dir, listing),
        }
    }

    fn list_tree(&self, dir: FileHandle, mut listing: Listing) -> Result<(), Failure> {
        let reach = self.reach(dir)?;
        let is_root = reach.node.number == InodeNumber::ROOT;
        let mut below = if is_root { self.junctions_in(&reach.export.path) } else { Vec::new() };
        {
            let tree = reach.tree.look();
            let number = tree.require_node(reach.node)?;
            let who = &reach.access.who;
            // A junction hides what the tree has under its name; a directory made up does not.
            below.retain(|(_, name, place)| {
                matches!(place, Place::Export(_)) || tree.lookup(number, who, name.as_bytes()).is_err()
            });
            let behind = listing.wanted.cookie.max(LAST_RESERVED);
            for (cookie, name, found) in tree.entries_behind(number, who, behind)? {
                if below.iter().any(|(_, hiding, _)| hiding.as_bytes() == name) {
                    continue;
                }
                let put = |wanted, to: &mut Encoder| self.put_entry(&tree, found, &reach.export, wanted, to);
                if !listing.add((cookie, name), put)? {
                    return listing.end(false);
                }
            }
        }
        self.list_junctions(below, listing)
    }

    fn put_entry(
        &self,
        tree: &Tree,
        number: InodeNumber,
        export: &Export,
        wanted: Bitmap,
        to: &mut Encoder,
    ) -> Result<(), Status> {
        self.facts_in(tree, number, export)?.put(wanted, to);
        Ok(())
    }

    /// What the pseudo file system has in a directory; behind the entries of a tree.
    fn list_junctions(&self, below: Vec<Junction>, mut listing: Listing) -> Result<(), Failure> {
        for (cookie, name, place) in below {
            if cookie <= listing.wanted.cookie {
                continue;
            }
            let put = |wanted, to: &mut Encoder| self.put_place(&place, wanted, to);
            if !listing.add((cookie, name.as_bytes()), put)? {
                return listing.end(false);
            }
        }
        listing.end(true)
    }

    fn put_place(&self, place: &Place, wanted: Bitmap, to: &mut Encoder) -> Result<(), Status> {
        match place.handle().and_then(|handle| self.facts(handle)) {
            Ok(facts) => {
                facts.put(wanted, to);
                Ok(())
            }
            Err(status) if put_attribute_error(wanted, status, to) => Ok(()),
            Err(status) => Err(status),
        }
    }

    /// What stands in a directory of the pseudo file system, by cookie.
    fn junctions_in(&self, dir: &str) -> Vec<Junction> {
        let prefix = if dir == "/" { "/".to_owned() } else { format!("{dir}/") };
        let mut found: Vec<Junction> = Vec::new();
        for export in self.server.exports.all() {
            let Some(rest) = export.path.strip_prefix(&prefix).filter(|rest| !rest.is_empty()) else {
                continue;
            };
            let name = rest.split('/').next().unwrap_or(rest).to_owned();
            if rest == name {
                found.retain(|(_, other, _)| *other != name);
                found.push((junction_id(export.tree.fsid()), name, Place::Export(export)));
            } else if !found.iter().any(|(_, other, _)| *other == name) {
                let path = format!("{prefix}{name}");
                let id = self.made_up_facts(&path).mounted_on;
                found.push((junction_id(id), name, Place::MadeUp(path)));
            }
        }
        found.sort_by_key(|(cookie, ..)| *cookie);
        found
    }
}
