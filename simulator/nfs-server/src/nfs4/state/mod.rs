//! What the server remembers of its v4 clients: client IDs, sessions, opens, locks.
//!
//! Pure: nothing here does IO or reads a clock. Time is passed in, as the time since the server was
//! made; the operations above hold [`State`] under one lock. Order of locks: a tree first, then this.

mod client;
mod grace;
mod lock;
mod locks;
mod open;
#[cfg(test)]
mod properties;
mod sequence;
mod session;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::nfs4::status::Status;

pub(crate) use client::{ExchangeRequest, Principal};
pub(crate) use lock::{Conflict, LockFailure, LockRequest, Locker};
pub(crate) use locks::{ByteRange, LockKind};
pub(crate) use open::{Claim, OpenRequest};
pub(crate) use sequence::{OwnerKey, Turn};
pub(crate) use session::{Begun, ChannelLimits, CreatedSession, SequenceRequest, SessionId};

use client::Client;
use grace::Grace;
use locks::FileLocks;
use session::Session;

/// Clients remembered, confirmed or not.
const MAX_CLIENTS: usize = 4096;
/// Opens and locks of one client.
const MAX_STATES: usize = 1 << 16;

/// A client ID (`clientid4`): the server instance in the upper half, the client in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ClientId(pub(crate) u64);

/// A file, wherever it is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FileKey {
    pub(crate) fsid: u64,
    pub(crate) inode: u64,
}

/// `stateid4` (RFC 8881 §3.3.12, §8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct StateId {
    pub(crate) seqid: u32,
    /// Server instance, client, number of the state: four bytes each.
    pub(crate) other: [u8; 12],
}

impl StateId {
    /// No open at all (RFC 8881 §8.2.3).
    pub(crate) const ANONYMOUS: Self = Self { seqid: 0, other: [0; 12] };
    /// As anonymous, and past share reservations.
    pub(crate) const BYPASS: Self = Self { seqid: u32::MAX, other: [0xff; 12] };
    /// The stateid of the operations before in the same COMPOUND.
    pub(crate) const CURRENT: Self = Self { seqid: 1, other: [0; 12] };
    /// What is answered where no state is left.
    pub(crate) const INVALID: Self = Self { seqid: u32::MAX, other: [0; 12] };

    fn parts(self) -> [u32; 3] {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = self.other;
        [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(u32::from_be_bytes)
    }
}

/// What a stateid stands for.
#[derive(Debug)]
enum Held {
    Open(open::Open),
    Lock(lock::LockState),
}

/// Who holds a byte range.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct LockOwner {
    client: u32,
    name: Bytes,
}

/// Opens and locks of one file.
#[derive(Debug, Default)]
struct FileState {
    /// Client and number of each open.
    opens: Vec<(u32, u32)>,
    locks: FileLocks<LockOwner>,
}

/// A client that is gone, by its own word or for its silence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Departed {
    pub(crate) address: IpAddr,
    pub(crate) minor: u32,
    /// Its lease ran out.
    pub(crate) expired: bool,
}

/// All v4 state of one server.
#[derive(Debug)]
pub(crate) struct State {
    /// This instance of the server; another after a restart.
    boot: u32,
    lease: Duration,
    grace_period: Duration,
    grace: Option<Grace>,
    clients: BTreeMap<u32, Client>,
    sessions: HashMap<SessionId, Session>,
    files: HashMap<FileKey, FileState>,
    /// Numbers of clients, states and sessions given so far.
    given: u32,
    /// No lease ends before.
    earliest_expiry: Duration,
    departed: Vec<Departed>,
}

impl State {
    /// Nothing known, no grace. `boot` must differ from that of every instance before.
    pub(crate) fn new(boot: u32, lease: Duration, grace_period: Duration) -> Self {
        Self {
            boot: instance(boot),
            lease,
            grace_period,
            grace: None,
            clients: BTreeMap::new(),
            sessions: HashMap::new(),
            files: HashMap::new(),
            given: 0,
            earliest_expiry: Duration::ZERO,
            departed: Vec::new(),
        }
    }

