//! The pseudo file system: from the root down to exports (RFC 8881 §7).
//!
//! The root is the export at `/` where there is one. Where none is (a path above a junction, with
//! nothing exported there) a directory is made up: it can be looked through and listed, no more.
//! A made-up directory's handle holds a digest of its path, hence persists as any other.

use std::sync::Arc;

use crate::export::Export;
use crate::handle::FileHandle;
use crate::nfs4::attributes::{Facts, file_key};
use crate::nfs4::compound::{Compound, Failure};
use crate::nfs4::state::{FileKey, StateId};
use crate::nfs4::status::Status;
use crate::policy::Access;
use crate::tree::{Attributes, FileKind, FileTree, InodeNumber, Node, SpaceReport, Timestamp, Tree};
use crate::xdr::Encoder;

/// The fsid of directories made up; a tree's is random.
const MADE_UP: u64 = 0;
/// As in listings of v3: the file id of a junction.
const JUNCTION: u64 = 1 << 62;
/// SECINFO: AUTH_SYS and AUTH_NONE.
const FLAVOURS: [u32; 2] = [1, 0];
/// OPEN4_SHARE_ACCESS_READ and _WRITE, of a data operation.
const READ: u8 = 1;
const WRITE: u8 = 2;

/// An inode a caller may work on.
#[derive(Debug)]
pub(super) struct Reach {
    pub(super) tree: FileTree,
    pub(super) node: Node,
    pub(super) access: Access,
    pub(super) export: Arc<Export>,
}

/// A place in the pseudo file system: an export's root, or a path above exports.
#[derive(Debug)]
pub(super) enum Place {
    Export(Arc<Export>),
    MadeUp(String),
}

/// FNV-1a: stable over restarts, as handles must be.
fn digest(path: &str) -> u64 {
    path.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// `name` in a directory of the pseudo file system.
fn join(dir: &str, name: &str) -> String {
    format!("{}/{name}", dir.trim_end_matches('/'))
}

/// The paths above a normal path, `/` included.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter_map(move |(at, _)| path.get(..at)).map(|path| match path {
        "" => "/",
        path => path,
    })
}

/// The file id of the junction of a tree.
pub(super) fn junction_id(fsid: u64) -> u64 {
    JUNCTION | (fsid >> 2)
}

fn made_up_handle(path: &str) -> FileHandle {
    let node = Node { number: InodeNumber(digest(path)), generation: 0 };
    FileHandle { fsid: MADE_UP, node }
}

impl Place {
    pub(super) fn handle(&self) -> Result<FileHandle, Status> {
        match self {
            Self::Export(export) => {
                let node = export.tree.look().node(InodeNumber::ROOT)?;
                Ok(FileHandle { fsid: export.tree.fsid(), node })
            }
            Self::MadeUp(path) => Ok(made_up_handle(path)),
        }
    }
}

