//! LIFs on the wire: bound when they are to be up, unbound when not, moved between nodes.
//!
//! At start a LIF that cannot listen is an error that names the flag. Later, as on an array whose
//! port has no link, it is down: the LIF is there, [`DataPlanes::unreachable`] tells the state, and
//! the event log says why (`lif.down`).

use std::collections::BTreeSet;
use std::net::SocketAddr;

use iscsi_target::{PortGroup, Portal};
use serde_json::json;
use tracing::{debug, warn};

use super::{BoundNfs, BoundPortal, BringUpError, DataPlanes, DoorError};
use crate::door::{Door, Doorkeeper};
use crate::state::lif::{Listening, Place};
use crate::state::{Cluster, Lif, LifId, SvmId};

/// The well-known port of the port mapper (RFC 1833).
const PORTMAP: u16 = 111;

/// How often another free port is chosen where the first LIF's is taken on another LIF's address.
const OTHER_PORTS: u32 = 8;

impl DataPlanes {
    /// Brings up every LIF of the cluster; one that need not rise may be down.
    ///
    /// # Errors
    /// [`BringUpError`] for the first LIF that cannot listen and must.
    pub(super) async fn raise_all(
        &self,
        cluster: &Cluster,
        must_rise: impl Fn(&Lif) -> bool,
    ) -> Result<(), BringUpError> {
        let mut others_left = OTHER_PORTS;
        'again: loop {
            for lif in cluster.lifs.values() {
                let Some(listening) = cluster.listening(lif) else { continue };
                match self.raise(&listening).await {
                    // One port serves every LIF of a protocol. What is free on the first's address
                    // may be, on another, the port of anybody's outgoing connection.
                    Err(error) if others_left > 0 && self.chose_port_of(&error) => {
                        debug!(%error, "another free port is chosen");
                        others_left = others_left.saturating_sub(1);
                        for lif in cluster.lifs.keys() {
                            self.lower(*lif).await;
                        }
                        continue 'again;
                    }
                    Err(error) if must_rise(lif) => return Err(error),
                    Err(error) => self.note_down(&listening, &error),
                    Ok(()) => {}
                }
            }
            return Ok(());
        }
    }

    /// The port that was taken is no user's choice.
    fn chose_port_of(&self, error: &BringUpError) -> bool {
        let asked = match error {
            BringUpError::Nfs(..) => self.ports.nfs,
            BringUpError::Iscsi(..) => self.ports.iscsi,
            BringUpError::Portmap(..) | BringUpError::Door(..) => return false,
        };
        asked == 0 && error.is_port_taken()
    }

    /// Makes the LIF listen as told; what it listened to before and is to no longer is closed.
    ///
    /// # Errors
    /// [`BringUpError`]; the part that could be brought up is up.
    pub(super) async fn raise(&self, listening: &Listening) -> Result<(), BringUpError> {
        self.lower_what_differs(listening).await;
        let Some(svm) = listening.svm else { return Ok(()) };
        if listening.nfs {
            self.raise_nfs(svm, listening).await?;
        }
        if let Some(tag) = listening.iscsi {
            self.raise_portal(svm, tag, listening).await?;
        }
        if listening.management {
            self.open_door(svm, listening).await?;
        }
        Ok(())
    }

    /// Says who opens doors; before, none are.
    pub(crate) fn set_doorkeeper(&self, doorkeeper: Doorkeeper) {
        if self.doorkeeper.set(doorkeeper).is_err() {
            warn!("there is a doorkeeper already");
        }
    }

    /// Opens the doors of LIFs that were there before the doorkeeper. One that stays shut is down.
    pub(crate) async fn open_doors(&self, listening: &[Listening]) {
        for listening in listening.iter().filter(|listening| listening.management) {
            let Some(svm) = listening.svm else { continue };
            if let Err(error) = self.open_door(svm, listening).await {
                self.note_down(listening, &error);
            }
        }
    }

    async fn open_door(&self, svm: SvmId, listening: &Listening) -> Result<(), BringUpError> {
        let Some(doorkeeper) = self.doorkeeper.get() else { return Ok(()) };
        if self.doors.lock().contains_key(&listening.lif) {
            return Ok(());
        }
        let opened = doorkeeper.open(listening.address, svm).await;
        let door = opened.map_err(|reason| BringUpError::Door(listening.address, DoorError(reason)))?;
        self.doors.lock().insert(listening.lif, door);
        Ok(())
    }

    fn close_door(&self, lif: LifId) {
        let door = self.doors.lock().remove(&lif);
        if let Some(door) = door {
            door.close();
        }
    }

    async fn raise_nfs(&self, svm: SvmId, listening: &Listening) -> Result<(), BringUpError> {
        if self.nfs_lifs.read().iter().any(|bound| bound.lif == listening.lif) {
            return Ok(());
        }
        let Some(server) = self.served.lock().nfs.get(&svm).cloned() else { return Ok(()) };
        // A free port, once chosen, serves every LIF: clients know one port for all.
        let port = self.nfs_lifs.read().first().map_or(self.ports.nfs, |first| first.address.port());
        let asked = SocketAddr::new(listening.address, port);
        let address = server.bind_lif(asked).await.map_err(|error| BringUpError::Nfs(asked, error))?;
        self.nfs_lifs.write().push(BoundNfs { lif: listening.lif, address, svm });
        if self.ports.portmap {
            let portmap = SocketAddr::new(listening.address, PORTMAP);
            let bound = server.bind_portmap(portmap, address.port()).await;
            bound.map_err(|error| BringUpError::Portmap(portmap, error))?;
        }
        Ok(())
    }

    async fn raise_portal(&self, svm: SvmId, tag: u16, listening: &Listening) -> Result<(), BringUpError> {
        if self.portals.read().iter().any(|bound| bound.lif == listening.lif) {
            return Ok(());
        }
        let port = self.portals.read().first().map_or(self.ports.iscsi, |first| first.address.port());
        let listen = SocketAddr::new(listening.address, port);
        let relative_port = Listening::relative_port(tag);
        let group = PortGroup { id: listening.place.group, relative_port };
        let bound = self.iscsi.bind_portal(Portal { listen, tag, group }).await;
        let address = bound.map_err(|error| BringUpError::Iscsi(listen, error))?;
        let node = listening.place.node.clone();
        self.portals.write().push(BoundPortal { lif: listening.lif, address, tag, group, node, svm });
        Ok(())
    }

    async fn lower_what_differs(&self, listening: &Listening) {
        let door = self.doors.lock().get(&listening.lif).map(Door::address);
        if door.is_some_and(|address| !listening.management || address != listening.address) {
            self.close_door(listening.lif);
        }
        let moved = |address: SocketAddr| address.ip() != listening.address;
        let portal = self.portals.read().iter().find(|bound| bound.lif == listening.lif).cloned();
        if let Some(bound) = portal.filter(|bound| listening.iscsi != Some(bound.tag) || moved(bound.address))
        {
            self.lower_portal(&bound).await;
        }
        let nfs = self.nfs_lifs.read().iter().find(|bound| bound.lif == listening.lif).cloned();
        if let Some(bound) = nfs.filter(|bound| !listening.nfs || moved(bound.address)) {
            self.lower_nfs(&bound).await;
        }
    }

    /// Closes what the LIF listens to.
    pub(super) async fn lower(&self, lif: LifId) {
        self.close_door(lif);
        let portal = self.portals.read().iter().find(|bound| bound.lif == lif).cloned();
        if let Some(bound) = portal {
            self.lower_portal(&bound).await;
        }
        let nfs = self.nfs_lifs.read().iter().find(|bound| bound.lif == lif).cloned();
        if let Some(bound) = nfs {
            self.lower_nfs(&bound).await;
        }
    }

    async fn lower_portal(&self, bound: &BoundPortal) {
        self.iscsi.unbind_portal(bound.address).await;
        self.portals.write().retain(|portal| portal.lif != bound.lif);
    }

    async fn lower_nfs(&self, bound: &BoundNfs) {
        let server = self.served.lock().nfs.get(&bound.svm).cloned();
        if let Some(server) = server {
            server.unbind(bound.address).await;
            server.unbind(SocketAddr::new(bound.address.ip(), PORTMAP)).await;
        }
        self.nfs_lifs.write().retain(|lif| lif.lif != bound.lif);
    }

    /// Carries out the raising and lowering of a LIF; for whoever cannot wait asynchronously.
    pub(super) fn settle_lif(&self, lif: LifId, listening: Option<&Listening>) {
        let settled = self.wait(async {
            match listening {
                Some(listening) => self.raise(listening).await,
                None => {
                    self.lower(lif).await;
                    Ok(())
                }
            }
        });
        self.unreachable.lock().remove(&lif);
        if let (Err(error), Some(listening)) = (settled, listening) {
            self.note_down(listening, &error);
        }
    }

    /// A LIF that is to be up cannot be.
    pub(super) fn note_down(&self, listening: &Listening, error: &BringUpError) {
        warn!(%error, lif = %listening.lif, "a LIF is down");
        self.unreachable.lock().insert(listening.lif);
        let reason = std::error::Error::source(error).map(ToString::to_string);
        let (lif, address) = (listening.lif.to_string(), listening.address.to_string());
        self.events.record("lif.down", json!({ "lif": lif, "address": address, "reason": reason }));
    }

    /// LIFs that are to be up and cannot be.
    pub fn unreachable(&self) -> BTreeSet<LifId> {
        self.unreachable.lock().clone()
    }

    /// A LIF is on another node; its iSCSI portal changes its group, its sessions stay.
    pub(super) fn move_lif(&self, lif: LifId, place: &Place) {
        for portal in self.portals.write().iter_mut().filter(|portal| portal.lif == lif) {
            portal.group.id = place.group;
            portal.node.clone_from(&place.node);
            self.iscsi.move_portal(portal.address, portal.group);
        }
    }

    /// Runs to its end, on a thread of its own since the caller's may belong to the runtime. LIFs
    /// change seldom.
    fn wait<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| self.runtime.block_on(future));
            match waiting.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}
