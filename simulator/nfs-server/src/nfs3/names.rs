//! LOOKUP, and the procedures that make, link, rename and remove names (RFC 1813 §3.3.3, §3.3.8 to
//! §3.3.15).

use bytes::Bytes;

use crate::nfs3::wire::{self, Status, Wcc, put_handle, put_optional_attributes, put_status, put_wcc};
use crate::nfs3::{Nfs3, require_attributes};
use crate::rpc::{Caller, Refusal};
use crate::tree::{FileKind, InodeNumber, NewNode, SetAttributes, Tree};
use crate::xdr::{Decoder, Encoder, XdrError};

impl Nfs3 {
    pub(super) fn lookup(
        &self,
        caller: &Caller,
        from: &mut Decoder,
        to: &mut Encoder,
    ) -> Result<(), Refusal> {
        let (dir, name) = wire::entry(from)?;
        if let Some(junction) = self.find_junction(&dir, &name) {
            self.lookup_junction(caller, &dir, &junction, to);
            return Ok(());
        }
        self.inspect(caller, &dir, to, |tree, dir, access, to| {
            let found = tree.lookup(dir, &access.who, &name)?;
            let attributes = require_attributes(tree, found)?;
            put_handle(to, attributes.fsid, tree.node(found)?);
            put_optional_attributes(to, Some(attributes));
            put_optional_attributes(to, tree.attributes(dir).ok());
            Ok(())
        });
        Ok(())
    }

    pub(super) fn create(
        &self,
        caller: &Caller,
        from: &mut Decoder,
        to: &mut Encoder,
    ) -> Result<(), Refusal> {
        let (dir, name) = wire::entry(from)?;
        let how = wire::creation(from)?;
        let create = |tree: &mut Tree, dir, access: &crate::policy::Access| {
            Ok(tree.create(dir, &access.who, &name, how)?)
        };
        self.alter(caller, &dir, to, create, put_created);
        Ok(())
    }

    pub(super) fn mkdir(&self, caller: &Caller, from: &mut Decoder, to: &mut Encoder) -> Result<(), Refusal> {
        let (dir, name) = wire::entry(from)?;
        let set = wire::set_attributes(from)?;
        self.make(caller, (&dir, &name), Ok(NewNode::Directory), &set, to);
        Ok(())
    }

    pub(super) fn symlink(
        &self,
        caller: &Caller,
        from: &mut Decoder,
        to: &mut Encoder,
    ) -> Result<(), Refusal> {
        let (dir, name) = wire::entry(from)?;
        let set = wire::set_attributes(from)?;
        let target = wire::string(from)?;
        self.make(caller, (&dir, &name), Ok(NewNode::Symlink(target.to_vec())), &set, to);
        Ok(())
    }

    pub(super) fn mknod(&self, caller: &Caller, from: &mut Decoder, to: &mut Encoder) -> Result<(), Refusal> {
        let (dir, name) = wire::entry(from)?;
        let (node, set) = node_to_make(from)?;
        self.make(caller, (&dir, &name), node, &set, to);
        Ok(())
    }

    fn make(
        &self,
        caller: &Caller,
        (dir, name): (&Bytes, &Bytes),
        node: Result<NewNode, Status>,
        set: &SetAttributes,
        to: &mut Encoder,
    ) {
        self.alter(
            caller,
            dir,
            to,
            |tree, dir, access| Ok(tree.make(dir, &access.who, name, node?, set)?),
            put_created,
        );
    }

    pub(super) fn remove(
        &self,
        caller: &Caller,
        from: &mut Decoder,
        to: &mut Encoder,
    ) -> Result<(), Refusal> {
        let (dir, name) = wire::entry(from)?;
        self.alter(
            caller,
            &dir,
            to,
            |tree, dir, access| Ok(tree.remove(dir, &access.who, &name)?),
            |_, (), wcc, to| put_wcc(to, wcc),
        );
        Ok(())
    }

    pub(super) fn rmdir(&self, caller: &Caller, from: &mut Decoder, to: &mut Encoder) -> Result<(), Refusal> {
        let (dir, name) = wire::entry(from)?;
        self.alter(
            caller,
            &dir,
            to,
            |tree, dir, access| Ok(tree.remove_directory(dir, &access.who, &name)?),
            |_, (), wcc, to| put_wcc(to, wcc),
        );
        Ok(())
    }