impl Compound<'_> {
    /// The export, admitted and alive, that a handle points into.
    pub(super) fn reach(&self, handle: FileHandle) -> Result<Reach, Status> {
        if handle.fsid == MADE_UP {
            return Err(Status::ReadOnly);
        }
        let export = self.server.exports.find_by_fsid(handle.fsid).ok_or(Status::Stale)?;
        let access = self.admit(&export)?;
        Ok(Reach { tree: export.tree.clone(), node: handle.node, access, export })
    }

    fn admit(&self, export: &Export) -> Result<Access, Status> {
        export.policy.admit(self.caller.address, &self.caller.credential).ok_or_else(|| {
            tracing::debug!(client = %self.caller.address, export = export.path, "denied by export policy");
            Status::Access
        })
    }

    /// The path of a directory made up, if the handle is of such.
    pub(super) fn made_up_path(&self, handle: FileHandle) -> Result<Option<String>, Status> {
        if handle.fsid != MADE_UP {
            return Ok(None);
        }
        let all = self.server.exports.all();
        let mut paths = all.iter().flat_map(|export| above(&export.path));
        let root = std::iter::once("/").find(|path| digest(path) == handle.node.number.0);
        let path = root.or_else(|| paths.find(|path| digest(path) == handle.node.number.0));
        path.map(|path| Some(path.to_owned())).ok_or(Status::Stale)
    }

    /// What stands at a normal path: an export, or a directory made up above some.
    pub(super) fn place(&self, path: &str) -> Option<Place> {
        let at = self.server.exports.along(path).pop().filter(|export| export.path == path);
        if let Some(export) = at {
            return Some(Place::Export(export));
        }
        let all = self.server.exports.all();
        let is_above = path == "/" || all.iter().any(|export| above(&export.path).any(|up| up == path));
        is_above.then(|| Place::MadeUp(path.to_owned()))
    }

    /// Runs a look at the inode of a handle.
    pub(super) fn inspect<T>(
        &self,
        handle: FileHandle,
        body: impl FnOnce(&Tree, InodeNumber, &Access) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let reach = self.reach(handle)?;
        let tree = reach.tree.look();
        let number = tree.require_node(reach.node)?;
        body(&tree, number, &reach.access)
    }

    /// Runs a change of the inode of a handle.
    pub(super) fn alter<T>(
        &self,
        handle: FileHandle,
        body: impl FnOnce(&mut Tree, InodeNumber, &Access) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let reach = self.reach(handle)?;
        if !reach.access.writable {
            return Err(Status::ReadOnly.into());
        }
        let mut tree = reach.tree.change();
        let number = tree.require_node(reach.node)?;
        body(&mut tree, number, &reach.access)
    }

    /// The current file; only a regular one holds state and data.
    pub(super) fn require_file(&self) -> Result<FileKey, Status> {
        let reach = self.reach(self.handle()?)?;
        let tree = reach.tree.look();
        let attributes = tree.attributes(tree.require_node(reach.node)?)?;
        match attributes.kind {
            FileKind::Regular => Ok(file_key(&attributes)),
            FileKind::Directory => Err(Status::IsDir),
            _ if self.minor == 0 => Err(Status::Invalid),
            _ => Err(Status::WrongType),
        }
    }

    pub(super) fn require_io(&self, state: StateId, file: FileKey, writes: bool) -> Result<(), Status> {
        let state = self.resolve(state)?;
        let access = if writes { WRITE } else { READ };
        self.server.state(self.now).require_io(self.now, self.client(), state, file, access)
    }

    /// What GETATTR tells of a handle.
    pub(super) fn facts(&self, handle: FileHandle) -> Result<Facts, Status> {
        if let Some(path) = self.made_up_path(handle)? {
            return Ok(self.made_up_facts(&path));
        }
        let reach = self.reach(handle)?;
        let tree = reach.tree.look();
        let number = tree.require_node(reach.node)?;
        self.facts_in(&tree, number, &reach.export)
    }

    /// What is told of an inode in an export.
    pub(super) fn facts_in(
        &self,
        tree: &Tree,
        number: InodeNumber,
        export: &Export,
    ) -> Result<Facts, Status> {
        let attributes = tree.attributes(number)?;
        let is_junction = number == InodeNumber::ROOT && export.path != "/";
        Ok(Facts {
            attributes,
            handle: FileHandle { fsid: attributes.fsid, node: tree.node(number)? },
            mounted_on: if is_junction { junction_id(attributes.fsid) } else { number.0 },
            space: tree.space(),
            minor: self.minor,
            lease: self.lease(),
        })
    }

    fn lease(&self) -> std::time::Duration {
        self.server.state.lock().lease()
    }

    pub(super) fn made_up_facts(&self, path: &str) -> Facts {
        let handle = made_up_handle(path);
        let time = Timestamp { seconds: 1, nanoseconds: 0 };
        let attributes = Attributes {
            kind: FileKind::Directory,
            mode: 0o555,
            links: 2,
            uid: 0,
            gid: 0,
            size: 4096,
            used: 0,
            device: (0, 0),
            fsid: MADE_UP,
            inode: handle.node.number,
            accessed: time,
            modified: time,
            // Exports come and go: a listing is good for this moment.
            changed: Timestamp::now(),
        };
        let space = SpaceReport { total_bytes: 0, free_bytes: 0, total_inodes: 0, free_inodes: 0 };
        let mounted_on = handle.node.number.0;
        Facts { attributes, handle, mounted_on, space, minor: self.minor, lease: self.lease() }
    }

    pub(super) fn put_root(&mut self) -> Result<(), Failure> {
        let root = self.place("/").ok_or(Status::Stale)?;
        if let Place::Export(export) = &root {
            self.admit(export)?;
        }
        self.set_current(root.handle()?);
        Ok(())
    }

    pub(super) fn put_handle(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let handle = FileHandle::parse(bytes).ok_or(Status::BadHandle)?;
        if handle.fsid == MADE_UP {
            self.made_up_path(handle)?;
        } else {
            let reach = self.reach(handle)?;
            reach.tree.look().require_node(reach.node)?;
        }
        self.set_current(handle);
        Ok(())
    }

    pub(super) fn get_handle(&self, to: &mut Encoder) -> Result<(), Failure> {
        to.opaque(&self.handle()?.to_bytes());
        Ok(())
    }

    pub(super) fn save_handle(&mut self) -> Result<(), Failure> {
        self.saved = Some((self.handle()?, self.current_state));
        Ok(())
    }

    pub(super) fn restore_handle(&mut self) -> Result<(), Failure> {
        // RFC 8881 §18.27.3; RFC 7530 has a status of its own.
        let none = if self.minor == 0 { Status::RestoreFh } else { Status::NoFileHandle };
        let (handle, state) = self.saved.ok_or(none)?;
        (self.current, self.current_state) = (Some(handle), state);
        Ok(())
    }

    pub(super) fn lookup(&mut self, name: &[u8]) -> Result<(), Failure> {
        let found = self.find(self.handle()?, name)?;
        self.set_current(found);
        Ok(())
    }

    /// What `name` means in a directory, over junctions.
    fn find(&self, dir: FileHandle, name: &[u8]) -> Result<FileHandle, Status> {
        require_name(name)?;
        if let Some(path) = self.made_up_path(dir)? {
            let name = std::str::from_utf8(name).map_err(|_| Status::NoEnt)?;
            return self.enter(self.place(&join(&path, name)).ok_or(Status::NoEnt)?);
        }
        let reach = self.reach(dir)?;
        let below = self.find_below(&reach, name);
        let tree = reach.tree.look();
        let number = tree.require_node(reach.node)?;
        let kind = tree.attributes(number)?.kind;
        if kind == FileKind::Symlink {
            return Err(Status::Symlink);
        }
        // Whoever may not search the directory meets no junction either.
        tree.lookup(number, &reach.access.who, b".")?;
        if let Some(place @ Place::Export(_)) = below {
            drop(tree);
            return self.enter(place);
        }
        match (tree.lookup(number, &reach.access.who, name), below) {
            (Ok(found), _) => Ok(FileHandle { fsid: dir.fsid, node: tree.node(found)? }),
            (Err(_), Some(place)) => place.handle(),
            (Err(error), None) => Err(error.into()),
        }
    }

    /// What the pseudo file system has at `name`, in the root of an export.
    fn find_below(&self, reach: &Reach, name: &[u8]) -> Option<Place> {
        if reach.node.number != InodeNumber::ROOT {
            return None;
        }
        let name = std::str::from_utf8(name).ok()?;
        self.place(&join(&reach.export.path, name))
    }

    fn enter(&self, place: Place) -> Result<FileHandle, Status> {
        if let Place::Export(export) = &place {
            if let Err(status) = self.admit(export) {
                let detail = serde_json::json!({
                    "client": self.caller.address,
                    "path": export.path,
                    "status": status as u32,
                    "minor": self.minor,
                });
                self.server.events.record("nfs.mount_refused", detail);
                return Err(status);
            }
            self.server.note_entered(self.caller, &export.path, self.minor);
        }
        place.handle()
    }

    pub(super) fn lookup_parent(&mut self) -> Result<(), Failure> {
        let dir = self.handle()?;
        let parent = match self.made_up_path(dir)? {
            Some(path) => self.parent_of(&path)?,
            None => {
                let reach = self.reach(dir)?;
                let tree = reach.tree.look();
                let number = tree.require_node(reach.node)?;
                if number == InodeNumber::ROOT {
                    drop(tree);
                    self.parent_of(&reach.export.path)?
                } else {
                    let found = tree.lookup(number, &reach.access.who, b"..")?;
                    FileHandle { fsid: dir.fsid, node: tree.node(found)? }
                }
            }
        };
        self.set_current(parent);
        Ok(())
    }

    fn parent_of(&self, path: &str) -> Result<FileHandle, Status> {
        let parent = above(path).last().filter(|parent| *parent != path).ok_or(Status::NoEnt)?;
        let place = self.place(parent).ok_or(Status::NoEnt)?;
        if let Place::Export(export) = &place {
            self.admit(export)?;
        }
        place.handle()
    }

    pub(super) fn security_info(&mut self, name: &[u8], to: &mut Encoder) -> Result<(), Failure> {
        self.find(self.handle()?, name)?;
        self.put_flavours(to);
        Ok(())
    }

    pub(super) fn security_info_no_name(&mut self, of_parent: bool, to: &mut Encoder) -> Result<(), Failure> {
        self.handle()?;
        if of_parent {
            self.lookup_parent()?;
        }
        self.put_flavours(to);
        Ok(())
    }

    /// RFC 8881 §2.6.3.1.1.8: SECINFO takes the current handle.
    fn put_flavours(&mut self, to: &mut Encoder) {
        if self.minor > 0 {
            (self.current, self.current_state) = (None, None);
        }
        to.u32(FLAVOURS.len() as u32);
        for flavour in FLAVOURS {
            to.u32(flavour);
        }
    }
}

/// RFC 8881 §14.5, §18.13.3: what no entry is called.
pub(super) fn require_name(name: &[u8]) -> Result<(), Status> {
    if name.is_empty() {
        return Err(Status::Invalid);
    }
    if name == b"." || name == b".." || name.iter().any(|byte| matches!(byte, b'/' | 0)) {
        return Err(Status::BadName);
    }
    Ok(())
}
