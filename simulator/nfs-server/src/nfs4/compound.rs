//! COMPOUND: operations one after the other until one fails, in a slot of a session
//! (RFC 8881 §2.10.6, §16.2).

use std::hash::BuildHasher;
use std::time::Duration;

use bytes::Bytes;

use crate::handle::FileHandle;
use crate::nfs4::Nfs4;
use crate::nfs4::operation::{Operation, number};
use crate::nfs4::state::{
    Begun, ChannelLimits, ClientId, Conflict, LockFailure, SequenceRequest, SessionId, StateId,
};
use crate::nfs4::status::Status;
use crate::rpc::{Caller, Refusal};
use crate::xdr::{Decoder, Encoder};

/// Bound of a tag.
const MAX_TAG: usize = 1024;
/// Operations in one COMPOUND without session.
const MAX_OPERATIONS: u32 = 128;
/// Replies no longer than this are kept whether the client asks for it or not.
const KEPT_ANYWAY: usize = 2048;
/// Room that the result of an operation without bulk data fits.
pub(super) const RESULT_ROOM: usize = 512;
/// As much of a request as tells it from another one.
const FINGERPRINT: usize = 1024;
/// Largest v4.0 request looked at for operations that must run once; above are WRITEs.
const MAX_KEPT_REQUEST: usize = 128 << 10;

/// Why an operation fails, with what its result then carries.
#[derive(Debug)]
pub(super) enum Failure {
    Status(Status),
    /// NFS4ERR_DENIED.
    Denied(Conflict),
}

impl<E: Into<Status>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Status(error.into())
    }
}

impl From<LockFailure> for Failure {
    fn from(failure: LockFailure) -> Self {
        match failure {
            LockFailure::Denied(conflict) => Self::Denied(conflict),
            LockFailure::Other(status) => Self::Status(status),
        }
    }
}

/// The slot a COMPOUND runs in.
#[derive(Debug, Clone, Copy)]
pub(super) struct InSession {
    pub(super) client: ClientId,
    session: SessionId,
    slot: u32,
    keep: bool,
    limits: ChannelLimits,
}

/// A COMPOUND while it runs.
#[derive(Debug)]
pub(super) struct Compound<'call> {
    pub(super) server: &'call Nfs4,
    pub(super) caller: &'call Caller,
    pub(super) minor: u32,
    pub(super) now: Duration,
    pub(super) current: Option<FileHandle>,
    pub(super) current_state: Option<StateId>,
    pub(super) saved: Option<(FileHandle, Option<StateId>)>,
    pub(super) session: Option<InSession>,
    /// Operations in all, and a digest of those behind the first.
    count: u32,
    fingerprint: u64,
    /// Where the reply starts.
    start: usize,
}

/// May this COMPOUND, from its first byte, run again for a retransmission?
pub(super) fn may_repeat(from: &Decoder) -> bool {
    from.rest().len() > MAX_KEPT_REQUEST
        || !any(from, |minor, operation| minor == 0 && !operation.is_idempotent())
}

/// Does this COMPOUND, from its first byte, read or write a file's data?
pub(super) fn moves_data(from: &Decoder) -> bool {
    any(from, |_, operation| {
        matches!(operation, Operation::Read { .. } | Operation::Write { .. } | Operation::Commit { .. })
    })
}

fn any(from: &Decoder, fits: impl Fn(u32, &Operation) -> bool) -> bool {
    let mut from = from.clone();
    let mut find = || {
        from.opaque(MAX_TAG).ok()?;
        let (minor, count) = (from.u32().ok()?, from.u32().ok()?);
        for _ in 0..count.min(MAX_OPERATIONS) {
            let number = from.u32().ok()?;
            if fits(minor, &Operation::decode(number, minor, &mut from).ok()?) {
                return Some(());
            }
        }
        None
    };
    find().is_some()
}

