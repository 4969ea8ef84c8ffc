//! The targets of a server, and the sessions that use them.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use levers::{EventLog, Levers, Meter};
use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::chap::Credentials;
use crate::login::{Directory, Handle, Peer, TargetEntry};
use crate::portal::{PortGroup, Portal, Redirect};
use crate::scsi::shelf::Shelf;
use crate::server::SessionInfo;
use crate::session::orders::Order;
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
pub(crate) struct TargetCell {
    view: RwLock<TargetView>,
    /// That of the view, for the one look that each command takes.
    generation: AtomicU64,
}

impl TargetCell {
    fn new(target: Target) -> Self {
        let view = TargetView { target: Arc::new(target), generation: 0, resets: Arc::default() };
        Self { view: RwLock::new(view), generation: AtomicU64::new(0) }
    }

    pub(crate) fn view(&self) -> TargetView {
        self.view.read().clone()
    }

    /// Whether a view is the one in force.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn change(&self, change: impl FnOnce(&mut TargetView)) {
        let mut view = self.view.write();
        change(&mut view);
        view.generation += 1;
        self.generation.store(view.generation, Ordering::Release);
    }

    /// Whether the target lets this initiator (normal name) in no longer.
    pub(crate) fn denies(&self, initiator: &str) -> bool {
        matches!(self.view().target.auth_for(initiator), Auth::Deny)
    }

    fn replace(&self, target: Target) {
        self.change(|view| view.target = Arc::new(target));
    }

    /// Notes a reset of logical units: every nexus aborts their tasks and reports it.
    pub(crate) fn reset(&self, units: &[[u8; 16]]) {
        self.change(|view| {
            let resets = Arc::make_mut(&mut view.resets);
            for naa in units {
                *resets.entry(*naa).or_default() += 1;
            }
        });
    }
}

fn units_of(cell: &TargetCell) -> HashSet<[u8; 16]> {
    cell.view().target.luns.iter().map(|lun| lun.identity.naa).collect()
}

/// The SCSI port of a portal, which moves with it from node to node.
#[derive(Debug)]
pub(crate) struct PortCell(AtomicU32);

impl PortCell {
    fn new(port: PortGroup) -> Self {
        Self(AtomicU32::new(pack(port)))
    }

    pub(crate) fn get(&self) -> PortGroup {
        let [a, b, c, d] = self.0.load(Ordering::Acquire).to_be_bytes();
        PortGroup { id: u16::from_be_bytes([a, b]), relative_port: u16::from_be_bytes([c, d]) }
    }
}

fn pack(port: PortGroup) -> u32 {
    u32::from(port.id) << 16 | u32::from(port.relative_port)
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
    connection: Line,
    meter: Meter,
    /// Cancelled when it has ended.
    ended: CancellationToken,
}

/// How a session's connection is reached.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Its CID.
    pub(crate) id: u16,
    /// Cancelled to end it.
    pub(crate) stop: CancellationToken,
    pub(crate) orders: mpsc::Sender<Order>,
}

/// A portal that is served.
#[derive(Clone, Debug)]
struct PortalEntry {
    portal: Portal,
    port: Arc<PortCell>,
}

/// Targets, portals and sessions of one server.
#[derive(Debug)]
pub(crate) struct Registry {
    /// What the logical units remember.
    shelf: Arc<Shelf>,
    targets: RwLock<BTreeMap<String, Arc<TargetCell>>>,
    portals: RwLock<BTreeMap<SocketAddr, PortalEntry>>,
    /// Where a portal sends the initiators of a target, by target name and portal.
    redirects: RwLock<BTreeMap<(String, SocketAddr), Redirect>>,
    sessions: Mutex<BTreeMap<u64, SessionEntry>>,
    next_session: AtomicU64,
}

impl Registry {
    pub(crate) fn new(levers: Levers, events: EventLog) -> Self {
        Self {
            shelf: Arc::new(Shelf::new(levers, events)),
            targets: RwLock::default(),
            portals: RwLock::default(),
            redirects: RwLock::default(),
            sessions: Mutex::default(),
            next_session: AtomicU64::new(0),
        }
    }

