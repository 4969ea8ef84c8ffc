//! What a request means for initiators.

use std::collections::BTreeSet;

use super::{
    Access, Account, AccountStatus, ContentId, LogicalBlock, Login, Qos, SnapshotId, Volume, VolumeId,
    VolumeNames,
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

/// Where a snapshot is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kept {
    /// With this content, which may itself be gone.
    pub content: ContentId,
    /// Under this number.
    pub snapshot: SnapshotId,
}

/// What a content begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// So many bytes of zero.
    Zeroes(u64),
    /// What another holds at this moment.
    Content(ContentId),
    /// What a snapshot shows.
    Snapshot(Kept),
}

/// A change of the data plane, to be carried out before the client gets its answer: first everything is
/// made that is new, in order; when the state is durable, the rest follows in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataPlaneChange {
    /// The volume holds this content from now on, which is made if it is not there; it is published
    /// next.
    Hold {
        /// The volume.
        volume: VolumeId,
        /// Its content.
        content: ContentId,
        /// What a new content begins with.
        source: Source,
    },
    /// The volume is to be seen like this: one that is there already changes under its initiators' feet.
    Publish(Export),
    /// Its target goes at once, with every session; the data stays.
    Withdraw(VolumeId),
    /// The volume is no more.
    Release(VolumeId),
    /// A content goes; snapshots of it stay.
    Discard(ContentId),
    /// A snapshot is made of what the source holds at this moment.
    Keep {
        /// The new snapshot.
        kept: Kept,
        /// What it shows.
        source: Source,
    },
    /// The snapshot goes.
    Drop(Kept),
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
