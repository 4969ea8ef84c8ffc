//! What the state asks of the data planes. Each change is complete in itself, so that whoever
//! applies it asks the state nothing.

use uuid::Uuid;

use super::export::ExportPolicy;
use super::file_clone::BlockRange;
use super::iscsi::Authentication;
use super::lif::{Listening, Place};
use super::lun::Serial;
use super::{LifId, LunId, NodeId, SnapshotId, SvmId, VolumeId};

/// What the file tree of a volume is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeShape {
    /// Bytes, the snapshot reserve included.
    pub capacity: u64,
    /// Percent of the capacity kept for snapshots.
    pub reserve_percent: u8,
    /// Whether clients see `.snapshot`.
    pub snapshots_visible: bool,
    /// Permissions of its root directory, such as `0o755`.
    pub mode: u32,
    /// Owner of its root directory.
    pub uid: u32,
    /// Group of its root directory.
    pub gid: u32,
}

/// Something to be done outside of the array, which goes on meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// Ask a peered cluster for its name.
    Greet(Uuid),
    /// Tell a peered cluster that an SVM here is peered with one there.
    Introduce(Uuid),
    /// Carry out a transfer.
    Transfer(Uuid),
    /// What is due by the clock next may be something else.
    Reschedule,
}

/// One thing the data planes must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataPlaneChange {
    /// A volume exists: give it a file tree.
    CreateTree {
        /// The volume.
        volume: VolumeId,
        /// What it is like.
        shape: TreeShape,
    },
    /// A volume's file tree is another size, or seen otherwise.
    ReshapeTree {
        /// The volume.
        volume: VolumeId,
        /// What it was like.
        before: TreeShape,
        /// What it is to be like.
        after: TreeShape,
    },
    /// A volume begins as a snapshot of another.
    CloneTree {
        /// The clone.
        volume: VolumeId,
        /// The other.
        parent: VolumeId,
        /// Name of the snapshot.
        snapshot: String,
        /// What the clone is like, save its root directory, which is the parent's.
        shape: TreeShape,
    },
    /// A volume becomes what came for it from another.
    ReceiveTree {
        /// The volume.
        volume: VolumeId,
        /// Under which number what came is held.
        content: Uuid,
        /// Name of the snapshot on which it stands; it stands by itself when absent.
        base: Option<String>,
    },
    /// A LUN of a copy becomes what came for it.
    ReceiveLun {
        /// Behind whose target.
        svm: SvmId,
        /// The LUN.
        lun: LunId,
        /// Under which number what came is held.
        content: Uuid,
        /// What its states are kept as, oldest first; the last is what it is now.
        snapshots: Vec<SnapshotId>,
        /// What it calls itself.
        serial: Serial,
        /// Whether it tells hosts that it can unmap.
        unmap: bool,
        /// The node whose portals are optimised.
        optimised: NodeId,
    },
    /// Hosts may read the LUN alone, or write it too.
    ProtectLun {
        /// Behind whose target.
        svm: SvmId,
        /// The LUN.
        lun: LunId,
        /// Whether it is read alone.
        read_only: bool,
    },
    /// LUNs are not kept any more as they were; of the files of their volume that is said otherwise.
    DropLunSnapshots {
        /// The snapshot.
        snapshot: SnapshotId,
        /// LUNs that were in it.
        luns: Vec<LunId>,
    },
    /// Something is to be done elsewhere.
    Errand(Errand),
    /// Keep a volume as it is, its files and these LUNs at one instant.
    TakeSnapshot {
        /// The volume.
        volume: VolumeId,
        /// The snapshot.
        snapshot: SnapshotId,
        /// Its name in `.snapshot`.
        name: String,
        /// LUNs in the volume.
        luns: Vec<LunId>,
    },
    /// A snapshot has another name.
    RenameSnapshot {
        /// The volume.
        volume: VolumeId,
        /// Its name so far.
        from: String,
        /// Its name from now on.
        to: String,
    },
    /// A snapshot is gone.
    DropSnapshot {
        /// The volume.
        volume: VolumeId,
        /// The snapshot.
        snapshot: SnapshotId,
        /// Its name.
        name: String,
        /// LUNs that were in it.
        luns: Vec<LunId>,
    },
    /// A volume's files are what they were; later snapshots are gone already.
    RestoreTree {
        /// The volume.
        volume: VolumeId,
        /// Name of the snapshot.
        name: String,
    },
    /// A LUN is what it was, and there again if it was gone.
    RestoreLun {
        /// Behind whose target.
        svm: SvmId,
        /// The LUN.
        lun: LunId,
        /// The snapshot.
        snapshot: SnapshotId,
        /// What it calls itself.
        serial: Serial,
        /// Whether it tells hosts that it can unmap.
        unmap: bool,
        /// The node whose portals are optimised.
        optimised: NodeId,
    },
    /// A LUN exists that begins as another one, or as that one in a snapshot.
    CloneLun {
        /// Behind whose target.
        svm: SvmId,
        /// The LUN.
        lun: LunId,
        /// What it calls itself.
        serial: Serial,
        /// Bytes.
        size: u64,
        /// Whether it tells hosts that it can unmap.
        unmap: bool,
        /// The node whose portals are optimised.
        optimised: NodeId,
        /// The other LUN.
        source: LunId,
        /// The snapshot of it; as it is now when absent.
        snapshot: Option<SnapshotId>,
    },
    /// The short way to a LUN is another.
    Reoptimise {
        /// Behind whose target.
        svm: SvmId,
        /// The LUN.
        lun: LunId,
        /// The node whose portals are optimised.
        optimised: NodeId,
    },
    /// A volume is gone, with its files.
    RemoveTree {
        /// The volume.
        volume: VolumeId,
    },
    /// A qtree exists.
    CreateQtree {
        /// The volume.
        volume: VolumeId,
        /// Its number.
        id: u32,
        /// Its name.
        name: String,
        /// Permissions of its directory.
        mode: u32,
        /// Owner of its directory.
        uid: u32,
        /// Group of its directory.
        gid: u32,
    },
    /// A qtree has another name.
    RenameQtree {
        /// The volume.
        volume: VolumeId,
        /// Its name so far.
        from: String,
        /// Its name from now on.
        to: String,
    },
    /// The directory of a qtree has another mode or owner.
    SetQtreeRoot {
        /// The volume.
        volume: VolumeId,
        /// Its name.
        name: String,
        /// Permissions.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// A qtree is gone, with its files.
    RemoveQtree {
        /// The volume.
        volume: VolumeId,
        /// Its name.
        name: String,
    },
    /// A qtree has these limits; absent is none.
    SetQuota {
        /// The volume.
        volume: VolumeId,
        /// Name of the qtree.
        qtree: String,
        /// Bytes.
        bytes: Option<u64>,
        /// Files.
        files: Option<u64>,
    },
    /// The SVM speaks these versions of NFS, and v4.2 with v4.1.
    NfsVersions {
        /// Whose service.
        svm: SvmId,
        /// NFS v3.
        v3: bool,
        /// NFS v4.0.
        v4_0: bool,
        /// NFS v4.1.
        v4_1: bool,
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
    /// A file of a volume begins as another one.
    CopyFile {
        /// The volume.
        volume: VolumeId,
        /// Path of the other within the volume.
        source: String,
        /// Its own path.
        destination: String,
        /// Whether it takes the place of one that is there.
        replace: bool,
    },
    /// Ranges of a file of a volume are those of another one from now on.
    CopyRanges {
        /// The volume.
        volume: VolumeId,
        /// Path of the other within the volume.
        source: String,
        /// Its own path.
        destination: String,
        /// What is copied.
        ranges: Vec<BlockRange>,
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
        matches!(
            self,
            Self::CreateTree { .. }
                | Self::CloneTree { .. }
                | Self::TakeSnapshot { .. }
                | Self::ReceiveTree { .. }
                | Self::ReceiveLun { .. }
                | Self::CopyFile { .. }
                | Self::CopyRanges { .. }
                | Self::CreateLun { .. }
                | Self::CloneLun { .. }
        )
    }
}
