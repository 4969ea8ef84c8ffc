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
mod served;
#[cfg(test)]
mod tests;
mod usage;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use blockstore::Volume as Content;
use iscsi_target::{AuthPolicy, IscsiServer, PortGroup, PortalError, SessionInfo, Target};
use levers::{EventLog, Levers, Traffic};
use nfs_server::{FileTree, LifError, MountedClient, NfsServer};
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;

pub use self::contents::{ContentError, Contents};
pub(crate) use self::copies::CopyError;
use self::copies::Wanted;
pub use self::happenings::{PowerCutError, PowerLost};
use self::served::Served;
use self::usage::Meter;
use crate::door::{Door, Doorkeeper};
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

/// The ALUA target port group of a node: its place in the cluster, from 1.
fn group_of(cluster: &Cluster, node: NodeId) -> u16 {
    let place = cluster.nodes.keys().position(|candidate| *candidate == node).unwrap_or(0);
    u16::try_from(place.saturating_add(1)).unwrap_or(u16::MAX)
}
