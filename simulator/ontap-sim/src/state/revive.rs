//! The array after a restart: what the data planes must be told for the state to be true again.
//!
//! The contents have survived with the state; what is told anew is all that data planes keep in
//! memory: which trees and LUNs there are, exports, masks and credentials.

use std::collections::BTreeSet;

use super::lun::Lun;
use super::{Cluster, DataPlaneChange};

impl Cluster {
    /// Asks the data planes for everything that the state says, as if it had just been decided.
    pub fn revive(&mut self) {
        let trees: Vec<_> = self
            .kept_volumes()
            .map(|volume| DataPlaneChange::CreateTree { volume: volume.id, shape: volume.shape() })
            .collect();
        self.changes.extend(trees);
        self.revive_transfers();
        let exports: Vec<_> = self.volumes.values().filter_map(|volume| self.export_of(volume)).collect();
        self.changes.extend(exports);
        let volume_of = |lun: &Lun| {
            let deleted = || self.recovery.get(&lun.volume).map(|deleted| &deleted.volume);
            self.volumes.get(&lun.volume).or_else(deleted)
        };
        let luns: Vec<_> =
            self.kept_luns().filter_map(|lun| Some(self.made_lun(lun, volume_of(lun)?))).collect();
        self.changes.extend(luns);
        self.revive_copied_luns();
        let svms: Vec<_> = self.svms.keys().copied().collect();
        for svm in svms {
            self.publish_nfs_versions(svm);
        }
        let svms: Vec<_> = self.svms.keys().copied().collect();
        for svm in svms {
            self.revive_target(svm);
        }
        let hosts: BTreeSet<_> = self
            .igroups
            .values()
            .flat_map(|igroup| igroup.initiators.iter().map(|host| (igroup.svm, host.name.clone())))
            .collect();
        for (svm, host) in hosts {
            self.mask_initiator(svm, &host);
        }
    }
}
