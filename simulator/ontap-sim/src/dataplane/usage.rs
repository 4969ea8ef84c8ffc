//! What the contents take, for whoever asks the state.

use std::sync::Arc;

use iscsi_target::{IscsiServer, SessionInfo};
use nfs_server::FileTree;
use parking_lot::Mutex;

use super::served::Served;
use crate::state::iscsi::Session;
use crate::state::{LunId, Usage, VolumeId};

/// Reads what the contents take, record for record: nobody needs all of it at once.
#[derive(Debug)]
pub(super) struct Meter {
    pub(super) served: Arc<Mutex<Served>>,
    pub(super) iscsi: IscsiServer,
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
