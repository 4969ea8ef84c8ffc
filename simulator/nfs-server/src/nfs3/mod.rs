//! NFS v3 (RFC 1813): the 22 procedures over trees, under export policies.
//!
//! A procedure decodes its arguments, reaches the inode its handle names (export there? caller
//! admitted? inode still that one?) and runs under the tree's lock, results written as it goes.
//! Whatever fails after the decoding is a status with the attributes the protocol wants beside it.

mod attributes;
mod data;
mod filesystem;
mod junction;
mod listing;
mod names;
mod wire;

use std::sync::Arc;

use crate::export::Exports;
use crate::handle::FileHandle;
use crate::policy::Access;
use crate::rpc::{Caller, Refusal, Service};
use crate::tree::{Attributes, FileTree, InodeNumber, Node, Tree};
use crate::xdr::{Decoder, Encoder};

use wire::{Status, Wcc, put_optional_attributes, put_status, put_wcc};

/// The program number of NFS.
pub(crate) const PROGRAM: u32 = 100_003;
/// This version of it.
pub(crate) const VERSION: u32 = 3;

mod procedure {
    pub(super) const NULL: u32 = 0;
    pub(super) const GETATTR: u32 = 1;
    pub(super) const SETATTR: u32 = 2;
    pub(super) const LOOKUP: u32 = 3;
    pub(super) const ACCESS: u32 = 4;
    pub(super) const READLINK: u32 = 5;
    pub(super) const READ: u32 = 6;
    pub(super) const WRITE: u32 = 7;
    pub(super) const CREATE: u32 = 8;
    pub(super) const MKDIR: u32 = 9;
    pub(super) const SYMLINK: u32 = 10;
    pub(super) const MKNOD: u32 = 11;
    pub(super) const REMOVE: u32 = 12;
    pub(super) const RMDIR: u32 = 13;
    pub(super) const RENAME: u32 = 14;
    pub(super) const LINK: u32 = 15;
    pub(super) const READDIR: u32 = 16;
    pub(super) const READDIRPLUS: u32 = 17;
    pub(super) const FSSTAT: u32 = 18;
    pub(super) const FSINFO: u32 = 19;
    pub(super) const PATHCONF: u32 = 20;
    pub(super) const COMMIT: u32 = 21;
}

/// NFS v3 over the exports of one SVM.
#[derive(Debug)]
pub(crate) struct Nfs3 {
    exports: Arc<Exports>,
}

/// An inode a caller may work on.
#[derive(Debug)]
struct Reach {
    tree: FileTree,
    node: Node,
    access: Access,
}

impl Nfs3 {
    pub(crate) fn new(exports: Arc<Exports>) -> Self {
        Self { exports }
    }

    fn reach(&self, caller: &Caller, handle: &[u8]) -> Result<Reach, Status> {
        let handle = FileHandle::parse(handle).ok_or(Status::BadHandle)?;
        let export = self.exports.find_by_fsid(handle.fsid).ok_or(Status::Stale)?;
        let access = export.policy.admit(caller.address, &caller.credential).ok_or_else(|| {
            tracing::debug!(client = %caller.address, export = export.path, "denied by export policy");
            Status::Access
        })?;
        Ok(Reach { tree: export.tree.clone(), node: handle.node, access })
    }

    /// Runs a procedure that changes nothing and whose failure carries the inode's attributes.
    /// `body` writes what follows the status; if it fails, that is discarded.
    fn inspect(
        &self,
        caller: &Caller,
        handle: &[u8],
        to: &mut Encoder,
        body: impl FnOnce(&Tree, InodeNumber, &Access, &mut Encoder) -> Result<(), Status>,
    ) {
        let reach = match self.reach(caller, handle) {
            Ok(reach) => reach,
            Err(status) => return put_failure(to, status),
        };
        let tree = reach.tree.look();
        let number = match tree.require_node(reach.node) {
            Ok(number) => number,
            Err(error) => return put_failure(to, error.into()),
        };
        let start = to.len();
        put_status(to, Status::Ok);
        if let Err(status) = body(&tree, number, &reach.access, to) {
            to.truncate(start);
            put_status(to, status);
            put_optional_attributes(to, tree.attributes(number).ok());
        }
    }

    /// Runs a procedure that changes something under the inode, whose failure carries `wcc_data`
    /// of it. `results` writes what follows the status on success.
    fn alter<T>(
        &self,
        caller: &Caller,
        handle: &[u8],
        to: &mut Encoder,
        change: impl FnOnce(&mut Tree, InodeNumber, &Access) -> Result<T, Status>,
        results: impl FnOnce(&Tree, T, Wcc, &mut Encoder),
    ) {
        let reach = match self.reach(caller, handle) {
            Ok(reach) => reach,
            Err(status) => return put_failed_change(to, status, Wcc::default()),
        };
        let mut tree = reach.tree.change();
        let number = match tree.require_node(reach.node) {
            Ok(number) => number,
            Err(error) => return put_failed_change(to, error.into(), Wcc::default()),
        };
        let before = tree.attributes(number).ok();
        let outcome = match reach.access.writable {
            true => change(&mut tree, number, &reach.access),
            false => Err(Status::ReadOnly),
        };
        let wcc = Wcc { before, after: tree.attributes(number).ok() };
        match outcome {
            Ok(value) => {
                put_status(to, Status::Ok);
                results(&tree, value, wcc, to);
            }
            Err(status) => put_failed_change(to, status, wcc),
        }
    }
}

