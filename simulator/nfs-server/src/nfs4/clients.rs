//! The operations by which clients and sessions come and go (RFC 8881 §18.33 to §18.37, §18.50,
//! §18.51; RFC 7530 §16.28, §16.33, §16.34).

use bytes::Bytes;
use serde_json::json;

use crate::nfs4::compound::{Compound, Failure};
use crate::nfs4::operation::{CreateSessionArguments, ExchangeArguments};
use crate::nfs4::state::{
    ChannelLimits, ClientId, CreatedSession, ExchangeRequest, Principal, SessionId, StateId,
};
use crate::nfs4::status::Status;
use crate::rpc::Credential;
use crate::xdr::Encoder;

const EXCHANGE_UPDATE: u32 = 0x4000_0000;
const EXCHANGE_CONFIRMED: u32 = 0x8000_0000;
/// EXCHGID4_FLAG_USE_NON_PNFS.
const EXCHANGE_NON_PNFS: u32 = 0x0001_0000;
/// Flags a client may set (RFC 8881 §18.35.3); RFC 7862 adds SUPP_FENCE_OPS.
const EXCHANGE_KNOWN: u32 = 0x4007_0107;
/// CREATE_SESSION4_FLAG_CONN_BACK_CHAN: accepted, and never used.
const BACK_CHANNEL: u32 = 2;

impl Compound<'_> {
    fn exchange_request(&self, verifier: [u8; 8], owner: Bytes, update: bool) -> ExchangeRequest {
        let principal = match &self.caller.credential {
            Credential::Sys(sys) => Some(sys.uid),
            Credential::Anonymous => None,
        };
        ExchangeRequest {
            owner,
            verifier,
            principal: Principal(principal),
            address: self.caller.address,
            minor: self.minor,
            update,
        }
    }

    pub(super) fn exchange_id(&self, arguments: ExchangeArguments, to: &mut Encoder) -> Result<(), Failure> {
        // Machine credentials and SSV need RPCSEC_GSS.
        if arguments.protection != 0 || arguments.flags & !EXCHANGE_KNOWN != 0 {
            return Err(Status::Invalid.into());
        }
        let update = arguments.flags & EXCHANGE_UPDATE != 0;
        let request = self.exchange_request(arguments.verifier, arguments.owner, update);
        let exchanged = self.server.state(self.now).exchange_id(self.now, request)?;
        to.u64(exchanged.client.0);
        to.u32(exchanged.sequence);
        to.u32(EXCHANGE_NON_PNFS | if exchanged.confirmed { EXCHANGE_CONFIRMED } else { 0 });
        // SP4_NONE.
        to.u32(0);
        // `server_owner4`, scope, and no implementation id.
        to.u64(0);
        to.opaque(&self.server.identity);
        to.opaque(&self.server.identity);
        to.u32(0);
        Ok(())
    }

    fn note_client(&self, client: ClientId) {
        let detail = json!({
            "client": self.caller.address,
            "machine": super::machine_of(self.caller),
            "minor": self.minor,
            "id": format!("{:016x}", client.0),
        });
        self.server.events.record("nfs.client", detail);
    }

    pub(super) fn create_session(
        &self,
        arguments: CreateSessionArguments,
        to: &mut Encoder,
    ) -> Result<(), Failure> {
        let mut state = self.server.state(self.now);
        let id = arguments.client;
        let created = state.create_session(self.now, id, arguments.sequence, arguments.fore)?;
        let (session, limits, confirmed) = match created {
            CreatedSession::Replay(result) => {
                to.append(&result);
                return Ok(());
            }
            CreatedSession::New { session, limits, confirmed } => (session, limits, confirmed),
        };
        let at = to.len();
        to.fixed(&session);
        to.u32(arguments.sequence);
        to.u32(arguments.flags & BACK_CHANNEL);
        put_channel(to, limits);
        put_channel(to, arguments.back);
        state.keep_created(id, to.copy_since(at));
        drop(state);
        if confirmed {
            self.note_client(id);
        }
        Ok(())
    }

    pub(super) fn bind_connection(
        &self,
        session: SessionId,
        direction: u32,
        to: &mut Encoder,
    ) -> Result<(), Failure> {
        if self.session.is_some() {
            return Err(Status::NotOnlyOperation.into());
        }
        // CDFC4_FORE 1, BACK 2, FORE_OR_BOTH 3, BACK_OR_BOTH 7; answered as CDFS4.
        let bound = match direction {
            1..=2 => direction,
            3 | 7 => 3,
            _ => return Err(Status::Invalid.into()),
        };
        self.server.state(self.now).touch_session(self.now, &session)?;
        to.fixed(&session);
        to.u32(bound);
        to.bool(false);
        Ok(())
    }

    pub(super) fn destroy_session(&self, session: SessionId) -> Result<(), Failure> {
        Ok(self.server.state(self.now).destroy_session(&session)?)
    }

    pub(super) fn destroy_client(&self, client: ClientId) -> Result<(), Failure> {
        self.server.state(self.now).destroy_client(client)?;
        // Looks once more, to tell that the client is gone.
        drop(self.server.state(self.now));
        Ok(())
    }

    pub(super) fn reclaim_complete(&self, one_file_system: bool) -> Result<(), Failure> {
        if one_file_system {
            self.handle()?;
            return Ok(());
        }
        let client = self.client().ok_or(Status::NotInSession)?;
        Ok(self.server.state(self.now).complete_reclaim(client)?)
    }

    pub(super) fn set_client_id(
        &self,
        verifier: [u8; 8],
        owner: Bytes,
        to: &mut Encoder,
    ) -> Result<(), Failure> {
        let request = self.exchange_request(verifier, owner, false);
        let confirm: [u8; 8] = rand::random();
        let client = self.server.state(self.now).set_client_id(self.now, request, confirm)?;
        to.u64(client.0);
        to.fixed(&confirm);
        Ok(())
    }

    pub(super) fn set_client_id_confirm(&self, client: ClientId, confirm: [u8; 8]) -> Result<(), Failure> {
        let is_news = self.server.state(self.now).confirm_client_id(self.now, client, confirm)?;
        if is_news {
            self.note_client(client);
        }
        Ok(())
    }

    pub(super) fn renew(&self, client: ClientId) -> Result<(), Failure> {
        Ok(self.server.state(self.now).renew(self.now, client)?)
    }

    pub(super) fn test_states(&self, states: &[StateId], to: &mut Encoder) -> Result<(), Failure> {
        let client = self.client().ok_or(Status::NotInSession)?;
        let state = self.server.state(self.now);
        // As many as came in, which a record bounds.
        to.u32(states.len() as u32);
        for id in states {
            to.u32(state.test_state(client, *id) as u32);
        }
        Ok(())
    }

    pub(super) fn free_state(&self, state: StateId) -> Result<(), Failure> {
        let client = self.client().ok_or(Status::NotInSession)?;
        Ok(self.server.state(self.now).free_state(client, state)?)
    }
}

/// `channel_attrs4`.
fn put_channel(to: &mut Encoder, limits: ChannelLimits) {
    // No padding of headers; no RDMA.
    for word in [0, limits.request, limits.response, limits.cached, limits.operations, limits.requests, 0] {
        to.u32(word);
    }
}
