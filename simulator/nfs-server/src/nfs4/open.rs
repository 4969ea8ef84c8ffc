//! OPEN, OPEN_CONFIRM, OPEN_DOWNGRADE, CLOSE (RFC 8881 §18.2, §18.16, §18.18, RFC 7530 §16.18).

use crate::handle::FileHandle;
use crate::nfs4::attributes::file_key;
use crate::nfs4::compound::{Compound, Failure};
use crate::nfs4::names::{change, put_change};
use crate::nfs4::namespace::require_name;
use crate::nfs4::operation::{Bitmap, OpenArguments, OpenClaim, OpenHow, RawAttributes};
use crate::nfs4::state::{Claim, OpenRequest, StateId};
use crate::nfs4::status::Status;
use crate::policy::Access;
use crate::tree::{Creation, FileKind, InodeNumber, Node, Right, SetAttributes, Tree, TreeError};
use crate::xdr::Encoder;

const READ: u8 = 1;
const WRITE: u8 = 2;
/// OPEN4_SHARE_ACCESS_WANT_DELEG_MASK and the wishes above it: no delegation is ever given.
const WISHES: u32 = 0x0003_ff00;
/// OPEN4_RESULT_CONFIRM, OPEN4_RESULT_LOCKTYPE_POSIX.
const RESULT_CONFIRM: u32 = 2;
const RESULT_POSIX_LOCKS: u32 = 4;
/// OPEN_DELEGATE_NONE.
const NO_DELEGATION: u32 = 0;

/// What an OPEN found or made.
struct Opened {
    node: Node,
    state: StateId,
    confirm: bool,
    /// `change_info4` of the directory.
    before: u64,
    after: u64,
    set: Bitmap,
}

/// Access and denial, each within its two bits.
fn share(access: u32, deny: u32, minor: u32) -> Result<(u8, u8), Status> {
    let access = if minor > 0 { access & !WISHES } else { access };
    match (access, deny) {
        // In range, hence within a byte.
        (1..=3, 0..=3) => Ok((access as u8, deny as u8)),
        _ => Err(Status::Invalid),
    }
}

/// How to make the file, what to set on it after an exclusive creation, and what the client is told
/// was set.
struct Making {
    creation: Creation,
    later: Option<SetAttributes>,
    told: Bitmap,
}

fn making(how: &OpenHow, minor: u32) -> Result<Option<Making>, Status> {
    let plain = |attributes: &RawAttributes, how: fn(SetAttributes) -> Creation| {
        let set = attributes.to_set(minor)?;
        Ok(Some(Making { creation: how(set), later: None, told: attributes.mask }))
    };
    match how {
        OpenHow::NoCreate => Ok(None),
        OpenHow::Unchecked(attributes) => plain(attributes, Creation::Unchecked),
        OpenHow::Guarded(attributes) => plain(attributes, Creation::Guarded),
        OpenHow::Exclusive(verifier) => {
            Ok(Some(Making { creation: Creation::Exclusive(*verifier), later: None, told: Bitmap::EMPTY }))
        }
        OpenHow::ExclusiveWith(verifier, attributes) => Ok(Some(Making {
            creation: Creation::Exclusive(*verifier),
            later: Some(attributes.to_set(minor)?),
            told: attributes.mask,
        })),
    }
}