    /// What the logical units remember.
    pub(crate) fn shelf(&self) -> Arc<Shelf> {
        Arc::clone(&self.shelf)
    }

    pub(crate) fn put_target(&self, target: Target) {
        let name = normal_name(&target.iqn);
        let mut before = HashSet::new();
        let cell = {
            let mut targets = self.targets.write();
            match targets.get(&name) {
                Some(cell) => {
                    before = units_of(cell);
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
        self.retire(before);
        // After it is in force: a login under way has entered by now, or will find itself denied.
        self.stop_sessions(|entry| entry.key.target == name && cell.denies(&entry.key.initiator));
    }

    pub(crate) fn remove_target(&self, iqn: &str) {
        let name = normal_name(iqn);
        let before = self.targets.write().remove(&name);
        self.retire(before.map(|cell| units_of(&cell)).unwrap_or_default());
        self.redirects.write().retain(|(target, _), _| *target != name);
        self.stop_sessions_of(&name);
    }

    /// Forgets what is remembered of those among these units that no target has any more.
    fn retire(&self, mut units: HashSet<[u8; 16]>) {
        for cell in self.targets.read().values() {
            if units.is_empty() {
                return;
            }
            let view = cell.view();
            view.target.luns.iter().for_each(|lun| {
                units.remove(&lun.identity.naa);
            });
        }
        self.shelf.retire(&units);
    }

    /// A target by its normal name, if the portal serves it: as one of its own, or as one to which
    /// another portal sends its initiators.
    pub(crate) fn find_cell(&self, name: &str, portal: SocketAddr) -> Option<Arc<TargetCell>> {
        let cell = self.targets.read().get(name).cloned()?;
        let served = cell.view().target.portals.contains(&portal)
            || self.redirects.read().iter().any(|((target, _), to)| target == name && to.address == portal);
        served.then_some(cell)
    }

    pub(crate) fn set_redirect(&self, iqn: &str, portal: SocketAddr, to: Option<Redirect>) {
        let key = (normal_name(iqn), portal);
        let mut redirects = self.redirects.write();
        match to {
            Some(to) => redirects.insert(key, to),
            None => redirects.remove(&key),
        };
    }

    /// Every target as it is now, by normal name.
    pub(crate) fn views(&self) -> Vec<TargetView> {
        self.targets.read().values().map(|cell| cell.view()).collect()
    }

    /// Adds a portal; its port, for the sessions that come through it.
    pub(crate) fn add_portal(&self, address: SocketAddr, portal: Portal) -> Arc<PortCell> {
        let port = Arc::new(PortCell::new(portal.group));
        self.portals.write().insert(address, PortalEntry { portal, port: Arc::clone(&port) });
        port
    }

    /// Gives a portal another port, and has every session look at the change. False: there is none at
    /// that address.
    pub(crate) fn move_portal(&self, address: SocketAddr, group: PortGroup) -> bool {
        {
            let mut portals = self.portals.write();
            let Some(entry) = portals.get_mut(&address) else { return false };
            entry.portal.group = group;
            entry.port.0.store(pack(group), Ordering::Release);
        }
        let cells: Vec<_> = self.targets.read().values().cloned().collect();
        for cell in cells.iter().filter(|cell| cell.view().target.portals.contains(&address)) {
            cell.change(|_| ());
        }
        true
    }

    pub(crate) fn remove_portal(&self, address: SocketAddr) {
        self.portals.write().remove(&address);
    }

    pub(crate) fn find_portal(&self, address: SocketAddr) -> Option<Portal> {
        self.portals.read().get(&address).map(|entry| entry.portal)
    }

    /// The target ports of a target.
    pub(crate) fn ports_of(&self, target: &Target) -> Vec<PortGroup> {
        let portals = self.portals.read();
        let entries = target.portals.iter().filter_map(|address| portals.get(address));
        entries.map(|entry| entry.portal.group).collect()
    }

    /// Ends the sessions with a target (a normal name).
    pub(crate) fn stop_sessions_of(&self, target: &str) {
        self.stop_sessions(|entry| entry.key.target == target);
    }

    fn stop_sessions(&self, condition: impl Fn(&SessionEntry) -> bool) {
        for entry in self.sessions.lock().values().filter(|entry| condition(entry)) {
            entry.connection.stop.cancel();
        }
    }

    pub(crate) fn session_count(&self) -> usize {
        self.sessions.lock().len()
    }

    /// The connection of the session with this handle.
    pub(crate) fn find_line(&self, tsih: u16) -> Option<Line> {
        let sessions = self.sessions.lock();
        sessions.values().find(|entry| entry.info.tsih == tsih).map(|entry| entry.connection.clone())
    }

    pub(crate) fn sessions(&self) -> Vec<SessionInfo> {
        let entries: Vec<_> = {
            let sessions = self.sessions.lock();
            let look = |entry: &SessionEntry| {
                let info = SessionInfo { traffic: entry.meter.traffic(), ..entry.info.clone() };
                (entry.key.clone(), info)
            };
            sessions.values().map(look).collect()
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
        connection: Line,
    ) -> (SessionGuard, Vec<CancellationToken>) {
        let ended = CancellationToken::new();
        let id = self.next_session.fetch_add(1, Ordering::Relaxed);
        let mut sessions = self.sessions.lock();
        let mut predecessors = Vec::new();
        for entry in sessions.values().filter(|entry| entry.key == key) {
            entry.connection.stop.cancel();
            predecessors.push(entry.ended.clone());
        }
        // 1..=65535, past those in use; there are never that many sessions.
        let mut tsih = (id % 0xffff) as u16 + 1;
        while sessions.values().any(|entry| entry.info.tsih == tsih) {
            tsih = tsih % 0xffff + 1;
        }
        info.tsih = tsih;
        let meter = Meter::default();
        let entry = SessionEntry { key, info, connection, meter: meter.clone(), ended: ended.clone() };
        sessions.insert(id, entry);
        (SessionGuard { registry: Arc::clone(self), id, tsih, meter, ended }, predecessors)
    }
}

/// Keeps a session in the registry.
#[derive(Debug)]
pub(crate) struct SessionGuard {
    registry: Arc<Registry>,
    id: u64,
    pub(crate) tsih: u16,
    /// Counts what the session does.
    pub(crate) meter: Meter,
    ended: CancellationToken,
}

impl SessionGuard {
    /// What the units of the server remember.
    pub(crate) fn shelf(&self) -> Arc<Shelf> {
        self.registry.shelf()
    }

    /// The session goes on with another connection.
    pub(crate) fn reconnect(&self, peer: SocketAddr, connection: Line) {
        if let Some(entry) = self.registry.sessions.lock().get_mut(&self.id) {
            entry.info.peer = peer;
            entry.connection = connection;
        }
    }
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
        let redirect = self.registry.redirects.read().get(&(iqn.to_owned(), self.address)).copied();
        Some(TargetEntry { tag: self.tag, alias: target.alias.clone(), auth, redirect })
    }

    fn all_credentials(&self, initiator: &str) -> Vec<Credentials> {
        let mut all: Vec<Credentials> = Vec::new();
        for view in self.registry.views() {
            let found = Credentials::of(view.target.auth_for(initiator));
            all.extend(found.filter(|credentials| !all.contains(credentials)));
        }
        all
    }

    fn find_session(&self, tsih: u16, peer: &Peer, connection: u16) -> Handle {
        let sessions = self.registry.sessions.lock();
        let found = sessions.values().find(|entry| {
            let key = &entry.key;
            entry.info.tsih == tsih
                && (&key.initiator, key.isid, key.tag) == (&peer.initiator, peer.isid, self.tag)
                && Some(&key.target) == peer.target.as_ref()
        });
        match found {
            Some(entry) if entry.connection.id == connection => Handle::SameConnection,
            Some(_) => Handle::OtherConnection,
            None => Handle::Unknown,
        }
    }
}
