//! The records themselves. Each is stored as one JSON document, so that a field added later reads
//! as its default in what an older build wrote.

use std::collections::BTreeMap;
use std::net::IpAddr;

use contract::{FsType, Iqn, NodeId, SnapshotId, VolumeId};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Something the store keeps.
pub trait Record: Serialize + DeserializeOwned + Send + 'static {
    /// Name of the table.
    const TABLE: &'static str;

    /// Key within the table.
    fn key(&self) -> String;
}

/// Who this controller is: made at the first start, never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Names this controller on arrays: what it made there carries this mark.
    pub controller: Uuid,
}

impl Record for Identity {
    const TABLE: &'static str = "identity";
    fn key(&self) -> String {
        "self".to_owned()
    }
}

/// The certification authority agents trust. The key is what makes the file worth its mode 0600.
#[derive(Clone, Serialize, Deserialize)]
pub struct Authority {
    /// Certificate, PEM.
    pub certificate: String,
    /// Private key, PKCS #8 PEM.
    pub key: String,
}

impl core::fmt::Debug for Authority {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Authority").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Record for Authority {
    const TABLE: &'static str = "authority";
    fn key(&self) -> String {
        "self".to_owned()
    }
}

/// A backend as the administrator registered it.
#[derive(Clone, Serialize, Deserialize)]
pub struct BackendRecord {
    /// Made at registration.
    pub uuid: Uuid,
    /// `backendName`, or the name derived from the data address.
    pub name: String,
    /// Name of the administrator's file, for error messages.
    pub file_name: String,
    /// The file as it was, credentials included.
    pub content: String,
    /// Which array it was registered with (`Array::identity`); absent in records of older builds.
    #[serde(default)]
    pub array: Option<String>,
}

impl core::fmt::Debug for BackendRecord {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BackendRecord")
            .field("uuid", &self.uuid)
            .field("name", &self.name)
            .field("file_name", &self.file_name)
            .finish_non_exhaustive()
    }
}

impl Record for BackendRecord {
    const TABLE: &'static str = "backends";
    fn key(&self) -> String {
        self.name.clone()
    }
}

/// How far a volume or a snapshot has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumePhase {
    /// Recorded; the array may or may not have it yet.
    Creating,
    /// The array has it.
    Ready,
    /// To be deleted; the array may or may not have it still.
    Deleting,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// As CSI names it.
    pub id: VolumeId,
    /// The name of the claim's request, the idempotency key of CreateVolume.
    pub name: String,
    /// How far it has come.
    pub phase: VolumePhase,
    /// Name of the backend it lives on.
    pub backend: String,
    /// Pool it was put in: an aggregate, or a SolidFire Type.
    pub pool: String,
    /// Its name on the array.
    pub internal_name: String,
    /// The array's own identifier, once known.
    pub array_id: Option<String>,
    /// Bytes a node sees.
    pub size: u64,
    /// Class parameters of the request.
    pub parameters: BTreeMap<String, String>,
    /// What it was asked to be used as.
    pub uses: Vec<UseRecord>,
    /// Filesystem a node makes on it; absent for file volumes and raw devices.
    pub filesystem: Option<FsType>,
    /// What it began as; absent: empty.
    #[serde(default)]
    pub source: Option<SourceRecord>,
}

impl Record for VolumeRecord {
    const TABLE: &'static str = "volumes";
    fn key(&self) -> String {
        self.id.to_string()
    }
}

/// What a volume began as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceRecord {
    /// Another volume, as it was then.
    Volume(VolumeId),
    /// A snapshot.
    Snapshot(SnapshotId),
}

/// A snapshot of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRecord {
    /// As CSI names it.
    pub id: SnapshotId,
    /// The name of the request, the idempotency key of CreateSnapshot.
    pub name: String,
    /// How far it has come.
    pub phase: VolumePhase,
    /// The volume it is of, which is not deleted while it exists.
    pub volume: VolumeId,
    /// Its name on the array, among the snapshots of that volume.
    pub internal_name: String,
    /// The array's own identifier, once known.
    pub array_id: Option<String>,
    /// Least bytes of a volume made of it.
    pub size: u64,
    /// When it was taken, by the array's clock, once known.
    pub taken: Option<Timestamp>,
}

impl Record for SnapshotRecord {
    const TABLE: &'static str = "snapshots";
    fn key(&self) -> String {
        self.id.to_string()
    }
}

/// One way of use that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UseRecord {
    /// A raw device, not a directory.
    pub block: bool,
    /// CSI access mode, its number in the protocol.
    pub mode: i32,
}

/// A node's leave to use a volume. It holds what the grant was made of, so that it can be revoked
/// when the node is long forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicationRecord {
    /// The volume.
    pub volume: VolumeId,
    /// The node.
    pub node: NodeId,
    /// How it is used there.
    pub r#use: UseRecord,
    /// Initiator that was let in.
    pub iqn: Option<Iqn>,
    /// Addresses that were let in.
    pub addresses: Vec<IpAddr>,
}

impl PublicationRecord {
    /// Start of the keys of all publications of `volume`.
    pub fn key_prefix(volume: &VolumeId) -> String {
        // `/` is in no volume id (see `contract::VolumeId`), so no id is a prefix of another's keys.
        format!("{volume}/")
    }

    /// Key of the publication of `volume` to `node`.
    pub fn key_of(volume: &VolumeId, node: &NodeId) -> String {
        format!("{volume}/{node}")
    }
}

impl Record for PublicationRecord {
    const TABLE: &'static str = "publications";
    fn key(&self) -> String {
        Self::key_of(&self.volume, &self.node)
    }
}

/// A node that registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// As the agent names itself.
    pub id: NodeId,
    /// Its initiator, if it has one.
    pub iqn: Option<Iqn>,
    /// Addresses it reaches storage from.
    pub addresses: Vec<IpAddr>,
    /// "nfs", "iscsi".
    pub protocols: Vec<String>,
    /// Version of its agent.
    pub agent_version: String,
    /// Its kernel release.
    pub kernel: String,
    /// SHA-256 of the token its calls carry, lower-case hexadecimal.
    pub token_digest: String,
    /// SHA-256 of the key that the name is bound to, lower-case hexadecimal.
    pub key_digest: String,
    /// Seconds since the epoch of its last registration.
    pub registered: i64,
}

impl Record for NodeRecord {
    const TABLE: &'static str = "nodes";
    fn key(&self) -> String {
        self.id.to_string()
    }
}
