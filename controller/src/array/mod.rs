//! Storage arrays and the verbs every one of them answers.
//!
//! ```text
//! volume/* ─► Array ─► ontap/   REST, one SVM
//!                  └─► element/ JSON-RPC, one tenant account
//! ```
//!
//! `ensure_` verbs converge: called again after a crash, a time-out or a lost answer they end in the
//! same state. What another made on the array is told apart by the mark in [`Owner`] and is neither
//! used nor removed.

pub mod element;
mod error;
mod http;
pub mod ontap;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use contract::{ChapCredentials, FsType, Iqn, NodeId, PublishContext, SnapshotId, VolumeId};
use jiff::Timestamp;
use uuid::Uuid;

use crate::backend::config::{BackendConfig, ConfigError, DriverConfig};
use crate::store::{SnapshotRecord, VolumeRecord};
pub use error::ArrayError;

/// Whose volume it is: written on the array beside the volume, read before it is used or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The controller that made it.
    pub controller: Uuid,
}

/// Where a volume can be put, and what is offered there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// An aggregate, or a SolidFire Type.
    pub name: String,
    /// media, provisioningType, snapshots, clones, encryption, backendType, region, zone …
    pub attributes: BTreeMap<String, String>,
    /// I/O operations a second a volume here may be promised; absent: no promise is made.
    pub iops: Option<RangeInclusive<u64>>,
}

/// A volume to be made.
#[derive(Debug, Clone)]
pub struct VolumeSpec {
    /// As CSI names it.
    pub id: VolumeId,
    /// Its name on the array.
    pub internal_name: String,
    /// Pool to put it in.
    pub pool: String,
    /// Bytes a node is to see.
    pub size: u64,
    /// Filesystem a node will make on it, noted on the array for people.
    pub filesystem: Option<FsType>,
}

/// A volume that the array has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provisioned {
    /// The array's own identifier.
    pub array_id: String,
    /// Bytes a node sees; at least what was asked for.
    pub size: u64,
}

/// A snapshot to be taken.
#[derive(Debug, Clone)]
pub struct SnapshotSpec {
    /// As CSI names it.
    pub id: SnapshotId,
    /// Its name on the array.
    pub internal_name: String,
}

/// A snapshot that the array has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The array's own identifier.
    pub array_id: String,
    /// When, by the array's clock.
    pub at: Timestamp,
}

/// What a new volume begins as.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The volume, or the one that the snapshot is of.
    pub volume: VolumeRecord,
    /// The snapshot; absent: the volume as it is now.
    pub snapshot: Option<SnapshotRecord>,
}

impl Origin {
    /// Bytes of what a copy begins as.
    pub fn size(&self) -> u64 {
        self.snapshot.as_ref().map_or(self.volume.size, |snapshot| snapshot.size)
    }
}

/// A node that is let in.
#[derive(Debug, Clone)]
pub struct Guest {
    /// The node.
    pub node: NodeId,
    /// Its initiator.
    pub iqn: Option<Iqn>,
    /// Addresses it reaches storage from.
    pub addresses: Vec<IpAddr>,
}

/// Which way of use a volume is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// NFS.
    File,
    /// iSCSI.
    Block,
}

/// An array that answered and was found fit.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // a handful in a process, each behind an Arc
pub enum Array {
    /// NetApp SolidFire.
    Element(element::Element),
    /// NetApp ONTAP.
    Ontap(ontap::Ontap),
}

impl Array {
    /// Reaches the array and checks every part of the configuration against it. Changes nothing
    /// there but what the documentation of the driver says (SolidFire: the tenant account).
    ///
    /// # Errors
    /// One line that names the field of the backend file which does not fit, and the cure.
    pub async fn start(config: &BackendConfig, owner: Owner) -> Result<Self, ConfigError> {
        match &config.driver {
            DriverConfig::Ontap(connection, protocol) => {
                ontap::Ontap::start(config, connection, protocol, owner).await.map(Self::Ontap)
            }
            DriverConfig::SolidFire(solidfire) => {
                element::Element::start(config, solidfire, owner).await.map(Self::Element)
            }
        }
    }

