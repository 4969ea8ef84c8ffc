//! The targets of a server, and the sessions that use them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;

use crate::chap::Credentials;
use crate::login::{Directory, TargetEntry};
use crate::portal::{PortGroup, Portal};
use crate::server::SessionInfo;
use crate::target::{Auth, Target, normal_name};

/// A target at one moment. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct TargetView {
    pub(crate) target: Arc<Target>,
    /// Goes up with every change.
    pub(crate) generation: u64,
    /// Resets of logical units so far, by NAA.
    pub(crate) resets: Arc<BTreeMap<[u8; 16], u64>>,
}

/// A target that sessions hold on to while it changes.
#[derive(Debug)]
pub(crate) struct TargetCell(RwLock<TargetView>);

impl TargetCell {
    fn new(target: Target) -> Self {
        Self(RwLock::new(TargetView { target: Arc::new(target), generation: 0, resets: Arc::default() }))
    }

    pub(crate) fn view(&self) -> TargetView {
        self.0.read().clone()
    }

    /// Whether the target lets this initiator (normal name) in no longer.
    pub(crate) fn denies(&self, initiator: &str) -> bool {
        matches!(self.view().target.auth_for(initiator), Auth::Deny)
    }

    fn replace(&self, target: Target) {
        let mut view = self.0.write();
        view.target = Arc::new(target);
        view.generation += 1;
    }

    /// Notes a reset of logical units: every nexus aborts their tasks and reports it.
    pub(crate) fn reset(&self, units: &[[u8; 16]]) {
        let mut view = self.0.write();
        let resets = Arc::make_mut(&mut view.resets);
        for naa in units {
            *resets.entry(*naa).or_default() += 1;
        }
        view.generation += 1;
    }
}

/// What identifies a session to its initiator (RFC 7143 §4.4.3.1): a login with the same key
/// reinstates it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionKey {
    pub(crate) target: String,
    pub(crate) initiator: String,
    pub(crate) isid: [u8; 6],
    pub(crate) tag: u16,
}

#[derive(Debug)]
struct SessionEntry {
    key: SessionKey,
    info: SessionInfo,
    /// Cancelled to end the session.
    stop: CancellationToken,
    /// Cancelled when it has ended.
    ended: CancellationToken,
}

/// Targets, portals and sessions of one server.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    targets: RwLock<BTreeMap<String, Arc<TargetCell>>>,
    portals: RwLock<BTreeMap<SocketAddr, Portal>>,
    sessions: Mutex<BTreeMap<u64, SessionEntry>>,
    next_session: AtomicU64,
}

impl Registry {
    pub(crate) fn put_target(&self, target: Target) {
        let name = normal_name(&target.iqn);
        let cell = {
            let mut targets = self.targets.write();
            match targets.get(&name) {
                Some(cell) => {
                    cell.replace(target);
                    Arc::clone(cell)
                }
                None => {
                    let cell = Arc::new(TargetCell::new(target));
                    targets.insert(name.clone(), Arc::clone(&cell));
                    cell
                }
            }
        };
        // After it is in force: a login under way has entered by now, or will find itself denied.
        self.stop_sessions(|entry| entry.key.target == name && cell.denies(&entry.key.initiator));
    }

    pub(crate) fn remove_target(&self, iqn: &str) {
        let name = normal_name(iqn);
        self.targets.write().remove(&name);
        self.stop_sessions(|entry| entry.key.target == name);
    }

    /// A target by its normal name, if the portal serves it.
    pub(crate) fn find_cell(&self, name: &str, portal: SocketAddr) -> Option<Arc<TargetCell>> {
        let cell = self.targets.read().get(name).cloned()?;
        let served = cell.view().target.portals.contains(&portal);
        served.then_some(cell)
    }

    /// Every target as it is now, by normal name.
    pub(crate) fn views(&self) -> Vec<TargetView> {
        self.targets.read().values().map(|cell| cell.view()).collect()
    }