/// A failure before any attributes are known.
fn put_failure(to: &mut Encoder, status: Status) {
    put_status(to, status);
    put_optional_attributes(to, None);
}

fn put_failed_change(to: &mut Encoder, status: Status, wcc: Wcc) {
    put_status(to, status);
    put_wcc(to, wcc);
}

/// The attributes of an inode that is there: the caller holds the tree.
fn require_attributes(tree: &Tree, number: InodeNumber) -> Result<Attributes, Status> {
    Ok(tree.attributes(number)?)
}

impl Service for Nfs3 {
    fn program(&self) -> u32 {
        PROGRAM
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn is_idempotent(&self, procedure: u32) -> bool {
        !matches!(
            procedure,
            procedure::SETATTR
                | procedure::CREATE
                | procedure::MKDIR
                | procedure::SYMLINK
                | procedure::MKNOD
                | procedure::REMOVE
                | procedure::RMDIR
                | procedure::RENAME
                | procedure::LINK
        )
    }

    fn moves_data(&self, procedure: u32, _: &Decoder) -> bool {
        matches!(procedure, procedure::READ | procedure::WRITE | procedure::COMMIT)
    }

    fn serve(
        &self,
        procedure: u32,
        caller: &Caller,
        from: &mut Decoder,
        to: &mut Encoder,
    ) -> Result<(), Refusal> {
        match procedure {
            procedure::NULL => Ok(()),
            procedure::GETATTR => self.getattr(caller, from, to),
            procedure::SETATTR => self.setattr(caller, from, to),
            procedure::LOOKUP => self.lookup(caller, from, to),
            procedure::ACCESS => self.access(caller, from, to),
            procedure::READLINK => self.readlink(caller, from, to),
            procedure::READ => self.read(caller, from, to),
            procedure::WRITE => self.write(caller, from, to),
            procedure::CREATE => self.create(caller, from, to),
            procedure::MKDIR => self.mkdir(caller, from, to),
            procedure::SYMLINK => self.symlink(caller, from, to),
            procedure::MKNOD => self.mknod(caller, from, to),
            procedure::REMOVE => self.remove(caller, from, to),
            procedure::RMDIR => self.rmdir(caller, from, to),
            procedure::RENAME => self.rename(caller, from, to),
            procedure::LINK => self.link(caller, from, to),
            procedure::READDIR => self.readdir(caller, from, to),
            procedure::READDIRPLUS => self.readdirplus(caller, from, to),
            procedure::FSSTAT => self.fsstat(caller, from, to),
            procedure::FSINFO => self.fsinfo(caller, from, to),
            procedure::PATHCONF => self.pathconf(caller, from, to),
            procedure::COMMIT => self.commit(caller, from, to),
            _ => Err(Refusal::ProcedureUnavailable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{AuthRule, ExportPolicy, ExportRule};
    use crate::rpc::Credential;
    use crate::{Export, RootAttributes};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn no_arguments_make_a_procedure_panic(
            procedure in 0u32..25,
            with_handle: bool,
            noise in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(4), any::<u8>()], 0..160),
        ) {
            let tree = FileTree::new(1 << 20, RootAttributes { mode: 0o777, uid: 0, gid: 0 });
            let clients = vec!["0.0.0.0/0".parse().unwrap()];
            let any = AuthRule::Any;
            let rule = ExportRule { index: 1, clients, ro: any, rw: any, superuser: any, anonymous_uid: 0 };
            let policy = Arc::new(ExportPolicy { name: "p".into(), rules: vec![rule] });
            let exports = Arc::<Exports>::default();
            exports.put(Export { path: "/v".into(), tree: tree.clone(), policy });
            let mut arguments = Encoder::default();
            if with_handle {
                let node = tree.look().node(InodeNumber::ROOT).unwrap();
                wire::put_handle(&mut arguments, tree.fsid(), node);
            }
            let arguments = [&arguments.finish()[..], &noise].concat();
            let caller = Caller { address: [127, 0, 0, 1].into(), credential: Credential::Anonymous };
            let nfs = Nfs3::new(exports);
            let mut results = Encoder::default();
            let _ = nfs.serve(procedure, &caller, &mut Decoder::new(arguments.into()), &mut results);
        }
    }
}