impl Nfs4 {
    pub(super) fn compound(
        &self,
        caller: &Caller,
        from: &mut Decoder,
        to: &mut Encoder,
    ) -> Result<(), Refusal> {
        let tag = from.opaque(MAX_TAG)?;
        let minor = from.u32()?;
        let count = from.u32()?;
        let start = to.len();
        to.u32(Status::Ok as u32);
        to.opaque(&tag);
        let count_at = to.len();
        to.u32(0);
        if !self.speaks(minor) {
            to.set_u32(start, Status::MinorVersionMismatch as u32);
            return Ok(());
        }
        let now = self.now();
        let mut compound = Compound {
            server: self,
            caller,
            minor,
            now,
            current: None,
            current_state: None,
            saved: None,
            session: None,
            count,
            fingerprint: 0,
            start,
        };
        match compound.run(from, to) {
            Ran::Anew { status, done } => {
                to.set_u32(start, status as u32);
                to.set_u32(count_at, done);
                compound.keep_reply(to);
            }
            Ran::Before(reply) => {
                to.truncate(start);
                to.append(&reply);
            }
        }
        Ok(())
    }
}

/// How a COMPOUND went.
enum Ran {
    Anew {
        status: Status,
        done: u32,
    },
    /// It had run; this was its reply.
    Before(Bytes),
}

