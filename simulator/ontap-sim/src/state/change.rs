//! What the state asks of the data planes. Each change is complete in itself, so that whoever
//! applies it asks the state nothing.

use super::export::ExportPolicy;
use super::iscsi::Authentication;
use super::lif::{Listening, Place};
use super::lun::Serial;
use super::{LifId, LunId, NodeId, SvmId, VolumeId};

/// One thing the data planes must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataPlaneChange {
    /// A volume exists: give it a file tree.
    CreateTree {
        /// The volume.
        volume: VolumeId,
        /// Bytes its files may take.
        capacity: u64,
        /// Owner of its root directory.
        uid: u32,
        /// Group of its root directory.
        gid: u32,
        /// Permissions of its root directory, such as `0o755`.
        mode: u32,
    },
    /// A volume's files may take more, or less.
    ResizeTree {
        /// The volume.
        volume: VolumeId,
        /// Bytes its files may take.
        capacity: u64,
    },
    /// A volume is gone, with its files.
    RemoveTree {
        /// The volume.
        volume: VolumeId,
    },
    /// A volume stands at a junction under these rules; replaces what was said of this path.
    Export {
        /// Whose namespace.
        svm: SvmId,
        /// The junction path.
        path: String,
        /// What stands there.
        volume: VolumeId,
        /// Who may reach it.
        policy: ExportPolicy,
    },
    /// Nothing stands at this junction any more.
    Unexport {
        /// Whose namespace.
        svm: SvmId,
        /// The junction path.
        path: String,
    },
    /// A LUN exists. Nobody sees it before a [`DataPlaneChange::Mask`] says so.
    CreateLun {
        /// Behind whose target.
        svm: SvmId,
        /// The LUN.
        lun: LunId,
        /// What it calls itself.
        serial: Serial,
        /// Bytes.
        size: u64,
        /// Whether it tells hosts that it can unmap (thin provisioning).
        unmap: bool,
        /// The node whose portals are optimised.
        optimised: NodeId,
    },
    /// A LUN has grown.
    ResizeLun {
        /// Behind whose target.
        svm: SvmId,
        /// The LUN.
        lun: LunId,
        /// Bytes.
        size: u64,
    },
    /// A LUN is gone, with its content.
    RemoveLun {
        /// Behind whose target.
        svm: SvmId,
        /// The LUN.
        lun: LunId,
    },
    /// From now on the initiator sees exactly these LUNs.
    Mask {
        /// Behind whose target.
        svm: SvmId,
        /// The initiator's name, lower case.
        initiator: String,
        /// Logical unit number and LUN, ascending.
        luns: Vec<(u16, LunId)>,
    },
    /// From now on initiators must log in like this.
    Authenticate {
        /// To whose target.
        svm: SvmId,
        /// Which initiator, lower case; `None`: all that have no record of their own.
        initiator: Option<String>,
        /// How; `None`: as those that have no record of their own.
        authentication: Option<Authentication>,
    },
    /// An SVM exists: give it a namespace.
    CreateSvm {
        /// The SVM.
        svm: SvmId,
        /// Its name.
        name: String,
    },
    /// An SVM is gone with its namespace.
    RemoveSvm {
        /// The SVM.
        svm: SvmId,
    },
    /// An iSCSI service exists, or is another one now.
    PutTarget {
        /// Whose target.
        svm: SvmId,
        /// Its name.
        iqn: String,
        /// Its alias.
        alias: String,
        /// Whether it serves.
        enabled: bool,
    },
    /// An iSCSI service is gone, with its credentials.
    RemoveTarget {
        /// Whose target.
        svm: SvmId,
    },
    /// A LIF is to listen thus, whatever it did before.
    RaiseLif(Listening),
    /// A LIF is to listen no more.
    LowerLif {
        /// The LIF.
        lif: LifId,
    },
    /// A LIF is on another node; its connections stay.
    MoveLif {
        /// The LIF.
        lif: LifId,
        /// Where it is now.
        place: Place,
    },
}

impl DataPlaneChange {
    /// Whether it makes content. That is done before the state is made durable, everything else
    /// after: a death in between leaves content that nobody names, and never a name without content.
    pub fn makes_content(&self) -> bool {
        matches!(self, Self::CreateTree { .. } | Self::CreateLun { .. })
    }
}
