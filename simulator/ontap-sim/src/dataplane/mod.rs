//! Makes true on the wire what the state decided: applies [`DataPlaneChange`]s to the iSCSI target
//! and the NFS servers.
//!
//! What stands behind identifiers (content of LUNs, file trees) lives here; the state has only the
//! identifiers.

mod contents;
mod happenings;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use blockstore::Volume as Content;
use iscsi_target::{
    Auth, AuthPolicy, BlockSize, Identity, IscsiServer, Lun as LogicalUnit, PortGroup, Portal, PortalError,
    SessionInfo, Target, Visibility,
};
use levers::{EventLog, Levers, Traffic};
use nfs_server::{Export, FileTree, LifError, MountedClient, NfsServer, RootAttributes};
use parking_lot::{Mutex, RwLock};
use tracing::warn;

pub use self::contents::{ContentError, Contents};
pub use self::happenings::{PowerCutError, PowerLost};
use self::wire::{wire_auth, wire_policy};
use crate::state::lun::Serial;
use crate::state::{Cluster, DataPlaneChange, LifService, LunId, NodeId, SvmId, Usage, VolumeId};

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
    /// An iSCSI LIF.
    #[error("--iscsi-lif {0}: cannot be served; give an address of this host whose port is free")]
    Iscsi(SocketAddr, #[source] PortalError),
}

/// An iSCSI portal that is up.
#[derive(Debug, Clone)]
pub struct BoundPortal {
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
    portals: RwLock<Vec<BoundPortal>>,
    nfs_lifs: Vec<BoundNfs>,
    served: Arc<Mutex<Served>>,
}

/// Reads what the contents take, record for record: nobody needs all of it at once.
#[derive(Debug)]
struct Meter(Arc<Mutex<Served>>);

impl Usage for Meter {
    fn by_files(&self, volume: VolumeId) -> u64 {
        self.0.lock().trees.get(&volume).map_or(0, FileTree::used)
    }

    fn by_lun(&self, lun: LunId) -> u64 {
        self.0.lock().luns.get(&lun).map_or(0, |disk| disk.content.allocated())
    }
}

#[derive(Debug, Default)]
struct Served {
    contents: Contents,
    nfs: BTreeMap<SvmId, NfsServer>,
    trees: BTreeMap<VolumeId, FileTree>,
    targets: BTreeMap<SvmId, TargetState>,
    luns: BTreeMap<LunId, Disk>,
    /// Whether LUNs keep in mind what is not flushed, for a power cut to come.
    armed: bool,
}

