//! Sessions and their slots: each request runs once, each retransmission gets the first reply
//! (RFC 8881 §2.10).

use std::time::Duration;

use bytes::Bytes;

use crate::nfs4::state::{ClientId, State};
use crate::nfs4::status::Status;

/// `sessionid4`.
pub(crate) type SessionId = [u8; 16];

/// Requests of one session at a time.
const MAX_SLOTS: u32 = 128;
/// Sessions of one client.
const MAX_SESSIONS: usize = 64;

/// Limits of a channel (`channel_attrs4`), as asked for or as agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChannelLimits {
    /// Bytes.
    pub(crate) request: u32,
    /// Bytes.
    pub(crate) response: u32,
    /// Bytes of a reply that is kept.
    pub(crate) cached: u32,
    pub(crate) operations: u32,
    pub(crate) requests: u32,
}

impl ChannelLimits {
    /// 1 MiB of data with its COMPOUND, within a record.
    const MAX: Self = Self {
        request: (1 << 20) + (64 << 10),
        response: (1 << 20) + (64 << 10),
        cached: 16 << 10,
        operations: 64,
        requests: MAX_SLOTS,
    };

    /// No more than the client asks for, and no more than is served. `None` if too little for any
    /// COMPOUND.
    fn agree(self) -> Option<Self> {
        let agreed = Self {
            request: self.request.min(Self::MAX.request),
            response: self.response.min(Self::MAX.response),
            cached: self.cached.min(Self::MAX.cached),
            operations: self.operations.min(Self::MAX.operations),
            requests: self.requests.min(Self::MAX.requests),
        };
        let fits =
            agreed.request >= 256 && agreed.response >= 256 && agreed.operations >= 2 && agreed.requests >= 1;
        fits.then_some(agreed)
    }
}

#[derive(Debug)]
pub(super) struct Session {
    client: u32,
    limits: ChannelLimits,
    slots: Vec<Slot>,
}

#[derive(Debug, Clone, Default)]
struct Slot {
    /// Of the last request.
    sequence: u32,
    /// What else tells that request from others.
    fingerprint: u64,
    outcome: Outcome,
}

/// What became of a slot's last request.
#[derive(Debug, Clone, Default)]
enum Outcome {
    /// There was none.
    #[default]
    Unused,
    Running,
    Kept(Bytes),
    NotKept,
}

/// SEQUENCE.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SequenceRequest {
    pub(crate) session: SessionId,
    pub(crate) sequence: u32,
    pub(crate) slot: u32,
    pub(crate) highest_slot: u32,
    /// Of the COMPOUND behind SEQUENCE; tells a retransmission from another request.
    pub(crate) fingerprint: u64,
}

/// How SEQUENCE went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Begun {
    /// Run the request, then [`State::finish`].
    Run { client: ClientId, limits: ChannelLimits },
    /// It has run: this was the reply.
    Replay(Bytes),
}

/// How CREATE_SESSION went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CreatedSession {
    /// Tell [`State::keep_created`] what was answered.
    New {
        session: SessionId,
        limits: ChannelLimits,
        /// The client is new, too.
        confirmed: bool,
    },
    /// It had been asked before: this was the result.
    Replay(Bytes),
}

impl State {
    /// CREATE_SESSION (RFC 8881 §18.36.4). Confirms the client.
    pub(crate) fn create_session(
        &mut self,
        now: Duration,
        id: ClientId,
        sequence: u32,
        wanted: ChannelLimits,
    ) -> Result<CreatedSession, Status> {
        let number = id.0 as u32;
        if self.client_id(number) != id {
            return Err(Status::StaleClient);
        }
        let client = self.client_mut(number)?;
        if !client.has_sessions() {
            return Err(Status::StaleClient);
        }
        if sequence.wrapping_add(1) == client.create_sequence
            && let Some(created) = &client.created
        {
            return Ok(CreatedSession::Replay(created.clone()));
        }
        if sequence != client.create_sequence {
            return Err(Status::Misordered);
        }
        let limits = wanted.agree().ok_or(Status::TooSmall)?;
        if client.sessions.len() >= MAX_SESSIONS {
            return Err(Status::Delay);
        }
        client.renewed = now;
        client.create_sequence = sequence.wrapping_add(1);
        let confirmed = !client.confirmed;
        let session = self.next_session(number);
        self.client_mut(number)?.sessions.push(session);
        let slots = vec![Slot::default(); limits.requests as usize];
        self.sessions.insert(session, Session { client: number, limits, slots });
        self.confirm_client(number)?;
        Ok(CreatedSession::New { session, limits, confirmed })
    }