impl Compound<'_> {
    fn run(&mut self, from: &mut Decoder, to: &mut Encoder) -> Ran {
        for index in 0..self.count {
            let at = to.len();
            let number = from.u32();
            let operation = number.clone().and_then(|number| Operation::decode(number, self.minor, from));
            let number = match &operation {
                Ok(Operation::Illegal) => number::ILLEGAL,
                _ => number.unwrap_or(number::ILLEGAL),
            };
            to.u32(number);
            let outcome = match operation {
                Ok(Operation::Sequence { .. }) if index > 0 => Err(Status::SequencePosition.into()),
                Ok(operation) if index == 0 => {
                    if let Operation::Sequence { .. } = &operation {
                        self.fingerprint = self.fingerprint(from);
                    }
                    match self.begin(&operation) {
                        Ok(Some(reply)) => return Ran::Before(reply),
                        Ok(None) => self.execute_in_turn(operation, to),
                        Err(status) => Err(status.into()),
                    }
                }
                Ok(operation) if index >= MAX_OPERATIONS => {
                    tracing::debug!(?operation, "too many operations");
                    Err(Status::Resource.into())
                }
                Ok(operation) => self.execute_in_turn(operation, to),
                Err(error) => Err(error.into()),
            };
            let status = self.settle(number, outcome, at, to);
            if status != Status::Ok {
                tracing::trace!(client = %self.caller.address, number, ?status, "operation failed");
                return Ran::Anew { status, done: index + 1 };
            }
        }
        Ran::Anew { status: Status::Ok, done: self.count }
    }

    fn fingerprint(&self, from: &Decoder) -> u64 {
        let rest = from.rest();
        let head = rest.get(..rest.len().min(FINGERPRINT)).unwrap_or_default();
        self.server.hasher.hash_one((self.count, rest.len(), head))
    }

    /// Takes the slot that the first operation names, or judges whether it needs none. `Some` is
    /// the reply of an earlier run.
    fn begin(&mut self, operation: &Operation) -> Result<Option<Bytes>, Status> {
        if self.minor == 0 {
            return Ok(None);
        }
        match operation {
            Operation::Sequence { session, sequence, slot, highest_slot, keep } => {
                let request = SequenceRequest {
                    session: *session,
                    sequence: *sequence,
                    slot: *slot,
                    highest_slot: *highest_slot,
                    fingerprint: self.fingerprint,
                };
                let begun = self.server.state(self.now).begin(self.now, request)?;
                match begun {
                    Begun::Replay(reply) => Ok(Some(reply)),
                    Begun::Run { client, limits } => {
                        self.session =
                            Some(InSession { client, session: *session, slot: *slot, keep: *keep, limits });
                        if self.count > limits.operations {
                            return Err(Status::TooManyOperations);
                        }
                        Ok(None)
                    }
                }
            }
            Operation::ExchangeId(_)
            | Operation::CreateSession(_)
            | Operation::BindConnection { .. }
            | Operation::DestroySession(_)
            | Operation::DestroyClient(_) => match self.count {
                1 => Ok(None),
                _ => Err(Status::NotOnlyOperation),
            },
            Operation::Illegal => Ok(None),
            _ => Err(Status::NotInSession),
        }
    }

    /// Writes status and results; what was written of a failed operation is discarded.
    fn settle(&self, number: u32, outcome: Result<(), Failure>, at: usize, to: &mut Encoder) -> Status {
        let outcome = outcome.and_then(|()| Ok(self.require_room(to.len())?));
        let failure = match outcome {
            Ok(()) => return Status::Ok,
            Err(failure) => failure,
        };
        // A replayed v4.0 result says itself how it ended.
        to.truncate(at);
        to.u32(number);
        let status = match &failure {
            Failure::Status(status) => *status,
            Failure::Denied(_) => Status::Denied,
        };
        to.u32(status as u32);
        match failure {
            Failure::Denied(conflict) => put_conflict(to, &conflict),
            // `SETATTR4res`: attrsset, whatever the status.
            Failure::Status(_) if number == number::SETATTR => to.u32(0),
            // `clientaddr4` of the client in the way.
            Failure::Status(Status::ClientInUse) if number == number::SETCLIENTID => {
                to.opaque(b"tcp");
                to.opaque(b"");
            }
            Failure::Status(_) => {}
        }
        status
    }

    pub(super) fn require_room(&self, end: usize) -> Result<(), Status> {
        let Some(session) = &self.session else { return Ok(()) };
        let length = end.saturating_sub(self.start);
        if length > session.limits.response as usize {
            return Err(Status::ReplyTooBig);
        }
        if session.keep && length > session.limits.cached as usize {
            return Err(Status::ReplyTooBigToCache);
        }
        Ok(())
    }

    fn keep_reply(&self, to: &Encoder) {
        let Some(session) = &self.session else { return };
        let bound = if session.keep { session.limits.cached as usize } else { 0 }.max(KEPT_ANYWAY);
        let kept = (to.len().saturating_sub(self.start) <= bound).then(|| to.copy_since(self.start));
        self.server.state.lock().finish(&session.session, session.slot, kept);
    }

    pub(super) fn client(&self) -> Option<ClientId> {
        self.session.map(|session| session.client)
    }

    /// The client of a request: the session's, or the one v4.0 names.
    pub(super) fn client_or(&self, named: ClientId) -> ClientId {
        self.client().unwrap_or(named)
    }

    /// The stateid meant: the current one, if it says so (RFC 8881 §16.2.3.1.2).
    pub(super) fn resolve(&self, state: StateId) -> Result<StateId, Status> {
        if self.minor > 0 && state == StateId::CURRENT {
            return self.current_state.ok_or(Status::BadStateId);
        }
        Ok(state)
    }

    pub(super) fn handle(&self) -> Result<FileHandle, Status> {
        self.current.ok_or(Status::NoFileHandle)
    }

    pub(super) fn saved_handle(&self) -> Result<FileHandle, Status> {
        self.saved.map(|(handle, _)| handle).ok_or(Status::NoFileHandle)
    }

    pub(super) fn set_current(&mut self, handle: FileHandle) {
        (self.current, self.current_state) = (Some(handle), None);
    }

    pub(super) fn execute(&mut self, operation: Operation, to: &mut Encoder) -> Result<(), Failure> {
        match operation {
            Operation::Access(asked) => self.access(asked, to),
            Operation::Allocate { state, offset, length } => self.allocate(state, offset, length),
            Operation::BackchannelControl | Operation::Unsupported | Operation::Deallocate { .. } => {
                Err(Status::NotSupported.into())
            }
            Operation::BindConnection { session, direction } => self.bind_connection(session, direction, to),
            Operation::Close { state, .. } => self.close(state, to),
            Operation::Commit { .. } => self.commit(to),
            Operation::Create { kind, name, attributes } => self.create(kind, &name, &attributes, to),
            Operation::CreateSession(arguments) => self.create_session(arguments, to),
            Operation::DelegationReturn => Err(Status::BadStateId.into()),
            Operation::DestroyClient(client) => self.destroy_client(client),
            Operation::DestroySession(session) => self.destroy_session(session),
            Operation::ExchangeId(arguments) => self.exchange_id(arguments, to),
            Operation::FreeState(state) => self.free_state(state),
            Operation::GetAttributes(wanted) => self.get_attributes(wanted, to),
            Operation::GetHandle => self.get_handle(to),
            Operation::Illegal => Err(Status::IllegalOperation.into()),
            Operation::IoAdvise => {
                to.u32(0);
                Ok(())
            }
            Operation::Link { name } => self.link(&name, to),
            Operation::Lock { kind, reclaim, range, locker } => self.lock((kind, range), reclaim, locker, to),
            Operation::LockTest { kind, range, client, owner } => {
                self.lock_test((kind, range), client, owner)
            }
            Operation::Lookup(name) => self.lookup(&name),
            Operation::LookupParent => self.lookup_parent(),
            Operation::NotVerify(attributes) => self.verify(&attributes, false),
            Operation::Open(arguments) => self.open(arguments, to),
            Operation::OpenConfirm { state, .. } => self.open_confirm(state, to),
            Operation::OpenDowngrade { state, access, deny, .. } => {
                self.open_downgrade(state, (access, deny), to)
            }
            Operation::PutHandle(handle) => self.put_handle(&handle),
            Operation::PutRoot => self.put_root(),
            Operation::Read { state, offset, count } => self.read(state, offset, count, to),
            Operation::ReadDirectory { cookie, names_bound, bound, wanted } => {
                self.read_directory(cookie, (names_bound, bound), wanted, to)
            }
            Operation::ReadLink => self.read_link(to),
            Operation::ReclaimComplete { one_file_system } => self.reclaim_complete(one_file_system),
            Operation::ReleaseLockOwner { client, owner } => self.release_lock_owner(client, &owner),
            Operation::Remove(name) => self.remove(&name, to),
            Operation::Rename { old, new } => self.rename(&old, &new, to),
            Operation::Renew(client) => self.renew(client),
            Operation::RestoreHandle => self.restore_handle(),
            Operation::SaveHandle => self.save_handle(),
            Operation::SecurityInfo(name) => self.security_info(&name, to),
            Operation::SecurityInfoNoName { of_parent } => self.security_info_no_name(of_parent, to),
            Operation::Seek { state, offset, hole } => self.seek(state, offset, hole, to),
            Operation::Sequence { session, sequence, slot, .. } => self.sequence(session, sequence, slot, to),
            Operation::SetAttributes { state, attributes } => self.set_attributes(state, &attributes, to),
            Operation::SetClientId { verifier, owner } => self.set_client_id(verifier, owner, to),
            Operation::SetClientIdConfirm { client, confirm } => self.set_client_id_confirm(client, confirm),
            Operation::TestStates(states) => self.test_states(&states, to),
            Operation::Unlock { state, range, .. } => self.unlock(state, range, to),
            Operation::Verify(attributes) => self.verify(&attributes, true),
            Operation::Write { state, offset, stability, data } => {
                self.write(state, offset, stability, &data, to)
            }
        }
    }

    fn sequence(
        &mut self,
        session: SessionId,
        sequence: u32,
        slot: u32,
        to: &mut Encoder,
    ) -> Result<(), Failure> {
        let Some(running) = &self.session else { return Err(Status::IllegalOperation.into()) };
        to.fixed(&session);
        let highest = running.limits.requests.saturating_sub(1);
        // Slots as agreed, and no news of the lease or of a backchannel that is never used.
        for word in [sequence, slot, highest, highest, 0] {
            to.u32(word);
        }
        Ok(())
    }
}

/// `LOCK4denied`.
fn put_conflict(to: &mut Encoder, conflict: &Conflict) {
    to.u64(conflict.range.first);
    to.u64(conflict.range.wire_length());
    to.u32(match conflict.kind {
        crate::nfs4::state::LockKind::Read => 1,
        crate::nfs4::state::LockKind::Write => 2,
    });
    to.u64(conflict.client.0);
    to.opaque(&conflict.owner);
}
