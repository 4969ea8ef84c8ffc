//! Makes true on the wire what the state decided: applies [`DataPlaneChange`]s to the iSCSI target
//! and the NFS servers.
//!
//! What stands behind identifiers (content of LUNs, file trees) lives here; the state has only the
//! identifiers.

mod arrivals;
mod contents;
mod copies;
mod happenings;
mod lifs;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use blockstore::Volume as Content;
use iscsi_target::{
    Auth, AuthPolicy, BlockSize, Identity, IscsiServer, Lun as LogicalUnit, PortGroup, PortalError,
    SessionInfo, Target, Visibility,
};
use levers::{EventLog, Levers, Traffic};
use nfs_server::{
    Export, FileTree, Incoming, LifError, MountedClient, NfsServer, NfsVersions, Quota, RootAttributes,
};
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

pub use self::contents::{ContentError, Contents};
pub(crate) use self::copies::CopyError;
use self::copies::Wanted;
pub use self::happenings::{PowerCutError, PowerLost};
use self::wire::{wire_auth, wire_policy};
use crate::door::{Door, Doorkeeper};
use crate::state::iscsi::Session;
use crate::state::lun::Serial;
use crate::state::{Cluster, DataPlaneChange, Errand, Lif, LifId, LunId, NodeId, SvmId, Usage, VolumeId};

/// Where data LIFs listen.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// NFS and MOUNT.
    pub nfs: u16,
    /// Whether a port mapper answers on port 111 of each NFS LIF.
    pub portmap: bool,
    /// iSCSI.
    pub iscsi: u16,
}

