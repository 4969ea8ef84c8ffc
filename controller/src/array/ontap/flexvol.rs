//! FlexVols: found by name, recognised by the mark in their comment.

use std::time::Duration;

use contract::VolumeId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::{code, tolerate};
use super::{BLOCK, Ontap, mark_text};
use crate::array::{ArrayError, VolumeSpec, round_up};
use crate::backend::config::SpaceReserve;

/// A volume that is busy becomes free soon or not at all.
const BUSY_DEADLINE: Duration = Duration::from_secs(60);
const BUSY_PAUSE: Duration = Duration::from_secs(2);

/// A FlexVol as far as it matters here.
#[derive(Debug, Deserialize)]
pub(super) struct FlexVol {
    pub(super) uuid: String,
    pub(super) name: String,
    /// Bytes, with the snapshot reserve.
    #[serde(default)]
    pub(super) size: u64,
    #[serde(default)]
    pub(super) comment: String,
    #[serde(default)]
    pub(super) nas: Nas,
    #[serde(default)]
    pub(super) clone: CloneOf,
}

/// What a FlexClone is a clone of.
#[derive(Debug, Default, Deserialize)]
pub(super) struct CloneOf {
    #[serde(default)]
    pub(super) is_flexclone: bool,
    #[serde(default)]
    pub(super) parent_volume: Named,
}

/// How a FlexVol appears to NFS clients.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Nas {
    /// Junction path; empty while it is not mounted.
    #[serde(default)]
    pub(super) path: String,
    #[serde(default)]
    pub(super) export_policy: Named,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Named {
    #[serde(default)]
    pub(super) name: String,
}

/// What stands in the comment of a volume of ours.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Comment {
    tine: Mark,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    controller: Uuid,
    volume: VolumeId,
}

impl Ontap {
    pub(super) async fn find_flexvol(&self, name: &str) -> Result<Option<FlexVol>, ArrayError> {
        let query = [
            ("svm.uuid", self.svm_uuid.as_str()),
            ("name", name),
            (
                "fields",
                "uuid,name,size,comment,nas.path,nas.export_policy.name,clone.is_flexclone,clone.parent_volume.name",
            ),
        ];
        Ok(self
            .client
            .records("storage/volumes", &query)
            .await?
            .into_iter()
            .find(|volume: &FlexVol| volume.name == name))
    }

    /// The FlexVol of a volume, which must be there and be ours.
    pub(super) async fn require_flexvol(&self, name: &str, id: &VolumeId) -> Result<FlexVol, ArrayError> {
        let found = self.find_flexvol(name).await?;
        let found = found.ok_or_else(|| ArrayError::Missing { what: self.shown(name) })?;
        self.require_ours(name, id, &found)?;
        Ok(found)
    }

    /// Makes the FlexVol with room for `size` bytes past the snapshot reserve; `nas` is its `nas` property, if it
    /// is to be mounted.
    pub(super) async fn ensure_flexvol(
        &self,
        spec: &VolumeSpec,
        size: u64,
        nas: Option<Value>,
    ) -> Result<FlexVol, ArrayError> {
        let name = &spec.internal_name;
        if let Some(found) = self.find_flexvol(name).await? {
            self.require_ours(name, &spec.id, &found)?;
            return Ok(found);
        }
        let defaults = &self.defaults;
        let guarantee = match defaults.space_reserve {
            SpaceReserve::None => "none",
            SpaceReserve::Volume => "volume",
        };
        let mut body = json!({
            "name": name,
            "svm": { "uuid": self.svm_uuid },
            "aggregates": [{ "name": spec.pool }],
            "size": self.with_reserve(size),
            "style": "flexvol",
            "comment": self.comment(&spec.id)?,
            "guarantee": { "type": guarantee },
            "snapshot_policy": { "name": defaults.snapshot_policy },
            "snapshot_directory_access_enabled": defaults.snapshot_dir,
            "space": { "snapshot": { "reserve_percent": defaults.snapshot_reserve.min(90) } },
        });
        if let (Some(nas), Some(body)) = (nas, body.as_object_mut()) {
            body.insert("nas".to_owned(), nas);
        }
        let made = self.client.post("storage/volumes", &[], body).await.map_err(|error| match error {
            ArrayError::Refused { code, message, .. } if code::AGGREGATE_FULL.contains(&code.as_str()) => {
                ArrayError::Full { pool: spec.pool.clone(), code, message }
            }
            other => other,
        });
        // Somebody was faster, perhaps we ourselves before an answer was lost: look who.
        tolerate(made, &[code::VOLUME_EXISTS, code::DUPLICATE])?;
        self.require_flexvol(name, &spec.id).await
    }

    /// Bytes of a FlexVol that has room for `size` bytes past its snapshot reserve.
    fn with_reserve(&self, size: u64) -> u64 {
        let reserve = u64::from(self.defaults.snapshot_reserve.min(90));
        round_up(size.saturating_mul(100).div_ceil(100 - reserve), BLOCK)
    }

    /// Makes the FlexVol large enough for `size` bytes past the snapshot reserve, or finds it so.
    pub(super) async fn ensure_room(&self, found: &FlexVol, size: u64) -> Result<(), ArrayError> {
        let wanted = self.with_reserve(size);
        if found.size >= wanted {
            return Ok(());
        }
        let path = format!("storage/volumes/{}", found.uuid);
        self.client.patch(&path, json!({ "size": wanted })).await.map_err(|error| match error {
            ArrayError::Refused { code, message, .. } if code::AGGREGATE_FULL.contains(&code.as_str()) => {
                ArrayError::Full { pool: self.shown(&found.name), code, message }
            }
            other => other,
        })
    }

    pub(super) async fn ensure_no_flexvol(&self, name: &str, id: &VolumeId) -> Result<(), ArrayError> {
        let Some(found) = self.find_flexvol(name).await? else { return Ok(()) };
        self.require_ours(name, id, &found)?;
        self.split_clones(&found, None).await?;
        // A deleted clone that waits in the recovery queue would hold its parent there for hours.
        let force = if found.clone.is_flexclone { "?force=true" } else { "" };
        let path = format!("storage/volumes/{}{force}", found.uuid);
        let started = tokio::time::Instant::now();
        loop {
            match self.client.delete(&path).await {
                Err(ArrayError::Refused { code, .. })
                    if code == code::VOLUME_BUSY && started.elapsed() < BUSY_DEADLINE =>
                {
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                other => return tolerate(other, &[code::MISSING]),
            }
        }
    }

    pub(super) fn comment(&self, id: &VolumeId) -> Result<String, ArrayError> {
        mark_text(&Comment { tine: Mark { controller: self.owner.controller, volume: id.clone() } })
    }

    /// Whether a comment marks a volume of this controller, whichever.
    pub(super) fn is_of_this_controller(&self, comment: &str) -> bool {
        serde_json::from_str::<Comment>(comment)
            .is_ok_and(|comment| comment.tine.controller == self.owner.controller)
    }

    pub(super) fn require_ours(&self, name: &str, id: &VolumeId, found: &FlexVol) -> Result<(), ArrayError> {
        let wanted = Mark { controller: self.owner.controller, volume: id.clone() };
        match serde_json::from_str::<Comment>(&found.comment) {
            Ok(comment) if comment.tine == wanted => Ok(()),
            _ => Err(ArrayError::Foreign { name: self.shown(name) }),
        }
    }

    pub(super) fn shown(&self, name: &str) -> String {
        format!("volume {name} of SVM {}", self.svm_name)
    }
}
