//! READDIR and READDIRPLUS (RFC 1813 §3.3.16, §3.3.17).

use crate::handle::HANDLE_LENGTH;
use crate::nfs3::data::MAX_TRANSFER;
use crate::nfs3::wire::{self, Status, put_handle, put_optional_attributes};
use crate::nfs3::{Nfs3, require_attributes};
use crate::rpc::{Caller, Refusal};
use crate::tree::{InodeNumber, Tree};
use crate::xdr::{Decoder, Encoder, opaque_size};

/// Cookies here outlive every change of a directory, hence they need no verifier. RFC 1813 §3.3.16
/// lets such a server answer zeros.
const COOKIE_VERIFIER: [u8; 8] = [0; 8];
/// status, `post_op_attr`, verifier, end of list, eof: what a listing takes without entries.
const LISTING_OVERHEAD: usize = 4 + (4 + 84) + 8 + 4 + 4;
/// `name_attributes` and `name_handle` of READDIRPLUS.
const PLUS: usize = (4 + 84) + 4 + (4 + HANDLE_LENGTH);

/// What the client wants of a listing.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    cookie: u64,
    /// Bound of names, cookies and file ids alone (READDIRPLUS dircount).
    names_bound: usize,
    /// Bound of the whole result.
    bound: usize,
    plus: bool,
}

impl Nfs3 {
    pub(super) fn readdir(
        &self,
        caller: &Caller,
        from: &mut Decoder,
        to: &mut Encoder,
    ) -> Result<(), Refusal> {
        let dir = wire::handle(from)?;
        let cookie = from.u64()?;
        let _verifier: [u8; 8] = from.fixed()?;
        let bound = from.u32()?.min(MAX_TRANSFER) as usize;
        let wanted = Wanted { cookie, names_bound: usize::MAX, bound, plus: false };
        self.list(caller, &dir, wanted, to);
        Ok(())
    }

    pub(super) fn readdirplus(
        &self,
        caller: &Caller,
        from: &mut Decoder,
        to: &mut Encoder,
    ) -> Result<(), Refusal> {
        let dir = wire::handle(from)?;
        let cookie = from.u64()?;
        let _verifier: [u8; 8] = from.fixed()?;
        let names_bound = from.u32()? as usize;
        let bound = from.u32()?.min(MAX_TRANSFER) as usize;
        let wanted = Wanted { cookie, names_bound, bound, plus: true };
        self.list(caller, &dir, wanted, to);
        Ok(())
    }

    fn list(&self, caller: &Caller, dir: &[u8], wanted: Wanted, to: &mut Encoder) {
        let junctions = self.junctions_in(dir);
        self.inspect(caller, dir, to, |tree, dir, access, to| {
            let own = tree.entries_behind(dir, &access.who, wanted.cookie)?.map(|(cookie, name, number)| {
                Entry { cookie, name, file_id: number.0, number: Some(number) }
            });
            let below =
                junctions.iter().filter(|junction| junction.cookie > wanted.cookie).map(|junction| Entry {
                    cookie: junction.cookie,
                    name: junction.name.as_bytes(),
                    file_id: junction.cookie,
                    number: None,
                });
            put_optional_attributes(to, Some(require_attributes(tree, dir)?));
            to.fixed(&COOKIE_VERIFIER);
            put_entries(tree, own.chain(below), wanted, to)
        });
    }
}

/// A line of a listing.
#[derive(Debug, Clone, Copy)]
struct Entry<'tree> {
    cookie: u64,
    name: &'tree [u8],
    file_id: u64,
    /// Of an inode of this tree; what lies behind a junction the client must look up.
    number: Option<InodeNumber>,
}

/// At least one entry is given whatever `names_bound` says: a client that got none and no end would
/// ask the same for ever.
fn put_entries<'tree>(
    tree: &Tree,
    entries: impl Iterator<Item = Entry<'tree>>,
    wanted: Wanted,
    to: &mut Encoder,
) -> Result<(), Status> {
    let mut entries = entries.peekable();
    let (mut size, mut names) = (LISTING_OVERHEAD, 0);
    while let Some(entry) = entries.peek().copied() {
        let name_size = 8 + opaque_size(entry.name.len()) + 8;
        let entry_size = 4 + name_size + if wanted.plus { PLUS } else { 0 };
        let names_full = names > 0 && names + name_size > wanted.names_bound;
        if names_full || size + entry_size > wanted.bound {
            break;
        }
        to.bool(true);
        to.u64(entry.file_id);
        to.opaque(entry.name);
        to.u64(entry.cookie);
        if wanted.plus {
            put_plus(tree, entry.number, to);
        }
        size += entry_size;
        names += name_size;
        entries.next();
    }
    let ended = entries.peek().is_none();
    if names == 0 && !ended {
        return Err(Status::TooSmall);
    }
    to.bool(false);
    to.bool(ended);
    Ok(())
}

/// `name_attributes` and `name_handle`.
fn put_plus(tree: &Tree, number: Option<InodeNumber>, to: &mut Encoder) {
    let attributes = number.and_then(|number| tree.attributes(number).ok());
    put_optional_attributes(to, attributes);
    let node = number.and_then(|number| tree.node(number).ok()).zip(attributes);
    to.option(node, |to, (node, attributes)| put_handle(to, attributes.fsid, node));
}
