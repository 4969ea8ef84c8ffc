//! Clients: how they become known (RFC 8881 §18.35, RFC 7530 §16.33), and how they go.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::nfs4::state::sequence::OwnerSequence;
use crate::nfs4::state::{ClientId, Departed, Held, MAX_CLIENTS, OwnerKey, SessionId, State, lock, open};
use crate::nfs4::status::Status;

/// Whose credential made a client known: the uid of AUTH_SYS, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Principal(pub(crate) Option<u32>);

/// A client, confirmed or not.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) owner: Bytes,
    /// Another one is another life of the same client.
    verifier: [u8; 8],
    principal: Principal,
    address: IpAddr,
    /// The minor version it came with; sessions begin with 1.
    minor: u32,
    pub(super) confirmed: bool,
    /// Last heard of.
    pub(super) renewed: Duration,
    /// The `csa_sequence` expected next, and the answer to the one before.
    pub(super) create_sequence: u32,
    pub(super) created: Option<Bytes>,
    /// `setclientid_confirm` as it stands, and one that waits to be confirmed.
    confirm: [u8; 8],
    confirm_pending: Option<[u8; 8]>,
    /// It said RECLAIM_COMPLETE.
    pub(super) reclaimed: bool,
    pub(super) sessions: Vec<SessionId>,
    pub(super) states: BTreeMap<u32, Held>,
    /// The seqids of v4.0's open-owners and lock-owners.
    pub(super) owners: HashMap<OwnerKey, OwnerSequence>,
}

impl Client {
    pub(super) fn has_sessions(&self) -> bool {
        self.minor > 0
    }
}

/// EXCHANGE_ID, or the same of SETCLIENTID.
#[derive(Debug, Clone)]
pub(crate) struct ExchangeRequest {
    /// `co_ownerid`.
    pub(crate) owner: Bytes,
    pub(crate) verifier: [u8; 8],
    pub(crate) principal: Principal,
    pub(crate) address: IpAddr,
    pub(crate) minor: u32,
    /// EXCHGID4_FLAG_UPD_CONFIRMED_REC_A.
    pub(crate) update: bool,
}

/// What EXCHANGE_ID answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exchanged {
    pub(crate) client: ClientId,
    /// `eir_sequenceid`: what CREATE_SESSION is to bring.
    pub(crate) sequence: u32,
    /// EXCHGID4_FLAG_CONFIRMED_R.
    pub(crate) confirmed: bool,
}

impl State {
    fn find_owner(&self, request: &ExchangeRequest, confirmed: bool) -> Option<u32> {
        let fits = |client: &Client| {
            client.confirmed == confirmed
                && client.has_sessions() == (request.minor > 0)
                && client.owner == request.owner
        };
        self.clients.iter().find(|(_, client)| fits(client)).map(|(number, _)| *number)
    }

    fn insert_client(&mut self, now: Duration, request: ExchangeRequest) -> Result<u32, Status> {
        if self.clients.len() >= MAX_CLIENTS {
            return Err(if request.minor > 0 { Status::Delay } else { Status::Resource });
        }
        let number = self.next_number();
        let client = Client {
            owner: request.owner,
            verifier: request.verifier,
            principal: request.principal,
            address: request.address,
            minor: request.minor,
            confirmed: false,
            renewed: now,
            create_sequence: 1,
            created: None,
            confirm: [0; 8],
            confirm_pending: None,
            reclaimed: false,
            sessions: Vec::new(),
            states: BTreeMap::new(),
            owners: HashMap::new(),
        };
        self.clients.insert(number, client);
        self.earliest_expiry = self.earliest_expiry.min(now + self.lease);
        Ok(number)
    }

    /// Makes a client known, by the cases of RFC 8881 §18.35.4.
    pub(crate) fn exchange_id(
        &mut self,
        now: Duration,
        request: ExchangeRequest,
    ) -> Result<Exchanged, Status> {
        let confirmed = self.find_owner(&request, true);
        if request.update {
            let number = confirmed.ok_or(Status::NoEnt)?;
            let client = self.client(number)?;
            if client.verifier != request.verifier {
                return Err(Status::NotSame);
            }
            if client.principal != request.principal {
                return Err(Status::Perm);
            }
            return self.exchanged(number);
        }
        if let Some(number) = confirmed {
            let client = self.client(number)?;
            let same_principal = client.principal == request.principal;
            if same_principal && client.verifier == request.verifier {
                return self.exchanged(number);
            }
            if !same_principal {
                if !client.states.is_empty() {
                    return Err(Status::ClientInUse);
                }
                self.remove_client(number, false);
            }
        }
        if let Some(number) = self.find_owner(&request, false) {
            self.remove_client(number, false);
        }
        let number = self.insert_client(now, request)?;
        self.exchanged(number)
    }

    fn exchanged(&self, number: u32) -> Result<Exchanged, Status> {
        let client = self.client(number)?;
        Ok(Exchanged {
            client: self.client_id(number),
            sequence: client.create_sequence,
            confirmed: client.confirmed,
        })
    }