impl Compound<'_> {
    pub(super) fn open(&mut self, arguments: OpenArguments, to: &mut Encoder) -> Result<(), Failure> {
        let (access, deny) = share(arguments.access, arguments.deny, self.minor)?;
        let claim = match arguments.claim {
            OpenClaim::Previous => Claim::Reclaim,
            _ => Claim::New,
        };
        let client = self.client_or(arguments.client);
        self.server.state(self.now).require_open_allowed(self.now, client, claim)?;
        let at = self.handle()?;
        let reach = self.reach(at)?;
        if access & WRITE != 0 && !reach.access.writable {
            return Err(Status::ReadOnly.into());
        }
        let request = OpenRequest {
            client,
            owner: arguments.owner.clone(),
            // Filled in once the file is known.
            file: crate::nfs4::state::FileKey { fsid: at.fsid, inode: 0 },
            access,
            deny,
            claim,
        };
        let opened = match &arguments.claim {
            OpenClaim::Name(name) => {
                require_name(name)?;
                if self.is_junction(at, name) {
                    return Err(Status::IsDir.into());
                }
                let making = making(&arguments.how, self.minor)?;
                if making.is_some() && !reach.access.writable {
                    return Err(Status::ReadOnly.into());
                }
                let mut tree = reach.tree.change();
                let dir = tree.require_node(reach.node)?;
                self.open_name(&mut tree, (dir, name), &reach.access, making, request)?
            }
            OpenClaim::Previous | OpenClaim::Current => {
                let tree = reach.tree.look();
                let number = tree.require_node(reach.node)?;
                self.open_found(&tree, number, (&reach.access, claim == Claim::Reclaim), request, (0, 0))?
            }
            OpenClaim::Delegated => return Err(Status::NotSupported.into()),
        };
        self.put_opened(at, &opened, to);
        Ok(())
    }

    fn put_opened(&mut self, at: FileHandle, opened: &Opened, to: &mut Encoder) {
        self.set_current(FileHandle { fsid: at.fsid, node: opened.node });
        self.put_state(opened.state, to);
        put_change(to, opened.before, opened.after);
        to.u32(RESULT_POSIX_LOCKS | if opened.confirm { RESULT_CONFIRM } else { 0 });
        opened.set.put(to);
        to.u32(NO_DELEGATION);
    }

    fn open_name(
        &self,
        tree: &mut Tree,
        (dir, name): (InodeNumber, &[u8]),
        access: &Access,
        making: Option<Making>,
        mut request: OpenRequest,
    ) -> Result<Opened, Failure> {
        let before = change(tree, dir)?;
        let existing = match tree.lookup(dir, &access.who, name) {
            Ok(number) => Some(number),
            Err(TreeError::NotFound) => None,
            Err(error) => return Err(error.into()),
        };
        let Some(making) = making else {
            let number = existing.ok_or(Status::NoEnt)?;
            return self.open_found(tree, number, (access, false), request, (before, before));
        };
        if let (Some(number), Creation::Unchecked(_)) = (existing, making.creation) {
            self.require_regular(tree, number)?;
            require_rights(tree, number, access, request.access)?;
            request.file = file_key(&tree.attributes(number)?);
            // Before it is cut to size.
            self.server.state(self.now).require_shareable(&request)?;
        }
        let number = tree.create(dir, &access.who, name, making.creation)?;
        if let Some(set) = making.later.filter(|_| existing.is_none()) {
            tree.set_attributes(number, &access.who, &set, None)?;
        }
        request.file = file_key(&tree.attributes(number)?);
        let (state, confirm) = self.server.state(self.now).open(self.now, &request)?;
        let taken_as_is = existing.is_some() && matches!(making.creation, Creation::Unchecked(_));
        let set = if taken_as_is { making.told.size_alone() } else { making.told };
        Ok(Opened { node: tree.node(number)?, state, confirm, before, after: change(tree, dir)?, set })
    }

    /// Opens what is there. One that reclaims had the right before.
    fn open_found(
        &self,
        tree: &Tree,
        number: InodeNumber,
        (access, reclaims): (&Access, bool),
        mut request: OpenRequest,
        (before, after): (u64, u64),
    ) -> Result<Opened, Failure> {
        self.require_regular(tree, number)?;
        if !reclaims {
            require_rights(tree, number, access, request.access)?;
        }
        request.file = file_key(&tree.attributes(number)?);
        let (state, confirm) = self.server.state(self.now).open(self.now, &request)?;
        Ok(Opened { node: tree.node(number)?, state, confirm, before, after, set: Bitmap::EMPTY })
    }

    fn require_regular(&self, tree: &Tree, number: InodeNumber) -> Result<(), Status> {
        match tree.attributes(number)?.kind {
            FileKind::Regular => Ok(()),
            FileKind::Directory => Err(Status::IsDir),
            FileKind::Symlink => Err(Status::Symlink),
            _ if self.minor == 0 => Err(Status::Symlink),
            _ => Err(Status::WrongType),
        }
    }

    /// Answers a stateid, which is then the current one.
    pub(super) fn put_state(&mut self, state: StateId, to: &mut Encoder) {
        self.current_state = Some(state);
        to.u32(state.seqid);
        to.fixed(&state.other);
    }

    pub(super) fn open_confirm(&mut self, state: StateId, to: &mut Encoder) -> Result<(), Failure> {
        let file = self.require_file()?;
        let state = self.server.state(self.now).confirm_open(state, file)?;
        self.put_state(state, to);
        Ok(())
    }

    pub(super) fn open_downgrade(
        &mut self,
        state: StateId,
        (access, deny): (u32, u32),
        to: &mut Encoder,
    ) -> Result<(), Failure> {
        let file = self.require_file()?;
        let share = share(access, deny, self.minor)?;
        let state = self.resolve(state)?;
        let state = self.server.state(self.now).downgrade(self.client(), state, file, share)?;
        self.put_state(state, to);
        Ok(())
    }

    pub(super) fn close(&mut self, state: StateId, to: &mut Encoder) -> Result<(), Failure> {
        let handle = self.handle()?;
        let state = self.resolve(state)?;
        // The file may be gone: what is open of it is closed all the same.
        let file = crate::nfs4::state::FileKey { fsid: handle.fsid, inode: handle.node.number.0 };
        let state = self.server.state(self.now).close(self.client(), state, file)?;
        self.put_state(state, to);
        Ok(())
    }
}

/// What may be executed may be opened to read: clients page programs in.
fn require_rights(tree: &Tree, number: InodeNumber, access: &Access, wanted: u8) -> Result<(), Status> {
    let may = |right| tree.permits(number, &access.who, right);
    let readable = wanted & READ == 0 || may(Right::Read) || (wanted == READ && may(Right::Execute));
    let writable = wanted & WRITE == 0 || may(Right::Write);
    if readable && writable { Ok(()) } else { Err(Status::Access) }
}
