//! Numbered owners of v4.0: an operation of one runs when it is its turn, and a repeated one gets the
//! result of the first (RFC 7530 §9.1.7). Later versions have sessions instead.

use crate::nfs4::compound::{Compound, Failure, RESULT_ROOM};
use crate::nfs4::operation::{LockerArguments, Operation};
use crate::nfs4::state::{ClientId, LockFailure, OwnerKey, Turn};
use crate::nfs4::status::Status;
use crate::xdr::Encoder;

impl Compound<'_> {
    /// With v4.0, an operation of a numbered owner runs when it is the owner's turn; else at once.
    pub(super) fn execute_in_turn(&mut self, operation: Operation, to: &mut Encoder) -> Result<(), Failure> {
        if !operation.is_idempotent() {
            self.require_room(to.len() + RESULT_ROOM)?;
        }
        let Some((client, owner, seqid)) = self.turn_of(&operation) else {
            to.u32(Status::Ok as u32);
            return self.execute(operation, to);
        };
        let turn = self.server.state(self.now).take_turn(client, &owner, seqid)?;
        if let Turn::Replay(result) = turn {
            to.append(&result?);
            return Ok(());
        }
        let also = match &operation {
            Operation::Lock { locker: LockerArguments::New { seqid, owner, .. }, .. } => {
                Some((OwnerKey::Lock(owner.clone()), *seqid))
            }
            _ => None,
        };
        let at = to.len();
        to.u32(Status::Ok as u32);
        let outcome = self.execute(operation, to);
        let result = match &outcome {
            Ok(()) => Ok(to.copy_since(at)),
            Err(Failure::Denied(conflict)) => Err(LockFailure::Denied(conflict.clone())),
            Err(Failure::Status(status)) => Err(LockFailure::Other(*status)),
        };
        if counts(&outcome) {
            let mut state = self.server.state(self.now);
            if let Some((lock_owner, seqid)) = also.filter(|_| outcome.is_ok()) {
                // The owner may be new: its turn begins with this lock.
                let _ = state.take_turn(client, &lock_owner, seqid);
                state.keep_turn(client, &lock_owner, seqid, result.clone());
            }
            state.keep_turn(client, &owner, seqid, result);
        }
        outcome
    }

    fn turn_of(&self, operation: &Operation) -> Option<(ClientId, OwnerKey, u32)> {
        if self.minor > 0 {
            return None;
        }
        let (state, seqid) = match operation {
            Operation::Open(open) => {
                return Some((open.client, OwnerKey::Open(open.owner.clone()), open.seqid));
            }
            Operation::OpenConfirm { state, seqid }
            | Operation::OpenDowngrade { state, seqid, .. }
            | Operation::Close { state, seqid }
            | Operation::Unlock { state, seqid, .. } => (*state, *seqid),
            Operation::Lock { locker: LockerArguments::New { open, open_seqid, .. }, .. } => {
                (*open, *open_seqid)
            }
            Operation::Lock { locker: LockerArguments::Known { lock, seqid }, .. } => (*lock, *seqid),
            _ => return None,
        };
        let (client, owner) = self.server.state(self.now).owner_of(state)?;
        Some((client, owner, seqid))
    }
}

/// Does the request count in its owner's numbers (RFC 7530 §9.1.7)?
fn counts(outcome: &Result<(), Failure>) -> bool {
    !matches!(
        outcome,
        Err(Failure::Status(
            Status::StaleClient
                | Status::StaleStateId
                | Status::BadStateId
                | Status::BadSequenceId
                | Status::BadXdr
                | Status::Resource
                | Status::NoFileHandle
        ))
    )
}