    pub(crate) fn add_portal(&self, address: SocketAddr, portal: Portal) {
        self.portals.write().insert(address, portal);
    }

    pub(crate) fn remove_portal(&self, address: SocketAddr) {
        self.portals.write().remove(&address);
    }

    pub(crate) fn find_portal(&self, address: SocketAddr) -> Option<Portal> {
        self.portals.read().get(&address).copied()
    }

    /// The target ports of a target.
    pub(crate) fn ports_of(&self, target: &Target) -> Vec<PortGroup> {
        let portals = self.portals.read();
        target.portals.iter().filter_map(|address| portals.get(address)).map(|portal| portal.group).collect()
    }

    fn stop_sessions(&self, condition: impl Fn(&SessionEntry) -> bool) {
        for entry in self.sessions.lock().values().filter(|entry| condition(entry)) {
            entry.stop.cancel();
        }
    }

    pub(crate) fn sessions(&self) -> Vec<SessionInfo> {
        let entries: Vec<_> = {
            let sessions = self.sessions.lock();
            sessions.values().map(|entry| (entry.key.clone(), entry.info.clone())).collect()
        };
        let luns = |key: &SessionKey| {
            let cell = self.targets.read().get(&key.target).cloned();
            cell.map(|cell| cell.view().target.lun_numbers(&key.initiator)).unwrap_or_default()
        };
        entries
            .into_iter()
            .map(|(key, info)| SessionInfo { luns: luns(&key).into_iter().collect(), ..info })
            .collect()
    }

    /// Enters a session and gives it its TSIH. It is removed when the guard is dropped. Sessions
    /// with the same key are told to stop: the tokens are cancelled when they have.
    pub(crate) fn enter(
        self: &Arc<Self>,
        key: SessionKey,
        mut info: SessionInfo,
        stop: CancellationToken,
    ) -> (SessionGuard, Vec<CancellationToken>) {
        let ended = CancellationToken::new();
        let id = self.next_session.fetch_add(1, Ordering::Relaxed);
        let mut sessions = self.sessions.lock();
        let mut predecessors = Vec::new();
        for entry in sessions.values().filter(|entry| entry.key == key) {
            entry.stop.cancel();
            predecessors.push(entry.ended.clone());
        }
        // 1..=65535, past those in use; there are never that many sessions.
        let mut tsih = (id % 0xffff) as u16 + 1;
        while sessions.values().any(|entry| entry.info.tsih == tsih) {
            tsih = tsih % 0xffff + 1;
        }
        info.tsih = tsih;
        sessions.insert(id, SessionEntry { key, info, stop, ended: ended.clone() });
        (SessionGuard { registry: Arc::clone(self), id, tsih, ended }, predecessors)
    }
}

/// Keeps a session in the registry.
#[derive(Debug)]
pub(crate) struct SessionGuard {
    registry: Arc<Registry>,
    id: u64,
    pub(crate) tsih: u16,
    ended: CancellationToken,
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.registry.sessions.lock().remove(&self.id);
        self.ended.cancel();
    }
}

/// The registry as one portal shows it to a login.
#[derive(Debug)]
pub(crate) struct AtPortal<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) address: SocketAddr,
    pub(crate) tag: u16,
}

impl Directory for AtPortal<'_> {
    fn find_target(&self, iqn: &str, initiator: &str) -> Option<TargetEntry> {
        let target = self.registry.find_cell(iqn, self.address)?.view().target;
        let auth = target.auth_for(initiator).clone();
        Some(TargetEntry { tag: self.tag, alias: target.alias.clone(), auth })
    }

    fn all_credentials(&self, initiator: &str) -> Vec<Credentials> {
        let mut all: Vec<Credentials> = Vec::new();
        for view in self.registry.views() {
            let found = Credentials::of(view.target.auth_for(initiator));
            all.extend(found.filter(|credentials| !all.contains(credentials)));
        }
        all
    }

    fn has_session(&self, tsih: u16) -> bool {
        self.registry.sessions.lock().values().any(|entry| entry.info.tsih == tsih)
    }
}
