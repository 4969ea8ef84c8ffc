//! What the control endpoint shows of the cluster, and its levers.

use blockstore::{BlockError, Volume};
use levers::{EventLog, Levers, Schedule};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sim_front::{ControlError, Controlled, Digest, Happening, PortalFault, PortalSelector, Portrait};

use crate::cluster::Cluster;
use crate::rpc::render_volume;
use crate::state::{State, VolumeId};

/// Bytes hashed at a time.
const CHUNK: usize = 1 << 20;

impl Controlled for Cluster {
    fn event_log(&self) -> &EventLog {
        self.events()
    }

    fn levers(&self) -> &Levers {
        self.fault_levers()
    }

    fn schedule(&self) -> &Schedule {
        self.planned()
    }

    fn state(&self) -> Value {
        let sessions = self.data_plane().list_sessions();
        self.with_state(|state| {
            let identity = state.identity();
            let account = |account: &crate::state::Account| {
                json!({"accountID": account.id.0, "username": account.username})
            };
            let node = |node: &crate::state::Node| {
                json!({"nodeID": node.id, "name": node.name, "sip": node.storage, "management": node.management})
            };
            json!({
                "name": identity.name,
                "uniqueID": identity.unique_id.to_string(),
                "mvip": identity.mvip,
                "svip": identity.svip,
                "nodes": identity.nodes.iter().map(node).collect::<Vec<_>>(),
                "accounts": state.accounts().map(account).collect::<Vec<_>>(),
                "volumes": state.volumes().map(render_volume).collect::<Vec<_>>(),
                "sessions": sessions,
            })
        })
    }

    fn portrait(&self) -> Portrait {
        crate::status::portrait(self)
    }

    fn digest(&self, name: &str) -> Result<Digest, ControlError> {
        let id = self.with_state(|state| require_volume(state, name))?;
        let content = self.data_plane().find_content(id);
        // A volume of the state without content was purged between the two looks.
        let content = content.ok_or_else(|| no_volume(name))?;
        digest_of(&content.snapshot().to_volume())
            .map_err(|error| ControlError::Failed { message: error.to_string() })
    }

    fn serial_of(&self, name: &str) -> Result<String, ControlError> {
        self.with_state(|state| {
            let id = require_volume(state, name)?;
            let volume = state.volumes().find(|volume| volume.id == id).ok_or_else(|| no_volume(name))?;
            Ok(volume.names.eui.to_string())
        })
    }

    fn set_portal_fault(&self, portal: PortalSelector, fault: PortalFault) -> Result<(), ControlError> {
        let portals: Vec<_> = self.data_plane().portals().collect();
        let mut meant = portals.iter().filter(|address| portal.selects(**address)).peekable();
        if meant.peek().is_none() {
            let all: Vec<_> = portals.iter().map(ToString::to_string).collect();
            let message = format!("no such portal; the cluster has {}", all.join(", "));
            return Err(ControlError::NotFound { message });
        }
        meant.for_each(|address| self.data_plane().set_fault(*address, fault));
        Ok(())
    }

    fn require_nfs(&self, _name: &str) -> Result<(), ControlError> {
        Err(ControlError::NotFound { message: "a SolidFire cluster serves no NFS".to_owned() })
    }

    fn happen(&self, happening: Happening) -> Result<(), ControlError> {
        match happening {
            Happening::NfsRestart { svm } | Happening::NfsLeasesExpire { svm } => self.require_nfs(&svm),
            Happening::PortalMigrates { .. } => {
                let message = "the SVIP belongs to the cluster, not to a node".to_owned();
                Err(ControlError::Invalid { message })
            }
            Happening::PowerCutArmed => {
                self.data_plane().arm_power_cut();
                Ok(())
            }
            Happening::PowerCut => {
                let lost = self.data_plane().cut_power();
                let lost = lost.map_err(|error| ControlError::Failed { message: error.to_string() })?;
                self.events().record("power.cut", json!({ "lost_writes": lost }));
                Ok(())
            }
        }
    }
}

/// The volume called `name`, an active one before a deleted one; else the one of that ID.
fn require_volume(state: &State, name: &str) -> Result<VolumeId, ControlError> {
    let mut named: Vec<_> = state.volumes().filter(|volume| volume.name == name).collect();
    if named.iter().any(|volume| volume.deletion.is_none()) {
        named.retain(|volume| volume.deletion.is_none());
    }
    match named.as_slice() {
        [one] => Ok(one.id),
        [] => {
            let by_id = name.parse().ok().map(VolumeId);
            state
                .volumes()
                .map(|volume| volume.id)
                .find(|id| Some(*id) == by_id)
                .ok_or_else(|| no_volume(name))
        }
        several => {
            let ids: Vec<_> = several.iter().map(|volume| volume.id.to_string()).collect();
            let message =
                format!("{} volumes are called `{name}`; give an ID instead: {}", ids.len(), ids.join(", "));
            Err(ControlError::Invalid { message })
        }
    }
}

fn no_volume(name: &str) -> ControlError {
    ControlError::NotFound { message: format!("no volume is called `{name}` or has this ID") }
}

fn digest_of(volume: &Volume) -> Result<Digest, BlockError> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let bytes = volume.size();
    let mut offset = 0;
    while offset < bytes {
        let length = usize::try_from(bytes - offset).unwrap_or(CHUNK).min(CHUNK);
        let (chunk, _) = buffer.split_at_mut(length);
        volume.read_at(offset, chunk)?;
        hash.update(&*chunk);
        offset += length as u64;
    }
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Digest { sha256, bytes })
}