    /// How long a client may be silent.
    pub(crate) fn lease(&self) -> Duration {
        self.lease
    }

    /// Sets how long a client may be silent, and how long the grace after a restart lasts at most.
    pub(crate) fn set_periods(&mut self, lease: Duration, grace: Duration) {
        (self.lease, self.grace_period) = (lease, grace);
        self.earliest_expiry = Duration::ZERO;
    }

    /// Clients that went since the last call.
    pub(crate) fn take_departed(&mut self) -> Vec<Departed> {
        std::mem::take(&mut self.departed)
    }

    fn next_number(&mut self) -> u32 {
        self.given = self.given.wrapping_add(1).max(1);
        self.given
    }

    fn client_id(&self, client: u32) -> ClientId {
        ClientId(u64::from(self.boot) << 32 | u64::from(client))
    }

    fn state_id(&self, client: u32, number: u32, seqid: u32) -> StateId {
        let mut other = [0; 12];
        let parts = [self.boot, client, number].into_iter().flat_map(u32::to_be_bytes);
        other.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
        StateId { seqid, other }
    }

    /// The client and the number of a state that a stateid names and `client` (where a session says
    /// which it is) may use.
    fn find_state(&self, id: StateId, client: Option<ClientId>) -> Result<(u32, u32), Status> {
        let minor_zero = client.is_none();
        let [boot, owner, number] = id.parts();
        if boot != self.boot {
            return Err(if minor_zero && boot != 0 && boot != u32::MAX {
                Status::StaleStateId
            } else {
                Status::BadStateId
            });
        }
        if client.is_some_and(|client| client != self.client_id(owner)) {
            return Err(Status::BadStateId);
        }
        let Some(known) = self.clients.get(&owner) else {
            return Err(if minor_zero { Status::Expired } else { Status::BadStateId });
        };
        let seqid = match known.states.get(&number) {
            Some(Held::Open(open)) => open.seqid,
            Some(Held::Lock(lock)) => lock.seqid,
            None => return Err(Status::BadStateId),
        };
        if (id.seqid == 0 && !minor_zero) || id.seqid == seqid {
            Ok((owner, number))
        } else if is_before(id.seqid, seqid) {
            Err(Status::OldStateId)
        } else {
            Err(Status::BadStateId)
        }
    }

    fn client(&self, client: u32) -> Result<&Client, Status> {
        self.clients.get(&client).ok_or(Status::StaleClient)
    }

    fn client_mut(&mut self, client: u32) -> Result<&mut Client, Status> {
        self.clients.get_mut(&client).ok_or(Status::StaleClient)
    }

    /// The number of a confirmed client.
    fn require_client(&self, id: ClientId) -> Result<u32, Status> {
        // The lower half.
        let number = id.0 as u32;
        match self.clients.get(&number) {
            Some(client) if client.confirmed && self.client_id(number) == id => Ok(number),
            _ => Err(Status::StaleClient),
        }
    }

    /// Forgets a file of which nothing is held any more.
    fn tidy_file(&mut self, file: FileKey) {
        if self.files.get(&file).is_some_and(|state| state.opens.is_empty() && state.locks.is_empty()) {
            self.files.remove(&file);
        }
    }
}

/// An instance number that no special stateid looks like.
fn instance(boot: u32) -> u32 {
    (boot & 0x7fff_ffff) | 1
}

/// The next seqid; zero is left out (RFC 8881 §8.2.2, RFC 7530 §9.1.3).
fn next_seqid(seqid: u32) -> u32 {
    seqid.wrapping_add(1).max(1)
}

/// Does `a` come before `b`, in numbers that wrap around?
fn is_before(a: u32, b: u32) -> bool {
    a != b && b.wrapping_sub(a) < 1 << 31
}
