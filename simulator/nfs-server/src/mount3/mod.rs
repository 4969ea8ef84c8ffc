//! MOUNT v3 (RFC 1813 §5): from a path to the first handle.

use std::sync::Arc;

use levers::EventLog;
use serde_json::json;

use crate::export::{Exports, MountedClient, normal_path};
use crate::handle::FileHandle;
use crate::rpc::{Caller, Credential, Refusal, Service};
use crate::tree::{FileKind, Identity, InodeNumber, Tree, TreeError};
use crate::xdr::{Decoder, Encoder};

/// The program number of MOUNT.
pub(crate) const PROGRAM: u32 = 100_005;
/// The version that goes with NFS v3.
pub(crate) const VERSION: u32 = 3;

const NULL: u32 = 0;
const MNT: u32 = 1;
const DUMP: u32 = 2;
const UMNT: u32 = 3;
const UMNTALL: u32 = 4;
const EXPORT: u32 = 5;

/// MNTPATHLEN.
const MAX_PATH: usize = 1024;
/// The flavour told to a client that may mount; one it could not use would only be tried in vain.
const AUTH_SYS: u32 = 1;

/// `mountstat3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Status {
    Ok = 0,
    NoEnt = 2,
    Access = 13,
    NotDir = 20,
    NameTooLong = 63,
}

/// MOUNT v3 over the exports of one SVM.
#[derive(Debug)]
pub(crate) struct Mount3 {
    exports: Arc<Exports>,
    events: EventLog,
}

impl Mount3 {
    pub(crate) fn new(exports: Arc<Exports>, events: EventLog) -> Self {
        Self { exports, events }
    }

    fn mnt(&self, caller: &Caller, from: &mut Decoder, to: &mut Encoder) -> Result<(), Refusal> {
        let path = from.opaque(MAX_PATH)?;
        let path = normal_path(&String::from_utf8_lossy(&path));
        let outcome = self.find_handle(caller, &path);
        let kind = if outcome.is_ok() { "nfs.mount" } else { "nfs.mount_refused" };
        let status = outcome.err().unwrap_or(Status::Ok);
        self.events.record(kind, json!({ "client": caller.address, "path": path, "status": status as u32 }));
        to.u32(status as u32);
        if let Ok(handle) = outcome {
            to.opaque(&handle.to_bytes());
            to.u32(1);
            to.u32(AUTH_SYS);
            let machine = machine_of(caller);
            self.exports.add_mount(MountedClient { client: caller.address, machine, path });
        }
        Ok(())
    }

    /// The directory at `path`, if the policies of its export and of every export above it let the
    /// caller read.
    fn find_handle(&self, caller: &Caller, path: &str) -> Result<FileHandle, Status> {
        let way = self.exports.along(path);
        let export = way.last().ok_or(Status::NoEnt)?;
        if way.iter().any(|export| export.policy.admit(caller.address, &caller.credential).is_none()) {
            return Err(Status::Access);
        }
        let tree = export.tree.look();
        let number = walk(&tree, export.path_within(path))?;
        let node = tree.node(number).map_err(|_| Status::NoEnt)?;
        Ok(FileHandle { fsid: export.tree.fsid(), node })
    }

    fn dump(&self, to: &mut Encoder) {
        for mount in self.exports.mounts() {
            to.bool(true);
            let name = if mount.machine.is_empty() { mount.client.to_string() } else { mount.machine };
            to.opaque(name.as_bytes());
            to.opaque(mount.path.as_bytes());
        }
        to.bool(false);
    }

    fn umnt(&self, caller: &Caller, from: &mut Decoder) -> Result<(), Refusal> {
        let path = from.opaque(MAX_PATH)?;
        let path = normal_path(&String::from_utf8_lossy(&path));
        self.exports.drop_mounts(caller.address, Some(&path));
        self.events.record("nfs.unmount", json!({ "client": caller.address, "path": path }));
        Ok(())
    }

    fn umntall(&self, caller: &Caller) {
        self.exports.drop_mounts(caller.address, None);
        self.events.record("nfs.unmount", json!({ "client": caller.address, "path": null }));
    }

    /// The export list; each with its policy's client matches in place of groups.
    fn export(&self, to: &mut Encoder) {
        for export in self.exports.all() {
            to.bool(true);
            to.opaque(export.path.as_bytes());
            for clients in export.policy.rules.iter().flat_map(|rule| &rule.clients) {
                to.bool(true);
                to.opaque(clients.to_string().as_bytes());
            }
            to.bool(false);
        }
        to.bool(false);
    }
}

/// Walks from the root of a tree down. The mode bits are not asked: mounting is the export policy's
/// matter, and what follows is judged by them anyway.
fn walk(tree: &Tree, path: &str) -> Result<InodeNumber, Status> {
    let root = Identity { uid: 0, gid: 0, groups: Vec::new() };
    let mut at = InodeNumber::ROOT;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        at = tree.lookup(at, &root, name.as_bytes()).map_err(|error| match error {
            TreeError::NotADirectory => Status::NotDir,
            TreeError::NameTooLong => Status::NameTooLong,
            _ => Status::NoEnt,
        })?;
    }
    match tree.attributes(at) {
        Ok(attributes) if attributes.kind == FileKind::Directory => Ok(at),
        Ok(_) => Err(Status::NotDir),
        Err(_) => Err(Status::NoEnt),
    }
}

fn machine_of(caller: &Caller) -> String {
    match &caller.credential {
        Credential::Sys(sys) => sys.machine.clone(),
        Credential::Anonymous => String::new(),
    }
}

impl Service for Mount3 {
    fn program(&self) -> u32 {
        PROGRAM
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn serve(
        &self,
        procedure: u32,
        caller: &Caller,
        from: &mut Decoder,
        to: &mut Encoder,
    ) -> Result<(), Refusal> {
        match procedure {
            NULL => Ok(()),
            MNT => self.mnt(caller, from, to),
            DUMP => {
                self.dump(to);
                Ok(())
            }
            UMNT => self.umnt(caller, from),
            UMNTALL => {
                self.umntall(caller);
                Ok(())
            }
            EXPORT => {
                self.export(to);
                Ok(())
            }
            _ => Err(Refusal::ProcedureUnavailable),
        }
    }
}