    /// Name of the backend where its file has none: `ontapnas_<address>`, `solidfire_<address>` …
    pub fn default_name(&self) -> String {
        match self {
            Self::Element(element) => element.default_name(),
            Self::Ontap(ontap) => ontap.default_name(),
        }
    }

    /// What stays the same however the array is addressed, and differs between any two: the uuid of
    /// the SVM; the cluster's unique ID with the account.
    pub fn identity(&self) -> String {
        match self {
            Self::Element(element) => element.identity(),
            Self::Ontap(ontap) => ontap.identity(),
        }
    }

    /// Where volumes can be put.
    pub fn pools(&self) -> &[Pool] {
        match self {
            Self::Element(element) => element.pools(),
            Self::Ontap(ontap) => ontap.pools(),
        }
    }

    /// How its volumes are used.
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Element(_) => Protocol::Block,
            Self::Ontap(ontap) => ontap.protocol(),
        }
    }

    /// Whether several nodes may use one of its devices at a time. SolidFire: no. A volume is open
    /// to the tenant account's credentials, not to a node, so one node's leave cannot be taken back
    /// while another keeps its own.
    pub fn shares_devices(&self) -> bool {
        match self {
            Self::Element(_) => false,
            Self::Ontap(_) => true,
        }
    }

    /// The size the array gives a volume of `size` bytes: its minimum and its rounding.
    pub fn rounded(&self, size: u64) -> u64 {
        match self {
            Self::Element(_) => element::rounded(size),
            Self::Ontap(_) => ontap::rounded(size),
        }
    }

    /// Bytes of the largest volume the array makes.
    pub fn largest(&self) -> u64 {
        match self {
            Self::Element(_) => element::LARGEST_VOLUME,
            Self::Ontap(ontap) => ontap.largest(),
        }
    }

    /// The name on the array of the volume that a claim calls `name`.
    pub fn internal_name(&self, prefix: &str, name: &str) -> String {
        match self {
            Self::Element(_) => crate::naming::element_volume(prefix, name),
            Self::Ontap(_) => crate::naming::ontap_volume(prefix, name),
        }
    }

    /// Filesystem of a block volume whose class names none.
    pub fn default_filesystem(&self) -> FsType {
        match self {
            Self::Element(_) => FsType::Ext4,
            Self::Ontap(ontap) => ontap.default_filesystem(),
        }
    }

    /// Makes the volume, or finds it made.
    ///
    /// # Errors
    /// When the array refuses, is unreachable, or has a volume of that name which is not ours.
    pub async fn ensure_volume(&self, spec: &VolumeSpec) -> Result<Provisioned, ArrayError> {
        match self {
            Self::Element(element) => element.ensure_volume(spec).await,
            Self::Ontap(ontap) => ontap.ensure_volume(spec).await,
        }
    }

    /// Makes the volume as a copy of `origin`, at least of the size asked for, or finds it made.
    ///
    /// # Errors
    /// As [`Self::ensure_volume`]; [`ArrayError::Missing`] when the origin is not there (any more).
    pub async fn ensure_copy(&self, spec: &VolumeSpec, origin: &Origin) -> Result<Provisioned, ArrayError> {
        match self {
            Self::Element(element) => element.ensure_copy(spec, origin).await,
            Self::Ontap(ontap) => ontap.ensure_copy(spec, origin).await,
        }
    }

    /// Whether a copy lies in the pool of what it is a copy of: a FlexClone shares its parent's
    /// blocks, a clone on SolidFire may be of another Type.
    pub fn copies_stay_in_pool(&self) -> bool {
        match self {
            Self::Element(_) => false,
            Self::Ontap(_) => true,
        }
    }

    /// Makes the volume at least `size` bytes, or finds it so; bytes a node sees then.
    ///
    /// # Errors
    /// When the array refuses or is unreachable.
    pub async fn ensure_size(&self, volume: &VolumeRecord, size: u64) -> Result<u64, ArrayError> {
        match self {
            Self::Element(element) => element.ensure_size(volume, size).await,
            Self::Ontap(ontap) => ontap.ensure_size(volume, size).await,
        }
    }

    /// The name on the array of the snapshot that a request calls `name`.
    pub fn snapshot_name(name: &str) -> String {
        crate::naming::snapshot(name)
    }

    /// Takes the snapshot, or finds it taken.
    ///
    /// # Errors
    /// When the array refuses, is unreachable, or has a snapshot of that name which is not ours.
    pub async fn ensure_snapshot(
        &self,
        volume: &VolumeRecord,
        spec: &SnapshotSpec,
    ) -> Result<Taken, ArrayError> {
        match self {
            Self::Element(element) => element.ensure_snapshot(volume, spec).await,
            Self::Ontap(ontap) => ontap.ensure_snapshot(volume, spec).await,
        }
    }

    /// Deletes the snapshot, or finds it deleted. Volumes made of it stay.
    ///
    /// # Errors
    /// When the array refuses, is unreachable, or has a snapshot of that name which is not ours.
    pub async fn ensure_no_snapshot(
        &self,
        volume: &VolumeRecord,
        snapshot: &SnapshotRecord,
    ) -> Result<(), ArrayError> {
        match self {
            Self::Element(element) => element.ensure_no_snapshot(volume, snapshot).await,
            Self::Ontap(ontap) => ontap.ensure_no_snapshot(volume, snapshot).await,
        }
    }

    /// Deletes the volume and what was made for it, or finds it deleted.
    ///
    /// # Errors
    /// When the array refuses, is unreachable, or has a volume of that name which is not ours.
    pub async fn ensure_no_volume(&self, volume: &VolumeRecord) -> Result<(), ArrayError> {
        match self {
            Self::Element(element) => element.ensure_no_volume(volume).await,
            Self::Ontap(ontap) => ontap.ensure_no_volume(volume).await,
        }
    }

    /// Lets `guest` use the volume, whether or not it was let in before, and says how it is
    /// reached. `others` are the nodes that keep their leave.
    ///
    /// # Errors
    /// When the array refuses or is unreachable, or when the access is not ours to give and the
    /// administrator has not given it.
    pub async fn ensure_access(
        &self,
        volume: &VolumeRecord,
        guest: &Guest,
        others: &[Guest],
    ) -> Result<PublishContext, ArrayError> {
        match self {
            Self::Element(element) => element.ensure_access(volume).await,
            Self::Ontap(ontap) => ontap.ensure_access(volume, guest, others).await,
        }
    }

    /// Takes the leave of `guest` back; `others` keep theirs. OK means that the array was asked
    /// afterwards and shows no access of that node.
    ///
    /// # Errors
    /// When the array refuses or is unreachable.
    pub async fn ensure_no_access(
        &self,
        volume: &VolumeRecord,
        guest: &Guest,
        others: &[Guest],
    ) -> Result<(), ArrayError> {
        match self {
            Self::Element(element) => element.ensure_no_access(volume).await,
            Self::Ontap(ontap) => ontap.ensure_no_access(volume, guest, others).await,
        }
    }

    /// What a node needs to log in to the target, read from the array where it lives there.
    ///
    /// # Errors
    /// When the array refuses or is unreachable.
    pub async fn chap(&self) -> Result<Option<ChapCredentials>, ArrayError> {
        match self {
            Self::Element(element) => element.chap().await.map(Some),
            Self::Ontap(ontap) => Ok(ontap.chap()),
        }
    }
}

/// `bytes` rounded up to a multiple of `step`.
pub(crate) fn round_up(bytes: u64, step: u64) -> u64 {
    bytes.div_ceil(step).saturating_mul(step)
}
