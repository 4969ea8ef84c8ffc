//! What a request means for initiators.

use super::{Access, LogicalBlock, Login, VolumeId, VolumeNames};

/// One volume as its target must show it.
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
    /// What initiators may do.
    pub access: Access,
    /// Who gets in.
    pub login: Login,
}

/// A change of the data plane, to be carried out in order before the client gets its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataPlaneChange {
    /// The volume appears: empty if it is new, with its old data if it was withdrawn.
    Offer(Export),
    /// Its target goes at once, with every session; the data stays.
    Withdraw(VolumeId),
    /// Its data goes.
    Discard(VolumeId),
    /// It grows, under its initiators' feet.
    Resize {
        /// The volume.
        volume: VolumeId,
        /// Its new size in bytes.
        size: u64,
    },
    /// Initiators may do something else with it from now on.
    Restrict {
        /// The volume.
        volume: VolumeId,
        /// What they may do.
        access: Access,
    },
    /// Other credentials open it. Open sessions stay, except when nobody may log in any more.
    Authenticate {
        /// The volume.
        volume: VolumeId,
        /// Who gets in.
        login: Login,
    },
}
