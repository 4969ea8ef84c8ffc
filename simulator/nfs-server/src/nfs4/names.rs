//! ACCESS, CREATE, LINK, READLINK, REMOVE, RENAME (RFC 8881 §18.1, §18.4, §18.9, §18.24 to §18.26).

use crate::handle::FileHandle;
use crate::nfs4::attributes::change_of;
use crate::nfs4::compound::{Compound, Failure};
use crate::nfs4::namespace::{Place, require_name};
use crate::nfs4::operation::{CreateKind, RawAttributes};
use crate::nfs4::status::Status;
use crate::policy::Access;
use crate::tree::{FileKind, InodeNumber, NewNode, Right, Tree};
use crate::xdr::Encoder;

const ACCESS_READ: u32 = 0x01;
const ACCESS_LOOKUP: u32 = 0x02;
const ACCESS_MODIFY: u32 = 0x04;
const ACCESS_EXTEND: u32 = 0x08;
const ACCESS_DELETE: u32 = 0x10;
const ACCESS_EXECUTE: u32 = 0x20;
const ACCESS_ALL: u32 = 0x3f;

/// `change_info4` of a directory; atomic, as the tree was held all along.
pub(super) fn put_change(to: &mut Encoder, before: u64, after: u64) {
    to.bool(true);
    to.u64(before);
    to.u64(after);
}

pub(super) fn change(tree: &Tree, number: InodeNumber) -> Result<u64, Status> {
    Ok(change_of(&tree.attributes(number)?))
}

fn granted(tree: &Tree, number: InodeNumber, access: &Access) -> Result<u32, Status> {
    let is_directory = tree.attributes(number)?.kind == FileKind::Directory;
    let grant = |right, bits| if tree.permits(number, &access.who, right) { bits } else { 0 };
    let change = match (access.writable, is_directory) {
        (false, _) => 0,
        (true, true) => ACCESS_MODIFY | ACCESS_EXTEND | ACCESS_DELETE,
        (true, false) => ACCESS_MODIFY | ACCESS_EXTEND,
    };
    Ok(grant(Right::Read, ACCESS_READ)
        | grant(Right::Write, change)
        | grant(Right::Execute, if is_directory { ACCESS_LOOKUP } else { ACCESS_EXECUTE }))
}