    fn next_session(&mut self, client: u32) -> SessionId {
        let number = self.next_number();
        let mut id = [0; 16];
        let parts = [self.boot, client, number, !number].into_iter().flat_map(u32::to_be_bytes);
        id.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
        id
    }

    /// Keeps the result of CREATE_SESSION, lest a retransmission makes another session.
    pub(crate) fn keep_created(&mut self, id: ClientId, result: Bytes) {
        if let Ok(client) = self.client_mut(id.0 as u32) {
            client.created = Some(result);
        }
    }

    /// DESTROY_SESSION (RFC 8881 §18.37).
    pub(crate) fn destroy_session(&mut self, session: &SessionId) -> Result<(), Status> {
        let gone = self.sessions.remove(session).ok_or(Status::BadSession)?;
        if let Ok(client) = self.client_mut(gone.client) {
            client.sessions.retain(|other| other != session);
        }
        Ok(())
    }

    /// Is that a session (BIND_CONN_TO_SESSION)? Renews its client.
    pub(crate) fn touch_session(&mut self, now: Duration, session: &SessionId) -> Result<(), Status> {
        let client = self.sessions.get(session).ok_or(Status::BadSession)?.client;
        self.client_mut(client).map_err(|_| Status::BadSession)?.renewed = now;
        Ok(())
    }

    /// SEQUENCE (RFC 8881 §18.46): takes the slot for a new request, or finds the reply to an old
    /// one. Renews the client.
    pub(crate) fn begin(&mut self, now: Duration, request: SequenceRequest) -> Result<Begun, Status> {
        let session = self.sessions.get_mut(&request.session).ok_or(Status::BadSession)?;
        let highest = session.limits.requests;
        let slot = session.slots.get_mut(request.slot as usize).ok_or(Status::BadSlot)?;
        if request.highest_slot >= highest {
            return Err(Status::BadHighSlot);
        }
        let begun = slot.begin(&request)?;
        let (client, limits) = (session.client, session.limits);
        self.client_mut(client).map_err(|_| Status::BadSession)?.renewed = now;
        Ok(match begun {
            Some(reply) => Begun::Replay(reply),
            None => Begun::Run { client: self.client_id(client), limits },
        })
    }

    /// Frees a slot, and keeps the reply for a retransmission.
    pub(crate) fn finish(&mut self, session: &SessionId, slot: u32, reply: Option<Bytes>) {
        let slot = self.sessions.get_mut(session).and_then(|session| session.slots.get_mut(slot as usize));
        if let Some(slot) = slot {
            slot.outcome = reply.map_or(Outcome::NotKept, Outcome::Kept);
        }
    }

    /// Is a request of the client being served? Then it is not silent.
    pub(super) fn is_running(&self, client: u32) -> bool {
        let sessions = self.clients.get(&client).into_iter().flat_map(|client| &client.sessions);
        sessions
            .filter_map(|session| self.sessions.get(session))
            .flat_map(|session| &session.slots)
            .any(|slot| matches!(slot.outcome, Outcome::Running))
    }
}

impl Slot {
    /// Takes the slot; or the reply to give again.
    fn begin(&mut self, request: &SequenceRequest) -> Result<Option<Bytes>, Status> {
        if request.sequence == self.sequence.wrapping_add(1) {
            if matches!(self.outcome, Outcome::Running) {
                return Err(Status::Misordered);
            }
            self.sequence = request.sequence;
            self.fingerprint = request.fingerprint;
            self.outcome = Outcome::Running;
            return Ok(None);
        }
        if request.sequence != self.sequence {
            return Err(Status::Misordered);
        }
        match &self.outcome {
            Outcome::Unused => Err(Status::Misordered),
            Outcome::Running => Err(Status::Delay),
            _ if self.fingerprint != request.fingerprint => Err(Status::FalseRetry),
            Outcome::NotKept => Err(Status::RetryUncachedReply),
            Outcome::Kept(reply) => Ok(Some(reply.clone())),
        }
    }
}
