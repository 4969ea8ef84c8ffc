//! ONTAP through its REST API: one SVM, FlexVols for `ontap-nas`, a LUN in a FlexVol for `ontap-san`.
//!
//! | file | subject |
//! |---|---|
//! | `client` | requests, errors, jobs |
//! | `start` | is what the backend file says true of this array? |
//! | `flexvol` | volumes |
//! | `snapshot`, `clone` | snapshots, and volumes that begin as another |
//! | `nas` | export policies and rules |
//! | `san` | LUNs, igroups, maps, portals |

mod client;
mod clone;
mod flexvol;
mod nas;
mod san;
mod snapshot;
mod start;

use std::net::IpAddr;

use contract::{ChapCredentials, FsType, Iqn, PublishContext};

use crate::array::{
    ArrayError, Guest, Origin, Owner, Pool, Protocol, Provisioned, SnapshotSpec, Taken, VolumeSpec, round_up,
};
use crate::backend::config::{NasOptions, OntapDefaults};
use crate::locks::Locks;
use crate::store::{SnapshotRecord, VolumeRecord};
use client::Client;

/// Smallest FlexVol, 20 MiB (ONTAP 9 limits).
const MINIMUM_VOLUME: u64 = 20 << 20;
/// Largest FlexVol, 300 TB, with its snapshot reserve (ONTAP 9.12.1P2 and later).
const LARGEST_FLEXVOL: u64 = 300 << 40;
/// Largest LUN, 128 TB (ONTAP 9.12.1P2 and later).
const LARGEST_LUN: u64 = 128 << 40;
/// Sizes are multiples of the file system's block.
const BLOCK: u64 = 4096;

/// One SVM of an ONTAP cluster, found fit for one driver.
#[derive(Debug)]
pub struct Ontap {
    client: Client,
    owner: Owner,
    svm_name: String,
    svm_uuid: String,
    data_lif: IpAddr,
    pools: Vec<Pool>,
    defaults: OntapDefaults,
    protocol: Driver,
    /// An igroup is shared by all volumes of a node: mapping and tidying up must not cross.
    igroups: Locks,
}

#[derive(Debug)]
enum Driver {
    Nas(NasOptions),
    San { target: Iqn, chap: Option<ChapCredentials> },
}

impl Ontap {
    pub(super) fn default_name(&self) -> String {
        let driver = match self.protocol {
            Driver::Nas(_) => "ontapnas",
            Driver::San { .. } => "ontapsan",
        };
        format!("{driver}_{}", self.data_lif)
    }

    pub(super) fn identity(&self) -> String {
        format!("svm {}", self.svm_uuid)
    }

    pub(super) fn pools(&self) -> &[Pool] {
        &self.pools
    }

    pub(super) fn protocol(&self) -> Protocol {
        match self.protocol {
            Driver::Nas(_) => Protocol::File,
            Driver::San { .. } => Protocol::Block,
        }
    }

    pub(super) fn largest(&self) -> u64 {
        match self.protocol {
            Driver::Nas(_) => {
                LARGEST_FLEXVOL / 100 * (100 - u64::from(self.defaults.snapshot_reserve.min(90)))
            }
            Driver::San { .. } => LARGEST_LUN,
        }
    }

    pub(super) fn default_filesystem(&self) -> FsType {
        self.defaults.filesystem
    }

    pub(super) fn chap(&self) -> Option<ChapCredentials> {
        match &self.protocol {
            Driver::Nas(_) => None,
            Driver::San { chap, .. } => chap.clone(),
        }
    }

    pub(super) async fn ensure_volume(&self, spec: &VolumeSpec) -> Result<Provisioned, ArrayError> {
        match &self.protocol {
            Driver::Nas(nas) => self.ensure_export(nas, spec).await,
            Driver::San { .. } => self.ensure_lun(spec).await,
        }
    }

    pub(super) async fn ensure_copy(
        &self,
        spec: &VolumeSpec,
        origin: &Origin,
    ) -> Result<Provisioned, ArrayError> {
        match &self.protocol {
            Driver::Nas(nas) => self.ensure_export_copy(nas, spec, origin).await,
            Driver::San { .. } => self.ensure_lun_copy(spec, origin).await,
        }
    }

    pub(super) async fn ensure_size(&self, volume: &VolumeRecord, size: u64) -> Result<u64, ArrayError> {
        let found = self.require_flexvol(&volume.internal_name, &volume.id).await?;
        match &self.protocol {
            Driver::Nas(_) => self.ensure_room(&found, size).await.map(|()| size),
            Driver::San { .. } => self.ensure_lun_size(&found, size).await,
        }
    }

    pub(super) async fn ensure_snapshot(
        &self,
        volume: &VolumeRecord,
        spec: &SnapshotSpec,
    ) -> Result<Taken, ArrayError> {
        self.take_snapshot(volume, spec).await
    }

    pub(super) async fn ensure_no_snapshot(
        &self,
        volume: &VolumeRecord,
        snapshot: &SnapshotRecord,
    ) -> Result<(), ArrayError> {
        self.drop_snapshot(volume, snapshot).await
    }

    pub(super) async fn ensure_no_volume(&self, volume: &VolumeRecord) -> Result<(), ArrayError> {
        self.ensure_no_flexvol(&volume.internal_name, &volume.id).await?;
        match &self.protocol {
            Driver::Nas(nas) => self.ensure_no_policy(nas, &volume.internal_name).await,
            Driver::San { .. } => Ok(()),
        }
    }

    pub(super) async fn ensure_access(
        &self,
        volume: &VolumeRecord,
        guest: &Guest,
        others: &[Guest],
    ) -> Result<PublishContext, ArrayError> {
        match &self.protocol {
            Driver::Nas(nas) => self.ensure_exported(nas, volume, guest, others).await,
            Driver::San { target, chap } => self.ensure_mapped(target, chap.is_some(), volume, guest).await,
        }
    }

    pub(super) async fn ensure_no_access(
        &self,
        volume: &VolumeRecord,
        guest: &Guest,
        others: &[Guest],
    ) -> Result<(), ArrayError> {
        match &self.protocol {
            Driver::Nas(nas) => self.ensure_not_exported(nas, volume, guest, others).await,
            Driver::San { .. } => self.ensure_not_mapped(volume, guest).await,
        }
    }
}

/// A mark as it stands in a comment.
fn mark_text(mark: &impl serde::Serialize) -> Result<String, ArrayError> {
    serde_json::to_string(mark)
        .map_err(|error| ArrayError::Unexpected { call: "comment".to_owned(), problem: error.to_string() })
}

/// What the array makes of a size.
pub(super) fn rounded(size: u64) -> u64 {
    round_up(size.max(MINIMUM_VOLUME), BLOCK)
}