/// A data LIF that could not be brought up.
#[derive(Debug, thiserror::Error)]
pub enum BringUpError {
    /// An NFS LIF.
    #[error("--nfs-lif {0}: cannot be served; give an address of this host whose port is free")]
    Nfs(SocketAddr, #[source] LifError),
    /// The port mapper of an NFS LIF.
    #[error(
        "--portmap on {0}: cannot be served; stop the other port mapper, run as root, or leave the flag out"
    )]
    Portmap(SocketAddr, #[source] LifError),
    /// The door of an SVM's management LIF.
    #[error("management LIF at {0}: cannot be served")]
    Door(IpAddr, #[source] DoorError),
    /// An iSCSI LIF.
    #[error("--iscsi-lif {0}: cannot be served; give an address of this host whose port is free")]
    Iscsi(SocketAddr, #[source] PortalError),
}

impl BringUpError {
    /// Where it could not be.
    pub(crate) fn address(&self) -> IpAddr {
        match self {
            Self::Nfs(at, _) | Self::Portmap(at, _) | Self::Iscsi(at, _) => at.ip(),
            Self::Door(address, _) => *address,
        }
    }

    /// Another socket has the port.
    pub(super) fn is_port_taken(&self) -> bool {
        let source = match self {
            Self::Nfs(_, LifError::Listen { source, .. }) => source,
            Self::Iscsi(_, PortalError::Listen { source, .. }) => source,
            _ => return false,
        };
        source.kind() == io::ErrorKind::AddrInUse
    }
}

/// Why a door stayed shut, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DoorError(String);

/// An iSCSI portal that is up.
#[derive(Debug, Clone)]
pub struct BoundPortal {
    /// The LIF.
    pub lif: LifId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its target portal group tag.
    pub tag: u16,
    /// Its target port.
    pub group: PortGroup,
    /// Name of the node it is on.
    pub node: String,
    /// Whose target it serves.
    pub svm: SvmId,
}

/// An NFS LIF that is up.
#[derive(Debug, Clone)]
pub struct BoundNfs {
    /// The LIF.
    pub lif: LifId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whose namespace it serves.
    pub svm: SvmId,
}

/// The data planes of one array.
#[derive(Debug)]
pub struct DataPlanes {
    iscsi: IscsiServer,
    events: EventLog,
    levers: Levers,
    ports: Ports,
    runtime: Handle,
    portals: RwLock<Vec<BoundPortal>>,
    nfs_lifs: RwLock<Vec<BoundNfs>>,
    unreachable: Mutex<BTreeSet<LifId>>,
    doorkeeper: OnceLock<Doorkeeper>,
    doors: Mutex<BTreeMap<LifId, Door>>,
    /// Who runs errands.
    courier: OnceLock<UnboundedSender<Errand>>,
    served: Arc<Mutex<Served>>,
}

/// Reads what the contents take, record for record: nobody needs all of it at once.
#[derive(Debug)]
struct Meter {
    served: Arc<Mutex<Served>>,
    iscsi: IscsiServer,
}

impl Usage for Meter {
    fn by_files(&self, volume: VolumeId) -> u64 {
        self.served.lock().trees.get(&volume).map_or(0, FileTree::used)
    }

    fn by_snapshots(&self, volume: VolumeId) -> u64 {
        self.served.lock().trees.get(&volume).map_or(0, FileTree::snapshot_used)
    }

    fn inodes(&self, volume: VolumeId) -> u64 {
        self.served.lock().trees.get(&volume).map_or(0, FileTree::inodes)
    }

    fn by_qtree(&self, volume: VolumeId, name: &str) -> (u64, u64) {
        let served = self.served.lock();
        served.trees.get(&volume).and_then(|tree| tree.qtree_used(name).ok()).unwrap_or((0, 0))
    }

    fn holds_file(&self, volume: VolumeId, path: &str) -> Option<bool> {
        self.served.lock().trees.get(&volume)?.holds_file(path)
    }

    fn file_size(&self, volume: VolumeId, path: &str) -> Option<u64> {
        self.served.lock().trees.get(&volume)?.file_size(path)
    }

    fn by_lun(&self, lun: LunId) -> u64 {
        self.served.lock().luns.get(&lun).map_or(0, |disk| disk.content.allocated())
    }

    fn sessions(&self) -> Vec<Session> {
        let told = |session: SessionInfo| Session {
            target: session.target,
            initiator: session.initiator,
            portal: session.portal,
            tag: session.tag,
            peer: session.peer,
            isid: session.isid,
            tsih: session.tsih,
        };
        self.iscsi.sessions().into_iter().map(told).collect()
    }
}

#[derive(Debug, Default)]
struct Served {
    contents: Contents,
    /// ALUA target port group of each node.
    groups: BTreeMap<NodeId, u16>,
    nfs: BTreeMap<SvmId, NfsServer>,
    trees: BTreeMap<VolumeId, FileTree>,
    targets: BTreeMap<SvmId, TargetState>,
    luns: BTreeMap<LunId, Disk>,
    /// What has come for volumes and waits for being taken in.
    staged: BTreeMap<Uuid, Incoming>,
    /// Whether LUNs keep in mind what is not flushed, for a power cut to come.
    armed: bool,
}

/// What a target is built from.
#[derive(Debug)]
struct TargetState {
    /// Name and alias, while the service serves.
    service: Option<(String, String)>,
    /// The name under which it is on the wire.
    shown: Option<String>,
    auth: Auth,
    /// How those log in who have a record of their own.
    initiators: BTreeMap<String, Auth>,
    /// What each initiator sees.
    views: BTreeMap<String, Vec<(u16, LunId)>>,
}

/// A LUN, as the target needs it.
#[derive(Debug, Clone)]
struct Disk {
    content: Content,
    serial: Serial,
    unmap: bool,
    optimised: u16,
    /// Whether it is a copy that SnapMirror alone writes.
    read_only: bool,
}

impl DataPlanes {
    /// Brings up every LIF of `cluster`. Nothing is served on them until changes are applied.
    ///
    /// # Errors
    /// [`BringUpError`] for the first LIF that cannot listen.
    pub async fn bring_up(
        cluster: &Cluster,
        ports: Ports,
        contents: Contents,
        events: &EventLog,
        levers: &Levers,
        must_rise: impl Fn(&Lif) -> bool,
    ) -> Result<Self, BringUpError> {
        let iscsi = IscsiServer::with_levers(events.clone(), levers.clone());
        let groups = cluster.nodes.keys().map(|node| (*node, group_of(cluster, *node))).collect();
        let mut served = Served { contents, groups, ..Served::default() };
        for svm in cluster.svms.values() {
            served.create_svm(svm.id, &svm.name, events, levers);
        }
        let planes = Self {
            iscsi,
            events: events.clone(),
            levers: levers.clone(),
            ports,
            runtime: Handle::current(),
            portals: RwLock::default(),
            nfs_lifs: RwLock::default(),
            unreachable: Mutex::default(),
            doorkeeper: OnceLock::new(),
            doors: Mutex::default(),
            courier: OnceLock::new(),
            served: Arc::new(Mutex::new(served)),
        };
        planes.raise_all(cluster, must_rise).await?;
        Ok(planes)
    }

    /// Stops every LIF.
    pub async fn take_down(&self) {
        let portals = self.portals().into_iter().map(|portal| portal.lif);
        let doors = std::mem::take(&mut *self.doors.lock());
        for door in doors.into_values() {
            door.closed().await;
        }
        for lif in portals.chain(self.nfs_lifs().into_iter().map(|lif| lif.lif)) {
            self.lower(lif).await;
        }
    }

    /// Makes the content that changes ask for ([`DataPlaneChange::makes_content`]): durable, with a
    /// data directory, and seen by nobody yet.
    ///
    /// # Errors
    /// [`ContentError`]; nothing was made then.
    pub fn make(&self, changes: &[DataPlaneChange]) -> Result<(), ContentError> {
        let mut served = self.served.lock();
        let mut done = 0;
        while let Some(rest) = changes.get(done..)
            && let Some(first) = rest.first()
        {
            let together = Wanted::first_of(rest);
            let made = match together.as_slice() {
                [] => served.make(first),
                snapshots => served.take_snapshots(snapshots).map_err(ContentError::from),
            };
            if let Err(error) = made {
                changes.iter().take(done).rev().for_each(|change| served.unmake(change));
                return Err(error);
            }
            done = done.saturating_add(together.len().max(1));
        }
        Ok(())
    }

    /// Takes back what [`Self::make`] made.
    pub fn unmake(&self, changes: &[DataPlaneChange]) {
        let mut served = self.served.lock();
        changes.iter().rev().for_each(|change| served.unmake(change));
    }

    /// Applies changes in order; when it returns they are true on the wire. What makes content is
    /// made already.
    pub fn apply(&self, changes: Vec<DataPlaneChange>) {
        let mut changed_targets = BTreeSet::new();
        for change in changes {
            match change {
                DataPlaneChange::RaiseLif(listening) => {
                    changed_targets.extend(listening.svm);
                    self.settle_lif(listening.lif, Some(&listening));
                }
                DataPlaneChange::LowerLif { lif } => {
                    let bound = self.portals.read();
                    let svm = bound.iter().find(|portal| portal.lif == lif).map(|portal| portal.svm);
                    drop(bound);
                    changed_targets.extend(svm);
                    self.settle_lif(lif, None);
                }
                DataPlaneChange::MoveLif { lif, place } => self.move_lif(lif, &place),
                DataPlaneChange::Errand(errand) => self.send(errand),
                DataPlaneChange::CreateSvm { svm, name } => {
                    self.served.lock().create_svm(svm, &name, &self.events, &self.levers);
                }
                DataPlaneChange::RemoveSvm { svm } => {
                    let mut served = self.served.lock();
                    served.nfs.remove(&svm);
                    let target = served.targets.remove(&svm);
                    if let Some(iqn) = target.and_then(|target| target.shown) {
                        self.iscsi.remove_target(&iqn);
                    }
                }
                other => changed_targets.extend(self.served.lock().apply(other)),
            }
        }
        self.put_targets(&mut self.served.lock(), changed_targets);
    }

    /// Whom to ask how much the content of volumes and LUNs takes.
    pub fn usage(&self) -> Arc<dyn Usage> {
        Arc::new(Meter { served: self.served.clone(), iscsi: self.iscsi.clone() })
    }

    /// The content of a LUN; what is written to it, initiators read.
    pub fn find_content(&self, lun: LunId) -> Option<Content> {
        self.served.lock().luns.get(&lun).map(|disk| disk.content.clone())
    }

    /// The files of a volume.
    pub(crate) fn tree_of(&self, volume: VolumeId) -> Option<FileTree> {
        self.served.lock().trees.get(&volume).cloned()
    }

    /// Gives errands to whoever listens; there is one for as long as the array lives.
    pub(crate) fn set_courier(&self, courier: UnboundedSender<Errand>) {
        let _one_is_enough = self.courier.set(courier);
    }

    /// Errands before anybody listens are told again by whoever begins to.
    fn send(&self, errand: Errand) {
        if let Some(courier) = self.courier.get() {
            // Nobody listens any more: the array shuts down.
            let _sent = courier.send(errand);
        }
    }

    /// The content of a LUN as it is now.
    pub fn content_of(&self, lun: LunId) -> Option<blockstore::Snapshot> {
        self.served.lock().luns.get(&lun).map(|disk| disk.content.snapshot())
    }

    /// iSCSI portals that are up.
    pub fn portals(&self) -> Vec<BoundPortal> {
        self.portals.read().clone()
    }

    /// NFS LIFs that are up.
    pub fn nfs_lifs(&self) -> Vec<BoundNfs> {
        self.nfs_lifs.read().clone()
    }

    /// iSCSI sessions.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.iscsi.sessions()
    }

    /// NFS clients that told that they mounted something.
    pub fn nfs_clients(&self) -> Vec<MountedClient> {
        let servers: Vec<_> = self.served.lock().nfs.values().cloned().collect();
        servers.iter().flat_map(NfsServer::clients).collect()
    }

    /// What an NFS client has called so far.
    pub fn nfs_traffic(&self, client: IpAddr) -> Traffic {
        let servers: Vec<_> = self.served.lock().nfs.values().cloned().collect();
        servers.iter().map(|server| server.traffic(client)).fold(Traffic::default(), |sum, more| Traffic {
            operations: sum.operations + more.operations,
            read: sum.read + more.read,
            written: sum.written + more.written,
        })
    }

    fn put_targets(&self, served: &mut Served, svms: BTreeSet<SvmId>) {
        let bound = self.portals();
        for svm in svms {
            let Some(state) = served.targets.get(&svm) else { continue };
            let target = state.service.as_ref().map(|(iqn, alias)| Target {
                iqn: iqn.clone(),
                alias: Some(alias.clone()),
                portals: bound
                    .iter()
                    .filter(|portal| portal.svm == svm)
                    .map(|portal| portal.address)
                    .collect(),
                auth: AuthPolicy { default: state.auth.clone(), initiators: state.initiators.clone() },
                luns: served.units_of(state),
            });
            let now = target.as_ref().map(|target| target.iqn.clone());
            let before = match served.targets.get_mut(&svm) {
                Some(state) => std::mem::replace(&mut state.shown, now.clone()),
                None => None,
            };
            if let Some(before) = before.filter(|before| Some(before) != now.as_ref()) {
                self.iscsi.remove_target(&before);
            }
            if let Some(target) = target {
                self.iscsi.put_target(target);
            }
        }
    }
}

impl Served {
    fn create_svm(&mut self, svm: SvmId, name: &str, events: &EventLog, levers: &Levers) {
        let server = || NfsServer::with_levers(events.clone(), levers.clone(), name);
        self.nfs.entry(svm).or_insert_with(server);
        self.targets.entry(svm).or_insert_with(|| TargetState {
            service: None,
            shown: None,
            auth: Auth::Open,
            initiators: BTreeMap::new(),
            views: BTreeMap::new(),
        });
    }

    fn make(&mut self, change: &DataPlaneChange) -> Result<(), ContentError> {
        match change {
            DataPlaneChange::CreateTree { volume, shape } => {
                let tree = self.contents.tree(*volume, *shape)?;
                self.trees.insert(*volume, tree);
            }
            DataPlaneChange::CloneTree { volume, parent, snapshot, shape } => {
                self.clone_tree(*volume, *parent, snapshot, *shape)?;
            }
            DataPlaneChange::ReceiveTree { volume, content, .. } => self.receive_tree(*volume, *content)?,
            DataPlaneChange::ReceiveLun { lun, content, snapshots, serial, unmap, optimised, .. } => {
                let content = self.receive_lun(*lun, *content, snapshots)?;
                self.put_disk(*lun, content, (*serial, *unmap, *optimised));
                self.protect(*lun, true);
            }
            DataPlaneChange::CopyFile { volume, source, destination, replace } => {
                self.copy_file(*volume, source, destination, *replace)?;
            }
            DataPlaneChange::CopyRanges { volume, source, destination, ranges } => {
                self.copy_ranges(*volume, source, destination, ranges)?;
            }
            DataPlaneChange::CreateLun { lun, serial, size, unmap, optimised, .. } => {
                let content = self.contents.lun(*lun, *size)?;
                self.put_disk(*lun, content, (*serial, *unmap, *optimised));
            }
            DataPlaneChange::CloneLun { lun, serial, size, unmap, optimised, source, snapshot, .. } => {
                let content = self.cloned_content(*lun, *source, *snapshot, *size)?;
                self.put_disk(*lun, content, (*serial, *unmap, *optimised));
            }
            _ => {}
        }
        Ok(())
    }

    fn unmake(&mut self, change: &DataPlaneChange) {
        match change {
            DataPlaneChange::CreateTree { volume, .. } | DataPlaneChange::CloneTree { volume, .. } => {
                self.remove_tree(*volume);
            }
            DataPlaneChange::CreateLun { lun, .. } | DataPlaneChange::CloneLun { lun, .. } => {
                self.remove_lun(*lun);
            }
            DataPlaneChange::CopyFile { volume, destination, .. } => {
                self.administer(*volume, |tree| tree.remove_file(destination));
            }
            DataPlaneChange::TakeSnapshot { volume, snapshot, name, luns } => {
                self.drop_snapshot(*volume, *snapshot, name, luns);
            }
            DataPlaneChange::ReceiveTree { volume, base: Some(base), .. } => self.restore_tree(*volume, base),
            DataPlaneChange::ReceiveLun { lun, content, snapshots, .. } => {
                match (self.return_lun(*lun, *content, snapshots), self.luns.get_mut(lun)) {
                    (Some(content), Some(disk)) => disk.content = content,
                    _ => drop(self.luns.remove(lun)),
                }
            }
            _ => {}
        }
    }

    fn remove_tree(&mut self, volume: VolumeId) {
        self.trees.remove(&volume);
        self.contents.remove_tree(volume);
    }

    fn remove_lun(&mut self, lun: LunId) {
        self.luns.remove(&lun);
        self.contents.remove_lun(lun);
    }

    /// Applies one change; returns the SVM whose target must be put again.
    fn apply(&mut self, change: DataPlaneChange) -> Option<SvmId> {
        match change {
            DataPlaneChange::CreateTree { .. }
            | DataPlaneChange::CloneTree { .. }
            | DataPlaneChange::TakeSnapshot { .. }
            | DataPlaneChange::ReceiveTree { .. }
            | DataPlaneChange::CopyFile { .. }
            | DataPlaneChange::CopyRanges { .. }
            | DataPlaneChange::CreateLun { .. } => None,
            // What was seen before its LUN was there is seen now.
            DataPlaneChange::CloneLun { svm, .. } => Some(svm),
            DataPlaneChange::ReshapeTree { volume, before, after } => {
                self.reshape_tree(volume, before, after);
                None
            }
            DataPlaneChange::ReceiveLun { svm, content, .. } => {
                self.settle_lun(content);
                Some(svm)
            }
            DataPlaneChange::ProtectLun { svm, lun, read_only } => {
                self.protect(lun, read_only);
                Some(svm)
            }
            DataPlaneChange::DropLunSnapshots { snapshot, luns } => {
                self.drop_lun_snapshots(snapshot, &luns);
                None
            }
            DataPlaneChange::RenameSnapshot { volume, from, to } => {
                self.rename_snapshot(volume, &from, &to);
                None
            }
            DataPlaneChange::DropSnapshot { volume, snapshot, name, luns } => {
                self.drop_snapshot(volume, snapshot, &name, &luns);
                None
            }
            DataPlaneChange::RestoreTree { volume, name } => {
                self.restore_tree(volume, &name);
                None
            }
            DataPlaneChange::CreateQtree { volume, id, name, mode, uid, gid } => {
                self.administer(volume, |tree| {
                    tree.create_qtree(id, &name, RootAttributes { mode, uid, gid })
                });
                None
            }
            DataPlaneChange::RenameQtree { volume, from, to } => {
                self.administer(volume, |tree| tree.rename_qtree(&from, &to));
                None
            }
            DataPlaneChange::SetQtreeRoot { volume, name, mode, uid, gid } => {
                self.administer(volume, |tree| tree.set_qtree_root(&name, RootAttributes { mode, uid, gid }));
                None
            }
            DataPlaneChange::RemoveQtree { volume, name } => {
                self.administer(volume, |tree| tree.remove_qtree(&name));
                None
            }
            DataPlaneChange::SetQuota { volume, qtree, bytes, files } => {
                self.administer(volume, |tree| tree.set_quota(&qtree, Quota { bytes, files }));
                None
            }
            DataPlaneChange::NfsVersions { svm, v3, v4_0, v4_1 } => {
                if let Some(server) = self.nfs.get(&svm) {
                    server.set_versions(NfsVersions { v3, v4_0, v4_1, v4_2: v4_1 });
                }
                None
            }
            DataPlaneChange::RestoreLun { svm, lun, snapshot, serial, unmap, optimised } => {
                let content = self.restored_content(lun, snapshot)?;
                self.put_disk(lun, content, (serial, unmap, optimised));
                Some(svm)
            }
            DataPlaneChange::Reoptimise { svm, lun, optimised } => {
                self.luns.get_mut(&lun)?.optimised = self.groups.get(&optimised).copied().unwrap_or(1);
                Some(svm)
            }
            DataPlaneChange::RemoveTree { volume } => {
                self.remove_tree(volume);
                None
            }
            DataPlaneChange::Export { svm, path, volume, policy } => {
                if let (Some(server), Some(tree)) = (self.nfs.get(&svm), self.trees.get(&volume)) {
                    let policy = Arc::new(wire_policy(&policy));
                    server.put_export(Export { path, tree: tree.clone(), policy });
                }
                None
            }
            DataPlaneChange::Unexport { svm, path } => {
                if let Some(server) = self.nfs.get(&svm) {
                    server.remove_export(&path);
                }
                None
            }
            DataPlaneChange::ResizeLun { svm, lun, size } => {
                if let Some(disk) = self.luns.get(&lun) {
                    disk.content.resize(size);
                }
                Some(svm)
            }
            DataPlaneChange::RemoveLun { svm, lun } => {
                self.remove_lun(lun);
                Some(svm)
            }
            DataPlaneChange::Mask { svm, initiator, luns } => {
                let target = self.targets.get_mut(&svm)?;
                if luns.is_empty() {
                    target.views.remove(&initiator);
                } else {
                    target.views.insert(initiator, luns);
                }
                Some(svm)
            }
            DataPlaneChange::Authenticate { svm, initiator, authentication } => {
                let target = self.targets.get_mut(&svm)?;
                match (initiator, authentication.map(wire_auth)) {
                    (None, auth) => target.auth = auth.unwrap_or(Auth::Open),
                    (Some(initiator), Some(auth)) => drop(target.initiators.insert(initiator, auth)),
                    (Some(initiator), None) => drop(target.initiators.remove(&initiator)),
                }
                Some(svm)
            }
            DataPlaneChange::PutTarget { svm, iqn, alias, enabled } => {
                self.targets.get_mut(&svm)?.service = enabled.then_some((iqn, alias));
                Some(svm)
            }
            DataPlaneChange::RemoveTarget { svm } => {
                let target = self.targets.get_mut(&svm)?;
                target.service = None;
                target.auth = Auth::Open;
                target.initiators.clear();
                Some(svm)
            }
            // These concern more than what is served here; [`DataPlanes::apply`] carries them out.
            DataPlaneChange::CreateSvm { .. }
            | DataPlaneChange::RemoveSvm { .. }
            | DataPlaneChange::RaiseLif(_)
            | DataPlaneChange::LowerLif { .. }
            | DataPlaneChange::MoveLif { .. }
            | DataPlaneChange::Errand(_) => None,
        }
    }

    /// Puts a LUN behind the targets; what it calls itself, whether it can unmap, and its node.
    fn put_disk(&mut self, lun: LunId, content: Content, (serial, unmap, optimised): (Serial, bool, NodeId)) {
        if self.armed {
            content.arm_power_cut();
        }
        let optimised = self.groups.get(&optimised).copied().unwrap_or(1);
        let read_only = self.luns.get(&lun).is_some_and(|disk| disk.read_only);
        self.luns.insert(lun, Disk { content, serial, unmap, optimised, read_only });
    }

    fn protect(&mut self, lun: LunId, read_only: bool) {
        if let Some(disk) = self.luns.get_mut(&lun) {
            disk.read_only = read_only;
        }
    }

    /// The logical units of a target: one entry for each number a LUN has, with those who see it so.
    fn units_of(&self, target: &TargetState) -> Vec<LogicalUnit> {
        let mut seen: BTreeMap<(u16, LunId), BTreeSet<String>> = BTreeMap::new();
        for (initiator, view) in &target.views {
            for place in view {
                seen.entry(*place).or_default().insert(initiator.clone());
            }
        }
        let unit = |((number, lun), initiators): ((u16, LunId), BTreeSet<String>)| {
            let disk = self.luns.get(&lun)?;
            let serial = disk.serial.to_string();
            Some(LogicalUnit {
                number,
                volume: disk.content.clone(),
                identity: Identity {
                    vendor: "NETAPP".into(),
                    product: "LUN C-Mode".into(),
                    revision: "9151".into(),
                    t10: format!("LUN {serial}"),
                    serial,
                    naa: disk.serial.naa(),
                    eui: None,
                },
                block_size: BlockSize::Emulated512,
                access: Visibility::Initiators(initiators),
                thin: disk.unmap,
                read_only: disk.read_only,
                optimized_groups: BTreeSet::from([disk.optimised]),
                governor: None,
            })
        };
        seen.into_iter().filter_map(unit).collect()
    }
}

/// The ALUA target port group of a node: its place in the cluster, from 1.
fn group_of(cluster: &Cluster, node: NodeId) -> u16 {
    let place = cluster.nodes.keys().position(|candidate| *candidate == node).unwrap_or(0);
    u16::try_from(place.saturating_add(1)).unwrap_or(u16::MAX)
}