    /// Confirms a client; an earlier life of it ends, with all it held.
    pub(super) fn confirm_client(&mut self, number: u32) -> Result<(), Status> {
        let client = self.client_mut(number)?;
        client.confirmed = true;
        let (owner, with_sessions) = (client.owner.clone(), client.has_sessions());
        let before = self.clients.iter().find(|(other, client)| {
            **other != number
                && client.confirmed
                && client.has_sessions() == with_sessions
                && client.owner == owner
        });
        if let Some(before) = before.map(|(other, _)| *other) {
            self.remove_client(before, false);
        }
        Ok(())
    }

    /// SETCLIENTID (RFC 7530 §16.33.5): client ID, and the verifier to confirm it with. `confirm`
    /// must be new.
    pub(crate) fn set_client_id(
        &mut self,
        now: Duration,
        request: ExchangeRequest,
        confirm: [u8; 8],
    ) -> Result<ClientId, Status> {
        if let Some(number) = self.find_owner(&request, true) {
            let client = self.client_mut(number)?;
            if client.principal != request.principal && !client.states.is_empty() {
                return Err(Status::ClientInUse);
            }
            if client.principal == request.principal && client.verifier == request.verifier {
                client.confirm_pending = Some(confirm);
                return Ok(self.client_id(number));
            }
        }
        if let Some(number) = self.find_owner(&request, false) {
            self.remove_client(number, false);
        }
        let number = self.insert_client(now, request)?;
        self.client_mut(number)?.confirm = confirm;
        Ok(self.client_id(number))
    }

    /// SETCLIENTID_CONFIRM (RFC 7530 §16.34.5). Was it news?
    pub(crate) fn confirm_client_id(
        &mut self,
        now: Duration,
        id: ClientId,
        confirm: [u8; 8],
    ) -> Result<bool, Status> {
        let number = id.0 as u32;
        if self.client_id(number) != id {
            return Err(Status::StaleClient);
        }
        let client = self.client_mut(number)?;
        if client.has_sessions() {
            return Err(Status::StaleClient);
        }
        client.renewed = now;
        if client.confirm_pending == Some(confirm) {
            (client.confirm, client.confirm_pending) = (confirm, None);
            return Ok(false);
        }
        if client.confirm != confirm {
            return Err(Status::StaleClient);
        }
        let is_news = !client.confirmed;
        self.confirm_client(number)?;
        Ok(is_news)
    }

    /// RENEW (RFC 7530 §16.28), and what renews besides.
    pub(crate) fn renew(&mut self, now: Duration, id: ClientId) -> Result<(), Status> {
        let number = self.require_client(id)?;
        self.client_mut(number)?.renewed = now;
        Ok(())
    }

    /// DESTROY_CLIENTID (RFC 8881 §18.50).
    pub(crate) fn destroy_client(&mut self, id: ClientId) -> Result<(), Status> {
        let number = id.0 as u32;
        if self.client_id(number) != id {
            return Err(Status::StaleClient);
        }
        let client = self.client(number)?;
        if !client.has_sessions() {
            return Err(Status::StaleClient);
        }
        if !client.sessions.is_empty() || !client.states.is_empty() {
            return Err(Status::ClientBusy);
        }
        self.remove_client(number, false);
        Ok(())
    }

    /// Forgets every client whose lease is over, with all it held.
    pub(crate) fn expire(&mut self, now: Duration) {
        if now < self.earliest_expiry {
            return;
        }
        let lease = self.lease;
        let over: Vec<_> = self
            .clients
            .iter()
            .filter(|(_, client)| now >= client.renewed + lease)
            .map(|(number, _)| *number)
            .filter(|number| !self.is_running(*number))
            .collect();
        for number in over {
            self.remove_client(number, true);
        }
        let next = self.clients.values().map(|client| client.renewed + lease).min();
        self.earliest_expiry = next.unwrap_or(now + lease);
    }

    /// Ends every lease at once, whatever the clients do.
    pub(crate) fn expire_all(&mut self) {
        let all: Vec<_> = self.clients.keys().copied().collect();
        for number in all {
            self.remove_client(number, true);
        }
    }

    fn remove_client(&mut self, number: u32, expired: bool) {
        let Some(client) = self.clients.remove(&number) else { return };
        for session in &client.sessions {
            self.sessions.remove(session);
        }
        for held in client.states.values() {
            let (Held::Open(open::Open { file, .. }) | Held::Lock(lock::LockState { file, .. })) = held;
            if let Some(state) = self.files.get_mut(file) {
                state.opens.retain(|(owner, _)| *owner != number);
                state.locks.retain(|owner| owner.client != number);
            }
            self.tidy_file(*file);
        }
        if client.confirmed {
            self.departed.push(Departed { address: client.address, minor: client.minor, expired });
        }
    }
}
