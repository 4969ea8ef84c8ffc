//! What a request means for initiators.

use std::collections::BTreeSet;

use super::{
    Access, Account, AccountStatus, LogicalBlock, Login, Qos, SnapshotId, Volume, VolumeId, VolumeNames,
};
use crate::traffic::Traffic;

/// What only the data plane can tell the machine.
pub trait DataPlaneView {
    /// Bytes of `volume` that hold data.
    fn allocated(&self, volume: VolumeId) -> u64;
    /// Open iSCSI sessions.
    fn sessions(&self) -> usize;
    /// What `volume` was asked to do, and the operations it has saved for a burst.
    fn traffic(&self, volume: VolumeId) -> (Traffic, u64);
    /// What all volumes were asked to do, those that are gone included.
    fn cluster_traffic(&self) -> Traffic;
    /// Operations of 4 KiB a second that all volumes together can do.
    fn cluster_iops(&self) -> u32;
}

/// One volume as its target must show it, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The volume.
    pub volume: VolumeId,
    /// IQN and device identifiers.
    pub names: VolumeNames,
    /// Bytes.
    pub size: u64,
    /// What initiators address.
    pub block: LogicalBlock,
    /// Writes are refused.
    pub read_only: bool,
    /// How fast it may be.
    pub qos: Qos,
    /// Who gets in.
    pub login: Login,
    /// Initiators that get in without proof, in lower case.
    pub open_to: BTreeSet<String>,
}

/// Content that can be kept or copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// What a volume holds now.
    Volume(VolumeId),
    /// What a snapshot shows.
    Snapshot(SnapshotId),
}

/// A change of the data plane, to be carried out in order before the client gets its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataPlaneChange {
    /// The volume is to be seen like this: a new one appears empty, a withdrawn one with its old data,
    /// one that is there already changes under its initiators' feet.
    Publish(Export),
    /// Its target goes at once, with every session; the data stays.
    Withdraw(VolumeId),
    /// Its data goes.
    Discard(VolumeId),
    /// A snapshot is made of what the source holds at this moment.
    Keep {
        /// The new snapshot.
        snapshot: SnapshotId,
        /// What it shows.
        source: Source,
    },
    /// The snapshot goes.
    Drop(SnapshotId),
    /// The volume, which may be new, holds from now on what the source holds at this moment; it is
    /// published next.
    Fill {
        /// The volume.
        volume: VolumeId,
        /// What it holds.
        source: Source,
    },
}

impl DataPlaneChange {
    /// `volume` as it stands now, opened by its owner's credentials.
    pub(super) fn publish(volume: &Volume, account: &Account) -> Self {
        let login = if login_is_possible(volume.access) { account.login() } else { Login::Refused };
        let open_to = match (login_is_possible(volume.access), account.status) {
            (true, AccountStatus::Active) => volume.open_to.clone(),
            _ => BTreeSet::new(),
        };
        Self::Publish(Export {
            volume: volume.id,
            names: volume.names.clone(),
            size: volume.size,
            block: volume.block,
            read_only: volume.access != Access::ReadWrite,
            qos: volume.qos,
            open_to,
            login,
        })
    }
}

fn login_is_possible(access: Access) -> bool {
    match access {
        Access::ReadWrite | Access::ReadOnly => true,
        Access::Locked | Access::ReplicationTarget | Access::SnapMirrorTarget => false,
    }
}
