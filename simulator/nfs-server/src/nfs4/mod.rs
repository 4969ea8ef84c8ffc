//! NFS v4.0, v4.1 and v4.2 (RFC 7530, RFC 8881, RFC 7862) over trees, under export policies.
//!
//! ```text
//! COMPOUND → operation (arguments) → compound (session, slot, current handle)
//!               ├─ namespace, names, listing, attributes, data → export policy → tree
//!               └─ open, lock, clients → state (leases, opens, locks; pure)
//! ```
//!
//! No delegations, no pNFS, no callbacks, no ACLs. Handles are those of v3, and as persistent.

mod attributes;
mod clients;
mod compound;
mod data;
mod listing;
mod lock;
mod names;
mod namespace;
mod open;
mod operation;
mod state;
mod status;
mod turns;

use std::collections::HashSet;
use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use levers::EventLog;
use parking_lot::{Mutex, MutexGuard};
use serde_json::json;

use crate::export::{Exports, MountedClient};
use crate::rpc::{Caller, Credential, Refusal, Service};
use crate::xdr::{Decoder, Encoder};

use state::State;

/// The program number of NFS.
pub(crate) const PROGRAM: u32 = 100_003;
/// This version of it.
pub(crate) const VERSION: u32 = 4;
const NULL: u32 = 0;
const COMPOUND: u32 = 1;

/// How long a client may be silent: ONTAP's default (`vserver nfs modify -v4-lease-seconds`).
pub(crate) const LEASE: Duration = Duration::from_secs(30);
/// How long clients may reclaim after a restart: ONTAP's default (`-v4-grace-seconds`).
pub(crate) const GRACE: Duration = Duration::from_secs(45);
/// Minor versions 0, 1 and 2.
const ALL_MINORS: u8 = 0b111;

/// NFS v4 over the exports of one SVM.
#[derive(Debug)]
pub(crate) struct Nfs4 {
    exports: Arc<Exports>,
    events: EventLog,
    state: Mutex<State>,
    started: Instant,
    /// Changes when unstable writes may have been lost (RFC 8881 §18.32.3).
    write_verifier: AtomicU64,
    /// `so_major_id`: tells this server's LIFs from those of others.
    identity: [u8; 16],
    /// Bit `n`: minor version `n` is spoken.
    minors: AtomicU8,
    /// Exports that a client was seen to enter.
    entered: Mutex<HashSet<(IpAddr, String)>>,
    hasher: RandomState,
}

impl Nfs4 {
    pub(crate) fn new(exports: Arc<Exports>, events: EventLog) -> Self {
        Self {
            exports,
            events,
            state: Mutex::new(State::new(rand::random(), LEASE, GRACE)),
            started: Instant::now(),
            write_verifier: AtomicU64::new(rand::random()),
            identity: rand::random(),
            minors: AtomicU8::new(ALL_MINORS),
            entered: Mutex::default(),
            hasher: RandomState::new(),
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn write_verifier(&self) -> [u8; 8] {
        self.write_verifier.load(Ordering::Relaxed).to_be_bytes()
    }

    /// The state, with silent clients gone.
    fn state(&self, now: Duration) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        state.expire(now);
        let departed = state.take_departed();
        if !departed.is_empty() {
            self.note_departed(&departed);
        }
        state
    }

    fn note_departed(&self, departed: &[state::Departed]) {
        for gone in departed {
            self.entered.lock().retain(|(address, _)| *address != gone.address);
            self.exports.drop_mounts(gone.address, None);
            let kind = if gone.expired { "nfs.lease_expired" } else { "nfs.unmount" };
            let detail = json!({ "client": gone.address, "path": null, "minor": gone.minor });
            self.events.record(kind, detail);
        }
    }

    /// A client enters an export: what v3 would have told by MOUNT.
    fn note_entered(&self, caller: &Caller, path: &str, minor: u32) {
        let entry = (caller.address, path.to_owned());
        if self.entered.lock().insert(entry) {
            let machine = machine_of(caller);
            let detail = json!({ "client": caller.address, "path": path, "status": 0, "minor": minor });
            self.events.record("nfs.mount", detail);
            let path = path.to_owned();
            self.exports.add_mount(MountedClient { client: caller.address, machine, path });
        }
    }

    /// Sets which minor versions are spoken; with none, version 4 is not there at all.
    pub(crate) fn set_minors(&self, minors: [bool; 3]) {
        let bits = minors.into_iter().rev().fold(0, |bits, on| bits << 1 | u8::from(on));
        self.minors.store(bits, Ordering::Relaxed);
    }

    fn speaks(&self, minor: u32) -> bool {
        minor < 3 && self.minors.load(Ordering::Relaxed) & (1 << minor) != 0
    }

    /// Forgets all client state, as a server that starts again; clients reclaim.
    pub(crate) fn restart(&self) {
        let mut state = self.state.lock();
        state.restart(self.now(), rand::random());
        self.write_verifier.store(rand::random(), Ordering::Relaxed);
    }

    /// A grace of so long, in which nothing new is opened or locked.
    pub(crate) fn enter_grace(&self, period: Duration) {
        self.state.lock().enter_grace(self.now(), period);
    }

    /// Ends the lease of every client now.
    pub(crate) fn expire_leases(&self) {
        self.state.lock().expire_all();
        drop(self.state(self.now()));
    }

    /// Sets lease and grace.
    pub(crate) fn set_periods(&self, lease: Duration, grace: Duration) {
        self.state.lock().set_periods(lease, grace);
    }
}

fn machine_of(caller: &Caller) -> String {
    match &caller.credential {
        Credential::Sys(sys) => sys.machine.clone(),
        Credential::Anonymous => String::new(),
    }
}

impl Service for Nfs4 {
    fn program(&self) -> u32 {
        PROGRAM
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn is_enabled(&self) -> bool {
        self.minors.load(Ordering::Relaxed) != 0
    }

    /// Sessions keep their own replies; v4.0 has the RPC layer's.
    fn may_repeat(&self, procedure: u32, arguments: &Decoder) -> bool {
        procedure != COMPOUND || compound::may_repeat(arguments)
    }

    fn moves_data(&self, procedure: u32, arguments: &Decoder) -> bool {
        procedure == COMPOUND && compound::moves_data(arguments)
    }

    fn serve(
        &self,
        procedure: u32,
        caller: &Caller,
        from: &mut Decoder,
        to: &mut Encoder,
    ) -> Result<(), Refusal> {
        match procedure {
            NULL => Ok(()),
            COMPOUND => self.compound(caller, from, to),
            _ => Err(Refusal::ProcedureUnavailable),
        }
    }
}