    pub(super) fn rename(
        &self,
        caller: &Caller,
        from: &mut Decoder,
        to: &mut Encoder,
    ) -> Result<(), Refusal> {
        let old = wire::entry(from)?;
        let new = wire::entry(from)?;
        let (mut source, mut target) = (Wcc::default(), Wcc::default());
        let outcome = self.rename_in_tree(caller, &old, &new, (&mut source, &mut target));
        put_status(to, outcome.err().unwrap_or(Status::Ok));
        put_wcc(to, source);
        put_wcc(to, target);
        Ok(())
    }

    fn rename_in_tree(
        &self,
        caller: &Caller,
        (old_dir, old_name): &(Bytes, Bytes),
        (new_dir, new_name): &(Bytes, Bytes),
        (source, target): (&mut Wcc, &mut Wcc),
    ) -> Result<(), Status> {
        let old = self.reach(caller, old_dir)?;
        let new = self.reach(caller, new_dir)?;
        if old.tree.fsid() != new.tree.fsid() {
            return Err(Status::CrossDevice);
        }
        let mut tree = old.tree.change();
        let old_dir = tree.require_node(old.node)?;
        let new_dir = tree.require_node(new.node)?;
        (source.before, target.before) = (tree.attributes(old_dir).ok(), tree.attributes(new_dir).ok());
        let outcome = match old.access.writable {
            true => tree.rename(&old.access.who, (old_dir, old_name), (new_dir, new_name)),
            false => return Err(Status::ReadOnly),
        };
        (source.after, target.after) = (tree.attributes(old_dir).ok(), tree.attributes(new_dir).ok());
        Ok(outcome?)
    }

    pub(super) fn link(&self, caller: &Caller, from: &mut Decoder, to: &mut Encoder) -> Result<(), Refusal> {
        let file = wire::handle(from)?;
        let entry = wire::entry(from)?;
        let (mut attributes, mut wcc) = (None, Wcc::default());
        let outcome = self.link_in_tree(caller, &file, &entry, (&mut attributes, &mut wcc));
        put_status(to, outcome.err().unwrap_or(Status::Ok));
        put_optional_attributes(to, attributes);
        put_wcc(to, wcc);
        Ok(())
    }

    fn link_in_tree(
        &self,
        caller: &Caller,
        file: &Bytes,
        (dir, name): &(Bytes, Bytes),
        (attributes, wcc): (&mut Option<crate::tree::Attributes>, &mut Wcc),
    ) -> Result<(), Status> {
        let file = self.reach(caller, file)?;
        let dir = self.reach(caller, dir)?;
        if file.tree.fsid() != dir.tree.fsid() {
            return Err(Status::CrossDevice);
        }
        let mut tree = file.tree.change();
        let number = tree.require_node(file.node)?;
        let dir_number = tree.require_node(dir.node)?;
        wcc.before = tree.attributes(dir_number).ok();
        let outcome = match dir.access.writable {
            true => tree.link(number, dir_number, &dir.access.who, name),
            false => return Err(Status::ReadOnly),
        };
        *attributes = tree.attributes(number).ok();
        wcc.after = tree.attributes(dir_number).ok();
        Ok(outcome?)
    }
}

/// `mknoddata3`: what to make, or that this type cannot be made (§3.3.11 NFS3ERR_BADTYPE).
fn node_to_make(from: &mut Decoder) -> Result<(Result<NewNode, Status>, SetAttributes), XdrError> {
    let kind = from.u32()?;
    if !matches!(kind, 3 | 4 | 6 | 7) {
        return Ok((Err(Status::BadType), SetAttributes::default()));
    }
    let set = wire::set_attributes(from)?;
    let node = match kind {
        6 => NewNode::Socket,
        7 => NewNode::Fifo,
        _ => {
            let kind = if kind == 3 { FileKind::BlockDevice } else { FileKind::CharacterDevice };
            NewNode::Device { kind, device: (from.u32()?, from.u32()?) }
        }
    };
    Ok((Ok(node), set))
}

/// Handle and attributes of a new inode, then `wcc_data` of its directory.
fn put_created(tree: &Tree, number: InodeNumber, wcc: Wcc, to: &mut Encoder) {
    let attributes = tree.attributes(number).ok();
    let node = tree.node(number).ok().zip(attributes);
    to.option(node, |to, (node, attributes)| put_handle(to, attributes.fsid, node));
    put_optional_attributes(to, attributes);
    put_wcc(to, wcc);
}
