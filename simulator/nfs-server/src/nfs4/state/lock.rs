//! LOCK, LOCKT, LOCKU and their stateids (RFC 8881 §18.10 to §18.12, §18.38, RFC 7530 §16.37).

use std::time::Duration;

use bytes::Bytes;

use crate::nfs4::state::locks::HeldLock;
use crate::nfs4::state::open::{READ, WRITE};
use crate::nfs4::state::{
    ByteRange, ClientId, FileKey, Held, LockKind, LockOwner, MAX_STATES, State, StateId, next_seqid,
};
use crate::nfs4::status::Status;

/// The locks of one owner on one file.
#[derive(Debug)]
pub(super) struct LockState {
    pub(super) owner: Bytes,
    pub(super) file: FileKey,
    pub(super) seqid: u32,
    /// The number of the open they were taken under.
    pub(super) open: u32,
}

/// A lock that stands in the way (`LOCK4denied`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conflict {
    pub(crate) range: ByteRange,
    pub(crate) kind: LockKind,
    pub(crate) client: ClientId,
    pub(crate) owner: Bytes,
}

/// Why there is no lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LockFailure {
    /// NFS4ERR_DENIED.
    Denied(Conflict),
    Other(Status),
}

impl From<Status> for LockFailure {
    fn from(status: Status) -> Self {
        Self::Other(status)
    }
}

/// Who asks for a lock.
#[derive(Debug, Clone)]
pub(crate) enum Locker {
    /// An owner's first lock under this open.
    New { open: StateId, owner: Bytes },
    /// A further one.
    Known(StateId),
}

/// LOCK.
#[derive(Debug, Clone)]
pub(crate) struct LockRequest {
    pub(crate) locker: Locker,
    pub(crate) file: FileKey,
    pub(crate) range: ByteRange,
    pub(crate) kind: LockKind,
    pub(crate) reclaim: bool,
}

impl State {
    /// Takes a lock. `client` is that of the session, if there is one.
    pub(crate) fn lock(
        &mut self,
        now: Duration,
        client: Option<ClientId>,
        request: &LockRequest,
    ) -> Result<StateId, LockFailure> {
        let id = match &request.locker {
            Locker::New { open, .. } => *open,
            Locker::Known(lock) => *lock,
        };
        let (client, number) = self.find_state(id, client)?;
        let record = self.client_mut(client)?;
        record.renewed = now;
        let (owner, open) = match (&request.locker, record.states.get(&number)) {
            (Locker::New { owner, .. }, Some(Held::Open(_))) => (owner.clone(), number),
            (Locker::Known(_), Some(Held::Lock(lock))) => (lock.owner.clone(), lock.open),
            _ => return Err(Status::BadStateId.into()),
        };
        self.require_lockable(client, open, request)?;
        self.require_grace_fits(now, client, request.reclaim)?;
        let number = self.lock_state(client, &owner, open, request.file)?;
        let holder = LockOwner { client, name: owner };
        let locks = &mut self.files.entry(request.file).or_default().locks;
        if let Err(held) = locks.lock(holder, request.range, request.kind) {
            let conflict = self.conflict(held);
            self.forget_if_unused(client, number);
            return Err(match request.reclaim {
                true => Status::ReclaimConflict.into(),
                false => LockFailure::Denied(conflict),
            });
        }
        Ok(self.bump(client, number)?)
    }

    fn require_lockable(&self, client: u32, open: u32, request: &LockRequest) -> Result<(), Status> {
        let Some(Held::Open(open)) = self.client(client)?.states.get(&open) else {
            return Err(Status::BadStateId);
        };
        if open.file != request.file || !open.confirmed {
            return Err(Status::BadStateId);
        }
        let needed = if request.kind == LockKind::Write { WRITE } else { READ };
        if open.access & needed == 0 { Err(Status::OpenMode) } else { Ok(()) }
    }

    /// The number of the owner's lock state on a file, which may be new.
    fn lock_state(&mut self, client: u32, owner: &Bytes, open: u32, file: FileKey) -> Result<u32, Status> {
        let known =
            self.client(client)?.states.iter().find(
                |(_, held)| matches!(held, Held::Lock(lock) if lock.file == file && lock.owner == *owner),
            );
        if let Some((number, _)) = known {
            return Ok(*number);
        }
        let number = self.next_number();
        let record = self.client_mut(client)?;
        if record.states.len() >= MAX_STATES {
            return Err(if record.has_sessions() { Status::Delay } else { Status::Resource });
        }
        let lock = LockState { owner: owner.clone(), file, seqid: 0, open };
        record.states.insert(number, Held::Lock(lock));
        Ok(number)
    }

