//! What happens to the data planes without the management API: faults of LIFs, restarts, power
//! cuts, LIFs that move. The control endpoint asks for them.

use std::net::SocketAddr;

use blockstore::{BlockError, PowerCut};
use levers::PortalFault;
use nfs_server::AdminError;
use serde_json::json;
use tracing::info;

use super::DataPlanes;
use crate::state::SvmId;

/// A power cut that could not be carried out whole.
#[derive(Debug, thiserror::Error)]
pub enum PowerCutError {
    /// On a LUN.
    #[error("a LUN did not lose its unflushed writes")]
    Lun(#[from] BlockError),
    /// On a file tree.
    #[error("a volume did not lose its uncommitted writes")]
    Tree(#[from] AdminError),
}

/// What a power cut took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PowerLost {
    /// Writes to LUNs.
    pub lun_writes: u64,
    /// Files that lost uncommitted writes.
    pub files: u64,
}

impl DataPlanes {
    /// Puts `fault` on the iSCSI portals and NFS LIFs that `selects` picks; how many these are.
    pub fn set_portal_fault(&self, selects: impl Fn(SocketAddr) -> bool, fault: PortalFault) -> usize {
        let portals = self.portals().into_iter().map(|portal| portal.address).filter(|at| selects(*at));
        let portals: Vec<_> = portals.collect();
        for address in &portals {
            info!(%address, ?fault, "portal fault");
            self.iscsi.set_portal_fault(*address, fault);
        }
        let lifs = self.nfs_lifs().into_iter().map(|lif| lif.address).filter(|at| selects(*at));
        let lifs: Vec<_> = lifs.collect();
        for address in &lifs {
            info!(%address, ?fault, "NFS LIF fault");
            self.levers.set_portal_fault(*address, fault);
            self.events.record("nfs.lif_fault", json!({ "lif": address, "fault": fault }));
        }
        portals.len() + lifs.len()
    }

    /// The NFS service of the SVM forgets its clients' state and grants them a grace to reclaim it.
    pub fn restart_nfs(&self, svm: SvmId) {
        if let Some(server) = self.served.lock().nfs.get(&svm) {
            server.restart();
        }
    }

    /// The leases of all NFS clients of the SVM have run out.
    pub fn expire_leases(&self, svm: SvmId) {
        if let Some(server) = self.served.lock().nfs.get(&svm) {
            server.expire_leases();
        }
    }

    /// From now on LUNs, also those made later, keep in mind what is not flushed.
    pub fn arm_power_cut(&self) {
        let mut served = self.served.lock();
        served.armed = true;
        served.luns.values().for_each(|disk| disk.content.arm_power_cut());
    }

    /// LUNs and files lose what was neither flushed nor committed.
    ///
    /// # Errors
    /// [`PowerCutError`]; some have lost theirs then.
    pub fn cut_power(&self) -> Result<PowerLost, PowerCutError> {
        let (contents, trees) = {
            let served = self.served.lock();
            let contents: Vec<_> = served.luns.values().map(|disk| disk.content.clone()).collect();
            (contents, served.trees.values().cloned().collect::<Vec<_>>())
        };
        let mut lost = PowerLost::default();
        for content in contents {
            lost.lun_writes += content.power_cut(PowerCut::All)?.map_or(0, |cut| cut.lost);
        }
        for tree in trees {
            lost.files += tree.cut_power()? as u64;
        }
        Ok(lost)
    }
}
