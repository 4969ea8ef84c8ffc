//! Opens and share reservations (RFC 8881 §9.7 to §9.10, §18.16 to §18.18).

use std::time::Duration;

use bytes::Bytes;

use crate::nfs4::state::{ClientId, FileKey, Held, MAX_STATES, OwnerKey, State, StateId, next_seqid};
use crate::nfs4::status::Status;

/// OPEN4_SHARE_ACCESS_READ, or OPEN4_SHARE_DENY_READ.
pub(crate) const READ: u8 = 1;
/// OPEN4_SHARE_ACCESS_WRITE, or OPEN4_SHARE_DENY_WRITE.
pub(crate) const WRITE: u8 = 2;

/// One owner's open of one file.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) owner: Bytes,
    pub(super) file: FileKey,
    pub(super) seqid: u32,
    pub(super) access: u8,
    deny: u8,
    /// Bit `n`: an OPEN asked for access (denial) `n`; OPEN_DOWNGRADE goes back to such.
    accesses: u8,
    denials: u8,
    /// v4.0: the open-owner is known good.
    pub(super) confirmed: bool,
}

/// On what ground an OPEN stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// None.
    New,
    /// It was open before the restart (CLAIM_PREVIOUS).
    Reclaim,
}

/// OPEN of a file found or made.
#[derive(Debug, Clone)]
pub(crate) struct OpenRequest {
    pub(crate) client: ClientId,
    pub(crate) owner: Bytes,
    pub(crate) file: FileKey,
    /// What is wanted, 1 to 3.
    pub(crate) access: u8,
    /// What others shall not have, 0 to 3.
    pub(crate) deny: u8,
    pub(crate) claim: Claim,
}

impl State {
    /// May this client OPEN on that ground now? Asked before a file is made.
    pub(crate) fn require_open_allowed(
        &mut self,
        now: Duration,
        client: ClientId,
        claim: Claim,
    ) -> Result<(), Status> {
        let number = self.require_client(client)?;
        self.client_mut(number)?.renewed = now;
        self.require_grace_fits(now, number, claim == Claim::Reclaim)
    }

    /// Does no other open stand in the way?
    pub(crate) fn require_shareable(&self, request: &OpenRequest) -> Result<(), Status> {
        let number = self.require_client(request.client)?;
        let opens = self.files.get(&request.file).into_iter().flat_map(|file| &file.opens);
        for open in opens.filter_map(|(client, state)| self.find_open(*client, *state).map(|o| (*client, o)))
        {
            let (client, open) = open;
            let own = client == number && open.owner == request.owner;
            if !own && (open.deny & request.access != 0 || open.access & request.deny != 0) {
                return Err(match request.claim {
                    Claim::New => Status::ShareDenied,
                    Claim::Reclaim => Status::ReclaimConflict,
                });
            }
        }
        Ok(())
    }

    fn find_open(&self, client: u32, number: u32) -> Option<&Open> {
        match self.clients.get(&client)?.states.get(&number)? {
            Held::Open(open) => Some(open),
            Held::Lock(_) => None,
        }
    }

    fn open_mut(&mut self, client: u32, number: u32) -> Result<&mut Open, Status> {
        match self.clients.get_mut(&client).and_then(|client| client.states.get_mut(&number)) {
            Some(Held::Open(open)) => Ok(open),
            _ => Err(Status::BadStateId),
        }
    }

    /// Opens, or widens what the owner has open. Answers the stateid, and whether v4.0 must confirm
    /// the open-owner first.
    pub(crate) fn open(&mut self, now: Duration, request: &OpenRequest) -> Result<(StateId, bool), Status> {
        self.require_open_allowed(now, request.client, request.claim)?;
        self.require_shareable(request)?;
        let client = self.require_client(request.client)?;
        let opens = self.files.get(&request.file).into_iter().flat_map(|file| &file.opens);
        let own = opens.filter(|(owner, _)| *owner == client).map(|(_, number)| *number);
        let known = own
            .into_iter()
            .find(|number| self.find_open(client, *number).is_some_and(|open| open.owner == request.owner));
        let record = self.client(client)?;
        let confirmed = record.has_sessions()
            || request.claim == Claim::Reclaim
            || record
                .owners
                .get(&OwnerKey::Open(request.owner.clone()))
                .is_some_and(|sequence| sequence.confirmed);
        let number = match known {
            Some(number) => number,
            None => self.insert_open(client, request, confirmed)?,
        };
        let open = self.open_mut(client, number)?;
        open.access |= request.access;
        open.deny |= request.deny;
        open.accesses |= 1 << request.access;
        open.denials |= 1 << request.deny;
        open.seqid = next_seqid(open.seqid);
        let seqid = open.seqid;
        if request.claim == Claim::Reclaim {
            self.confirm_owner(client, &request.owner);
        }
        Ok((self.state_id(client, number, seqid), !confirmed))
    }

