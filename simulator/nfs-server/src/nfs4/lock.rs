//! LOCK, LOCKT, LOCKU, RELEASE_LOCKOWNER (RFC 8881 §18.10 to §18.12, RFC 7530 §16.37).

use bytes::Bytes;

use crate::nfs4::compound::{Compound, Failure};
use crate::nfs4::operation::{LockRange, LockerArguments};
use crate::nfs4::state::{ClientId, LockKind, LockRequest, Locker, StateId};
use crate::nfs4::status::Status;
use crate::xdr::Encoder;

impl Compound<'_> {
    pub(super) fn lock(
        &mut self,
        (kind, range): (LockKind, LockRange),
        reclaim: bool,
        locker: LockerArguments,
        to: &mut Encoder,
    ) -> Result<(), Failure> {
        let file = self.require_file()?;
        let range = range.ok_or(Status::Invalid)?;
        let locker = match locker {
            LockerArguments::New { open, owner, .. } => Locker::New { open: self.resolve(open)?, owner },
            LockerArguments::Known { lock, .. } => Locker::Known(self.resolve(lock)?),
        };
        let request = LockRequest { locker, file, range, kind, reclaim };
        let state = self.server.state(self.now).lock(self.now, self.client(), &request)?;
        self.put_state(state, to);
        Ok(())
    }

    pub(super) fn lock_test(
        &self,
        (kind, range): (LockKind, LockRange),
        client: ClientId,
        owner: Bytes,
    ) -> Result<(), Failure> {
        let file = self.require_file()?;
        let range = range.ok_or(Status::Invalid)?;
        let client = self.client_or(client);
        Ok(self.server.state(self.now).test_lock(self.now, client, owner, (file, range, kind))?)
    }

    pub(super) fn unlock(
        &mut self,
        state: StateId,
        range: LockRange,
        to: &mut Encoder,
    ) -> Result<(), Failure> {
        let file = self.require_file()?;
        let range = range.ok_or(Status::Invalid)?;
        let state = self.resolve(state)?;
        let state = self.server.state(self.now).unlock(self.now, self.client(), state, (file, range))?;
        self.put_state(state, to);
        Ok(())
    }

    pub(super) fn release_lock_owner(&self, client: ClientId, owner: &Bytes) -> Result<(), Failure> {
        Ok(self.server.state(self.now).release_lock_owner(self.now, client, owner)?)
    }
}
