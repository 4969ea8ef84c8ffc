//! The iSCSI side: one target per volume on the SVIP, LUN 0, CHAP by account; no ALUA. QoS is not
//! enforced here yet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use blockstore::Volume;
use iscsi_target::{
    Auth, AuthPolicy, BlockSize, ChapSecret, Identity, IscsiServer, Lun, PortalFault, SessionInfo, Target,
    Visibility,
};
use parking_lot::Mutex;

use crate::state::{DataPlaneChange, DataPlaneView, Export, LogicalBlock, Login, VolumeId};

/// The volumes' content and the server that shows it.
#[derive(Debug)]
pub struct DataPlane {
    server: IscsiServer,
    svip: SocketAddr,
    contents: Mutex<BTreeMap<VolumeId, Content>>,
}

#[derive(Debug)]
struct Content {
    volume: Volume,
    iqn: String,
}

impl DataPlane {
    /// A data plane without volumes; `server` listens on `svip` already.
    pub fn new(server: IscsiServer, svip: SocketAddr) -> Self {
        Self { server, svip, contents: Mutex::default() }
    }

    /// Carries out one change. When this returns, initiators see it.
    pub fn apply(&self, change: DataPlaneChange) {
        match change {
            DataPlaneChange::Publish(export) => self.publish(export),
            DataPlaneChange::Withdraw(volume) => {
                let iqn = self.contents.lock().get(&volume).map(|content| content.iqn.clone());
                if let Some(iqn) = iqn {
                    self.server.remove_target(&iqn);
                }
            }
            DataPlaneChange::Discard(volume) => {
                self.contents.lock().remove(&volume);
            }
        }
    }

    fn publish(&self, export: Export) {
        let volume = {
            let mut contents = self.contents.lock();
            let content = contents.entry(export.volume).or_insert_with(|| Content {
                volume: Volume::new(export.size),
                iqn: export.names.iqn.clone(),
            });
            content.volume.clone()
        };
        if volume.size() != export.size {
            volume.resize(export.size);
        }
        self.server.put_target(target(export, volume, self.svip));
    }

    /// The content of `volume`, also of a deleted one.
    pub fn find_content(&self, volume: VolumeId) -> Option<Volume> {
        self.contents.lock().get(&volume).map(|content| content.volume.clone())
    }

    /// Where iSCSI listens.
    pub fn svip(&self) -> SocketAddr {
        self.svip
    }

    /// Makes the SVIP misbehave, or behave again.
    pub fn set_fault(&self, fault: PortalFault) {
        self.server.set_portal_fault(self.svip, fault);
    }

    /// The normal sessions, in order of login.
    pub fn list_sessions(&self) -> Vec<SessionInfo> {
        self.server.sessions()
    }
}

impl DataPlaneView for DataPlane {
    fn allocated(&self, volume: VolumeId) -> u64 {
        self.find_content(volume).map_or(0, |content| content.allocated())
    }

    fn sessions(&self) -> usize {
        self.server.sessions().len()
    }
}

fn target(export: Export, volume: Volume, svip: SocketAddr) -> Target {
    let default = match export.login {
        Login::Refused => Auth::Deny,
        Login::Chap { username, initiator_secret, target_secret } => Auth::Chap {
            secret: ChapSecret::new(initiator_secret.expose()),
            mutual: Some((username.clone(), ChapSecret::new(target_secret.expose()))),
            user: username,
        },
    };
    let eui = export.names.eui;
    let lun = Lun {
        number: 0,
        volume,
        identity: Identity {
            vendor: "SolidFir".into(),
            product: "SSD SAN".into(),
            revision: "0006".into(),
            serial: eui.to_string(),
            naa: export.names.naa.0,
            eui: Some(eui.0),
            t10: eui.to_string(),
        },
        block_size: match export.block {
            LogicalBlock::Emulated512 => BlockSize::Emulated512,
            LogicalBlock::Native4096 => BlockSize::Native4096,
        },
        access: Visibility::Everyone,
        thin: true,
        read_only: export.read_only,
        optimized_groups: BTreeSet::new(),
    };
    Target {
        iqn: export.names.iqn,
        alias: None,
        portals: vec![svip],
        auth: AuthPolicy { default, initiators: BTreeMap::new() },
        luns: vec![lun],
    }
}