impl Compound<'_> {
    pub(super) fn access(&self, asked: u32, to: &mut Encoder) -> Result<(), Failure> {
        let handle = self.handle()?;
        let granted = match self.made_up_path(handle)? {
            Some(_) => ACCESS_READ | ACCESS_LOOKUP,
            None => self.inspect(handle, |tree, number, access| Ok(granted(tree, number, access)?))?,
        };
        to.u32(asked & ACCESS_ALL);
        to.u32(asked & granted);
        Ok(())
    }

    pub(super) fn read_link(&self, to: &mut Encoder) -> Result<(), Failure> {
        let minor = self.minor;
        self.inspect(self.handle()?, |tree, number, _| {
            if tree.attributes(number)?.kind != FileKind::Symlink {
                return Err(if minor == 0 { Status::Invalid } else { Status::WrongType }.into());
            }
            to.opaque(tree.read_link(number)?);
            Ok(())
        })
    }

    pub(super) fn create(
        &mut self,
        kind: CreateKind,
        name: &[u8],
        attributes: &RawAttributes,
        to: &mut Encoder,
    ) -> Result<(), Failure> {
        require_name(name)?;
        let node = match kind {
            CreateKind::Directory => NewNode::Directory,
            CreateKind::Symlink(target) => NewNode::Symlink(target.to_vec()),
            CreateKind::Socket => NewNode::Socket,
            CreateKind::Fifo => NewNode::Fifo,
            CreateKind::Device { is_block, device } => {
                let kind = if is_block { FileKind::BlockDevice } else { FileKind::CharacterDevice };
                NewNode::Device { kind, device }
            }
            CreateKind::Other => return Err(Status::BadType.into()),
        };
        let set = attributes.to_set(self.minor)?;
        let dir = self.handle()?;
        if self.is_junction(dir, name) {
            return Err(Status::Exist.into());
        }
        let (made, before, after) = self.alter(dir, |tree, number, access| {
            let before = change(tree, number)?;
            let made = tree.make(number, &access.who, name, node, &set)?;
            Ok((tree.node(made)?, before, change(tree, number)?))
        })?;
        put_change(to, before, after);
        attributes.mask.put(to);
        self.set_current(FileHandle { fsid: dir.fsid, node: made });
        Ok(())
    }

    /// Does another export begin there?
    pub(super) fn is_junction(&self, dir: FileHandle, name: &[u8]) -> bool {
        let Ok(name) = std::str::from_utf8(name) else { return false };
        if dir.node.number != InodeNumber::ROOT {
            return false;
        }
        let Some(export) = self.server.exports.find_by_fsid(dir.fsid) else { return false };
        let path = format!("{}/{name}", export.path.trim_end_matches('/'));
        matches!(self.place(&path), Some(Place::Export(_)))
    }

    pub(super) fn remove(&self, name: &[u8], to: &mut Encoder) -> Result<(), Failure> {
        require_name(name)?;
        let dir = self.handle()?;
        if self.is_junction(dir, name) {
            return Err(Status::FileOpen.into());
        }
        let (before, after) = self.alter(dir, |tree, number, access| {
            let before = change(tree, number)?;
            let found = tree.lookup(number, &access.who, name)?;
            if tree.attributes(found)?.kind == FileKind::Directory {
                tree.remove_directory(number, &access.who, name)?;
            } else {
                tree.remove(number, &access.who, name)?;
            }
            Ok((before, change(tree, number)?))
        })?;
        put_change(to, before, after);
        Ok(())
    }

    pub(super) fn rename(&self, old: &[u8], new: &[u8], to: &mut Encoder) -> Result<(), Failure> {
        require_name(old)?;
        require_name(new)?;
        let (source, target) = (self.saved_handle()?, self.handle()?);
        if source.fsid != target.fsid {
            // Each is to be reached, or that is the answer.
            self.reach(source)?;
            self.reach(target)?;
            return Err(Status::CrossDevice.into());
        }
        if self.is_junction(source, old) || self.is_junction(target, new) {
            return Err(Status::FileOpen.into());
        }
        let changes = self.alter(source, |tree, from, access| {
            let into = tree.require_node(target.node)?;
            let before = (change(tree, from)?, change(tree, into)?);
            tree.rename(&access.who, (from, old), (into, new)).map_err(rename_status)?;
            Ok([(before.0, change(tree, from)?), (before.1, change(tree, into)?)])
        })?;
        for (before, after) in changes {
            put_change(to, before, after);
        }
        Ok(())
    }

    pub(super) fn link(&self, name: &[u8], to: &mut Encoder) -> Result<(), Failure> {
        require_name(name)?;
        let (file, dir) = (self.saved_handle()?, self.handle()?);
        if file.fsid != dir.fsid {
            self.reach(file)?;
            self.reach(dir)?;
            return Err(Status::CrossDevice.into());
        }
        if self.is_junction(dir, name) {
            return Err(Status::Exist.into());
        }
        let (before, after) = self.alter(dir, |tree, number, access| {
            let before = change(tree, number)?;
            let linked = tree.require_node(file.node)?;
            tree.link(linked, number, &access.who, name)?;
            Ok((before, change(tree, number)?))
        })?;
        put_change(to, before, after);
        Ok(())
    }
}

/// RFC 8881 §18.26.3: a target in the way is EXIST, of whatever sort.
fn rename_status(error: crate::tree::TreeError) -> Status {
    match Status::from(error) {
        Status::NotEmpty | Status::IsDir => Status::Exist,
        status => status,
    }
}