/// What a target is built from.
#[derive(Debug)]
struct TargetState {
    iqn: String,
    alias: String,
    auth: Auth,
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
    ) -> Result<Self, BringUpError> {
        let iscsi = IscsiServer::with_levers(events.clone(), levers.clone());
        let mut served = Served { contents, ..Served::default() };
        for svm in cluster.svms.values() {
            let server = NfsServer::with_levers(events.clone(), levers.clone(), &svm.name);
            served.nfs.insert(svm.id, server);
            let target = TargetState {
                iqn: svm.iscsi.target.clone(),
                alias: svm.iscsi.alias.clone(),
                auth: Auth::Open,
                views: BTreeMap::new(),
            };
            served.targets.insert(svm.id, target);
        }
        let (mut portals, mut nfs_lifs) = (Vec::<BoundPortal>::new(), Vec::<BoundNfs>::new());
        for lif in cluster.lifs.values() {
            match lif.service {
                LifService::Management => {}
                LifService::Nfs => {
                    let Some(server) = served.nfs.get(&lif.svm) else { continue };
                    // A free port, once chosen, serves every LIF: clients know one port for all.
                    let port = nfs_lifs.first().map_or(ports.nfs, |first| first.address.port());
                    let asked = SocketAddr::new(lif.address, port);
                    let address =
                        server.bind_lif(asked).await.map_err(|error| BringUpError::Nfs(asked, error))?;
                    if ports.portmap {
                        let portmap = SocketAddr::new(lif.address, 111);
                        server
                            .bind_portmap(portmap, address.port())
                            .await
                            .map_err(|error| BringUpError::Portmap(portmap, error))?;
                    }
                    nfs_lifs.push(BoundNfs { address, svm: lif.svm });
                }
                LifService::Iscsi { tag } => {
                    let port = portals.first().map_or(ports.iscsi, |first| first.address.port());
                    let listen = SocketAddr::new(lif.address, port);
                    let relative_port = u16::try_from(portals.len().saturating_add(1)).unwrap_or(u16::MAX);
                    let group = PortGroup { id: group_of(cluster, lif.node), relative_port };
                    let address = iscsi
                        .bind_portal(Portal { listen, tag, group })
                        .await
                        .map_err(|error| BringUpError::Iscsi(listen, error))?;
                    let node = cluster.find_node(lif.node).map(|node| node.name.clone()).unwrap_or_default();
                    portals.push(BoundPortal { address, tag, group, node, svm: lif.svm });
                }
            }
        }
        let (events, levers) = (events.clone(), levers.clone());
        let (portals, served) = (RwLock::new(portals), Arc::new(Mutex::new(served)));
        let planes = Self { iscsi, events, levers, portals, nfs_lifs, served };
        planes.put_targets(&planes.served.lock(), cluster.svms.keys().copied().collect());
        Ok(planes)
    }

    /// Stops every LIF.
    pub async fn take_down(&self) {
        for portal in self.portals() {
            self.iscsi.unbind_portal(portal.address).await;
        }
        for lif in &self.nfs_lifs {
            let server = self.served.lock().nfs.get(&lif.svm).cloned();
            if let Some(server) = server {
                server.unbind(lif.address).await;
                server.unbind(SocketAddr::new(lif.address.ip(), 111)).await;
            }
        }
    }

    /// Makes the content that changes ask for ([`DataPlaneChange::makes_content`]): durable, with a
    /// data directory, and seen by nobody yet.
    ///
    /// # Errors
    /// [`ContentError`]; nothing was made then.
    pub fn make(&self, cluster: &Cluster, changes: &[DataPlaneChange]) -> Result<(), ContentError> {
        let mut served = self.served.lock();
        for (done, change) in changes.iter().enumerate() {
            if let Err(error) = served.make(cluster, change) {
                changes.iter().take(done).rev().for_each(|change| served.unmake(change));
                return Err(error);
            }
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
        if changes.is_empty() {
            return;
        }
        let mut served = self.served.lock();
        let mut changed_targets = BTreeSet::new();
        for change in changes {
            changed_targets.extend(served.apply(change));
        }
        self.put_targets(&served, changed_targets);
    }

    /// Whom to ask how much the content of volumes and LUNs takes.
    pub fn usage(&self) -> Arc<dyn Usage> {
        Arc::new(Meter(self.served.clone()))
    }

    /// The content of a LUN; what is written to it, initiators read.
    pub fn find_content(&self, lun: LunId) -> Option<Content> {
        self.served.lock().luns.get(&lun).map(|disk| disk.content.clone())
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
    pub fn nfs_lifs(&self) -> &[BoundNfs] {
        &self.nfs_lifs
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

    fn put_targets(&self, served: &Served, svms: BTreeSet<SvmId>) {
        let bound = self.portals();
        for svm in svms {
            let Some(state) = served.targets.get(&svm) else { continue };
            self.iscsi.put_target(Target {
                iqn: state.iqn.clone(),
                alias: Some(state.alias.clone()),
                portals: bound
                    .iter()
                    .filter(|portal| portal.svm == svm)
                    .map(|portal| portal.address)
                    .collect(),
                auth: AuthPolicy { default: state.auth.clone(), initiators: BTreeMap::new() },
                luns: served.units_of(state),
            });
        }
    }
}

impl Served {
    fn make(&mut self, cluster: &Cluster, change: &DataPlaneChange) -> Result<(), ContentError> {
        match change {
            DataPlaneChange::CreateTree { volume, capacity, uid, gid, mode } => {
                let root = RootAttributes { mode: *mode, uid: *uid, gid: *gid };
                let tree = self.contents.tree(*volume, *capacity, root)?;
                self.trees.insert(*volume, tree);
            }
            DataPlaneChange::CreateLun { lun, serial, size, unmap, optimised, .. } => {
                let content = self.contents.lun(*lun, *size)?;
                if self.armed {
                    content.arm_power_cut();
                }
                let optimised = group_of(cluster, *optimised);
                self.luns.insert(*lun, Disk { content, serial: *serial, unmap: *unmap, optimised });
            }
            _ => {}
        }
        Ok(())
    }

    fn unmake(&mut self, change: &DataPlaneChange) {
        match change {
            DataPlaneChange::CreateTree { volume, .. } => self.remove_tree(*volume),
            DataPlaneChange::CreateLun { lun, .. } => self.remove_lun(*lun),
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
            DataPlaneChange::CreateTree { .. } | DataPlaneChange::CreateLun { .. } => None,
            DataPlaneChange::ResizeTree { volume, capacity } => {
                if let Some(tree) = self.trees.get(&volume)
                    && let Err(error) = tree.resize(capacity)
                {
                    warn!(?error, capacity, "the file tree keeps its size");
                }
                None
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
            DataPlaneChange::Authenticate { svm, authentication } => {
                self.targets.get_mut(&svm)?.auth = wire_auth(authentication);
                Some(svm)
            }
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
                read_only: false,
                optimized_groups: BTreeSet::from([disk.optimised]),
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