    fn insert_open(&mut self, client: u32, request: &OpenRequest, confirmed: bool) -> Result<u32, Status> {
        let number = self.next_number();
        let record = self.client_mut(client)?;
        if record.states.len() >= MAX_STATES {
            return Err(if record.has_sessions() { Status::Delay } else { Status::Resource });
        }
        let open = Open {
            owner: request.owner.clone(),
            file: request.file,
            seqid: 0,
            access: 0,
            deny: 0,
            accesses: 0,
            denials: 0,
            confirmed,
        };
        record.states.insert(number, Held::Open(open));
        self.files.entry(request.file).or_default().opens.push((client, number));
        Ok(number)
    }

    /// OPEN_CONFIRM (RFC 7530 §16.18).
    pub(crate) fn confirm_open(&mut self, id: StateId, file: FileKey) -> Result<StateId, Status> {
        let (client, number) = self.find_state(id, None)?;
        let open = self.open_mut(client, number)?;
        if open.file != file {
            return Err(Status::BadStateId);
        }
        open.confirmed = true;
        open.seqid = next_seqid(open.seqid);
        let (owner, seqid) = (open.owner.clone(), open.seqid);
        self.confirm_owner(client, &owner);
        Ok(self.state_id(client, number, seqid))
    }

    /// OPEN_DOWNGRADE: to a combination that OPENs asked for.
    pub(crate) fn downgrade(
        &mut self,
        client: Option<ClientId>,
        id: StateId,
        file: FileKey,
        (access, deny): (u8, u8),
    ) -> Result<StateId, Status> {
        let (client, number) = self.find_state(id, client)?;
        let open = self.open_mut(client, number)?;
        if open.file != file {
            return Err(Status::BadStateId);
        }
        let was_asked = open.accesses & (1 << access) != 0 && open.denials & (1 << deny) != 0;
        if !was_asked || access & !open.access != 0 || deny & !open.deny != 0 {
            return Err(Status::Invalid);
        }
        (open.access, open.deny) = (access, deny);
        let within = |wanted: u8| {
            (0..4u8).filter(|value| value & !wanted == 0).fold(0, |bits, value| bits | 1 << value)
        };
        open.accesses &= within(access);
        open.denials &= within(deny);
        open.seqid = next_seqid(open.seqid);
        let seqid = open.seqid;
        Ok(self.state_id(client, number, seqid))
    }

    /// CLOSE. The locks taken under the open go with it.
    pub(crate) fn close(
        &mut self,
        client: Option<ClientId>,
        id: StateId,
        file: FileKey,
    ) -> Result<StateId, Status> {
        let with_sessions = client.is_some();
        let (client, number) = self.find_state(id, client)?;
        let open = self.open_mut(client, number)?;
        if open.file != file {
            return Err(Status::BadStateId);
        }
        let (owner, seqid) = (OwnerKey::Open(open.owner.clone()), next_seqid(open.seqid));
        self.drop_locks_of(client, number, file);
        let record = self.client_mut(client)?;
        record.states.remove(&number);
        if let Some(sequence) = record.owners.get_mut(&owner) {
            sequence.closed = Some(number);
        }
        if let Some(state) = self.files.get_mut(&file) {
            state.opens.retain(|open| *open != (client, number));
        }
        self.tidy_file(file);
        // RFC 8881 §18.2.4: with sessions, one that nobody can use.
        Ok(if with_sessions { StateId::INVALID } else { self.state_id(client, number, seqid) })
    }

    /// May data be read or written ([`READ`], [`WRITE`]) under this stateid?
    pub(crate) fn require_io(
        &mut self,
        now: Duration,
        client: Option<ClientId>,
        id: StateId,
        file: FileKey,
        access: u8,
    ) -> Result<(), Status> {
        if id == StateId::BYPASS && access == READ {
            return Ok(());
        }
        if id == StateId::ANONYMOUS || id == StateId::BYPASS {
            let opens = self.files.get(&file).into_iter().flat_map(|file| &file.opens);
            let mut opens = opens.filter_map(|(client, number)| self.find_open(*client, *number));
            return if opens.any(|open| open.deny & access != 0) { Err(Status::Locked) } else { Ok(()) };
        }
        let (client, number) = self.find_state(id, client)?;
        let record = self.client_mut(client)?;
        record.renewed = now;
        let (at, number) = match record.states.get(&number) {
            Some(Held::Lock(lock)) => (lock.file, lock.open),
            Some(Held::Open(open)) => (open.file, number),
            None => return Err(Status::BadStateId),
        };
        let open = self.find_open(client, number).ok_or(Status::BadStateId)?;
        if at != file || !open.confirmed {
            return Err(Status::BadStateId);
        }
        // What is open for writing may be read: clients fill a page before they change a part of it
        // (RFC 8881 §18.22.3).
        if access == WRITE && open.access & WRITE == 0 { Err(Status::OpenMode) } else { Ok(()) }
    }
}
