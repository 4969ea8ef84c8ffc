//! The seqids of v4.0's open-owners and lock-owners: what sessions do in later versions
//! (RFC 7530 §9.1.7 to §9.1.9).

use bytes::Bytes;

use crate::nfs4::state::{ClientId, Held, LockFailure, State, StateId};
use crate::nfs4::status::Status;

/// An owner whose requests are numbered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum OwnerKey {
    /// `open_owner4`.
    Open(Bytes),
    /// `lock_owner4`.
    Lock(Bytes),
}

/// Owners of one client.
const MAX_OWNERS: usize = 1 << 16;

/// Where an owner stands.
#[derive(Debug, Default)]
pub(super) struct OwnerSequence {
    /// Seqid and result of its last request.
    last: Option<(u32, TurnResult)>,
    /// OPEN_CONFIRM was seen.
    pub(super) confirmed: bool,
    /// The number of the open it closed last: the CLOSE may come again.
    pub(super) closed: Option<u32>,
}

/// How a numbered request ended: the result as it was sent, or why there is none.
pub(crate) type TurnResult = Result<Bytes, LockFailure>;

/// What to do with a numbered request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Run it, then [`State::keep_turn`].
    Run,
    /// It has run: this was its result.
    Replay(TurnResult),
}

impl State {
    /// Whose open or lock a stateid is: for requests that name their owner by it.
    pub(crate) fn owner_of(&self, id: StateId) -> Option<(ClientId, OwnerKey)> {
        let [boot, client, number] = id.parts();
        let record = self.clients.get(&client).filter(|_| boot == self.boot)?;
        let key = match record.states.get(&number) {
            Some(Held::Open(open)) => OwnerKey::Open(open.owner.clone()),
            Some(Held::Lock(lock)) => OwnerKey::Lock(lock.owner.clone()),
            None => record.owners.iter().find(|(_, sequence)| sequence.closed == Some(number))?.0.clone(),
        };
        Some((self.client_id(client), key))
    }

    /// Is it the owner's turn with that seqid?
    pub(crate) fn take_turn(
        &mut self,
        client: ClientId,
        owner: &OwnerKey,
        seqid: u32,
    ) -> Result<Turn, Status> {
        let number = self.require_client(client)?;
        let record = self.client_mut(number)?;
        if record.owners.len() >= MAX_OWNERS && !record.owners.contains_key(owner) {
            return Err(Status::Resource);
        }
        let sequence = record.owners.entry(owner.clone()).or_default();
        match &sequence.last {
            // The first of an owner may be any; one that never was confirmed may start again.
            None => Ok(Turn::Run),
            Some((last, result)) if *last == seqid => Ok(Turn::Replay(result.clone())),
            Some((last, _)) if last.wrapping_add(1) == seqid => Ok(Turn::Run),
            Some(_) if matches!(owner, OwnerKey::Open(_)) && !sequence.confirmed => Ok(Turn::Run),
            Some(_) => Err(Status::BadSequenceId),
        }
    }

    /// Counts a request that was the owner's turn, and keeps its result.
    pub(crate) fn keep_turn(&mut self, client: ClientId, owner: &OwnerKey, seqid: u32, result: TurnResult) {
        if let Ok(number) = self.require_client(client)
            && let Ok(record) = self.client_mut(number)
            && let Some(sequence) = record.owners.get_mut(owner)
        {
            sequence.last = Some((seqid, result));
        }
    }

    pub(super) fn confirm_owner(&mut self, client: u32, owner: &Bytes) {
        if let Ok(record) = self.client_mut(client) {
            record.owners.entry(OwnerKey::Open(owner.clone())).or_default().confirmed = true;
        }
    }
}