    /// Forgets a lock state that a refused request made.
    fn forget_if_unused(&mut self, client: u32, number: u32) {
        if let Some(record) = self.clients.get_mut(&client)
            && matches!(record.states.get(&number), Some(Held::Lock(LockState { seqid: 0, .. })))
        {
            record.states.remove(&number);
        }
    }

    fn bump(&mut self, client: u32, number: u32) -> Result<StateId, Status> {
        let Some(Held::Lock(lock)) = self.client_mut(client)?.states.get_mut(&number) else {
            return Err(Status::BadStateId);
        };
        lock.seqid = next_seqid(lock.seqid);
        let seqid = lock.seqid;
        Ok(self.state_id(client, number, seqid))
    }

    fn conflict(&self, held: HeldLock<LockOwner>) -> Conflict {
        Conflict {
            range: held.range,
            kind: held.kind,
            client: self.client_id(held.owner.client),
            owner: held.owner.name,
        }
    }

    /// LOCKT: would the lock be granted?
    pub(crate) fn test_lock(
        &mut self,
        now: Duration,
        client: ClientId,
        owner: Bytes,
        (file, range, kind): (FileKey, ByteRange, LockKind),
    ) -> Result<(), LockFailure> {
        let client = self.require_client(client)?;
        self.client_mut(client)?.renewed = now;
        if self.in_grace(now) {
            return Err(Status::Grace.into());
        }
        let holder = LockOwner { client, name: owner };
        let held = self.files.get(&file).and_then(|file| file.locks.find_conflict(&holder, range, kind));
        held.map_or(Ok(()), |held| Err(LockFailure::Denied(self.conflict(held))))
    }

    /// LOCKU.
    pub(crate) fn unlock(
        &mut self,
        now: Duration,
        client: Option<ClientId>,
        id: StateId,
        (file, range): (FileKey, ByteRange),
    ) -> Result<StateId, Status> {
        let (client, number) = self.find_state(id, client)?;
        let record = self.client_mut(client)?;
        record.renewed = now;
        let owner = match record.states.get(&number) {
            Some(Held::Lock(lock)) if lock.file == file => lock.owner.clone(),
            _ => return Err(Status::BadStateId),
        };
        if let Some(state) = self.files.get_mut(&file) {
            state.locks.unlock(&LockOwner { client, name: owner }, range);
        }
        self.bump(client, number)
    }

    /// RELEASE_LOCKOWNER.
    pub(crate) fn release_lock_owner(
        &mut self,
        now: Duration,
        client: ClientId,
        owner: &Bytes,
    ) -> Result<(), Status> {
        let client = self.require_client(client)?;
        self.client_mut(client)?.renewed = now;
        let holder = LockOwner { client, name: owner.clone() };
        if self.files.values().any(|file| file.locks.holds(&holder)) {
            return Err(Status::LocksHeld);
        }
        let record = self.client_mut(client)?;
        record.states.retain(|_, held| !matches!(held, Held::Lock(lock) if lock.owner == *owner));
        record.owners.remove(&super::OwnerKey::Lock(owner.clone()));
        Ok(())
    }

    /// FREE_STATEID: of an owner that holds no lock any more.
    pub(crate) fn free_state(&mut self, client: ClientId, id: StateId) -> Result<(), Status> {
        let (client, number) = self.find_state(id, Some(client))?;
        let Some(Held::Lock(lock)) = self.client(client)?.states.get(&number) else {
            return Err(Status::LocksHeld);
        };
        let holder = LockOwner { client, name: lock.owner.clone() };
        if self.files.get(&lock.file).is_some_and(|file| file.locks.holds(&holder)) {
            return Err(Status::LocksHeld);
        }
        self.client_mut(client)?.states.remove(&number);
        Ok(())
    }

    /// TEST_STATEID of one stateid.
    pub(crate) fn test_state(&self, client: ClientId, id: StateId) -> Status {
        self.find_state(id, Some(client)).err().unwrap_or(Status::Ok)
    }

    /// Gives up what was locked under an open.
    pub(super) fn drop_locks_of(&mut self, client: u32, open: u32, file: FileKey) {
        let Some(record) = self.clients.get_mut(&client) else { return };
        let mut owners = Vec::new();
        record.states.retain(|_, held| match held {
            Held::Lock(lock) if lock.open == open => {
                owners.push(lock.owner.clone());
                false
            }
            _ => true,
        });
        if let Some(state) = self.files.get_mut(&file) {
            for name in owners {
                state.locks.release(&LockOwner { client, name });
            }
        }
    }
}
