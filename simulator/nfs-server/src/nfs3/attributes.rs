//! GETATTR, SETATTR, ACCESS (RFC 1813 §3.3.1, §3.3.2, §3.3.4).

use crate::nfs3::wire::{self, Status, put_attributes, put_optional_attributes, put_status, put_wcc};
use crate::nfs3::{Nfs3, require_attributes};
use crate::policy::Access;
use crate::rpc::{Caller, Refusal};
use crate::tree::{Attributes, FileKind, InodeNumber, Right, Tree};
use crate::xdr::{Decoder, Encoder};

const ACCESS_READ: u32 = 0x01;
const ACCESS_LOOKUP: u32 = 0x02;
const ACCESS_MODIFY: u32 = 0x04;
const ACCESS_EXTEND: u32 = 0x08;
const ACCESS_DELETE: u32 = 0x10;
const ACCESS_EXECUTE: u32 = 0x20;

impl Nfs3 {
    pub(super) fn getattr(
        &self,
        caller: &Caller,
        from: &mut Decoder,
        to: &mut Encoder,
    ) -> Result<(), Refusal> {
        let handle = wire::handle(from)?;
        match self.find_attributes(caller, &handle) {
            Ok(attributes) => {
                put_status(to, Status::Ok);
                put_attributes(to, attributes);
            }
            Err(status) => put_status(to, status),
        }
        Ok(())
    }

    fn find_attributes(&self, caller: &Caller, handle: &[u8]) -> Result<Attributes, Status> {
        let reach = self.reach(caller, handle)?;
        let tree = reach.tree.look();
        let number = tree.require_node(reach.node)?;
        require_attributes(&tree, number)
    }

    pub(super) fn setattr(
        &self,
        caller: &Caller,
        from: &mut Decoder,
        to: &mut Encoder,
    ) -> Result<(), Refusal> {
        let handle = wire::handle(from)?;
        let set = wire::set_attributes(from)?;
        let guard = from.option(wire::timestamp)?;
        self.alter(
            caller,
            &handle,
            to,
            |tree, number, access| Ok(tree.set_attributes(number, &access.who, &set, guard)?),
            |_, (), wcc, to| put_wcc(to, wcc),
        );
        Ok(())
    }

    pub(super) fn access(
        &self,
        caller: &Caller,
        from: &mut Decoder,
        to: &mut Encoder,
    ) -> Result<(), Refusal> {
        let handle = wire::handle(from)?;
        let asked = from.u32()?;
        self.inspect(caller, &handle, to, |tree, number, access, to| {
            let attributes = require_attributes(tree, number)?;
            put_optional_attributes(to, Some(attributes));
            to.u32(asked & granted(tree, number, attributes.kind, access));
            Ok(())
        });
        Ok(())
    }
}

fn granted(tree: &Tree, number: InodeNumber, kind: FileKind, access: &Access) -> u32 {
    let is_directory = kind == FileKind::Directory;
    let grant = |right, bits| if tree.permits(number, &access.who, right) { bits } else { 0 };
    let change = match (access.writable, is_directory) {
        (false, _) => 0,
        (true, true) => ACCESS_MODIFY | ACCESS_EXTEND | ACCESS_DELETE,
        (true, false) => ACCESS_MODIFY | ACCESS_EXTEND,
    };
    grant(Right::Read, ACCESS_READ)
        | grant(Right::Write, change)
        | grant(Right::Execute, if is_directory { ACCESS_LOOKUP } else { ACCESS_EXECUTE })
}
