//! Snapshots of FlexVols, recognised as ours by the mark in their comment.

use contract::SnapshotId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::client::{code, tolerate};
use super::{Ontap, mark_text};
use crate::array::{ArrayError, SnapshotSpec, Taken};
use crate::store::{SnapshotRecord, VolumeRecord};

#[derive(Debug, Deserialize)]
struct Snapshot {
    uuid: String,
    name: String,
    #[serde(default)]
    comment: String,
    create_time: Timestamp,
}

/// What stands in the comment of a snapshot of ours.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Comment {
    tine: Mark,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    controller: Uuid,
    snapshot: SnapshotId,
}

impl Ontap {
    pub(super) async fn take_snapshot(
        &self,
        volume: &VolumeRecord,
        spec: &SnapshotSpec,
    ) -> Result<Taken, ArrayError> {
        let parent = self.require_flexvol(&volume.internal_name, &volume.id).await?;
        let found = match self.find_snapshot(&parent.uuid, &spec.internal_name).await? {
            Some(found) => found,
            None => {
                let comment = mark_text(&Comment { tine: self.snapshot_mark(&spec.id) })?;
                let body = json!({ "name": spec.internal_name, "comment": comment });
                let taken = self.client.post(&snapshots_of(&parent.uuid), &[], body).await;
                // Somebody was faster, perhaps we ourselves before an answer was lost: look who.
                tolerate(taken, &[code::SNAPSHOT_EXISTS, code::DUPLICATE])?;
                let found = self.find_snapshot(&parent.uuid, &spec.internal_name).await?;
                found.ok_or_else(|| ArrayError::Missing {
                    what: format!("snapshot {} of {}", spec.internal_name, self.shown(&volume.internal_name)),
                })?
            }
        };
        self.require_our_snapshot(&found, &spec.id, volume)?;
        Ok(Taken { array_id: found.uuid, at: found.create_time })
    }

    pub(super) async fn drop_snapshot(
        &self,
        volume: &VolumeRecord,
        snapshot: &SnapshotRecord,
    ) -> Result<(), ArrayError> {
        // With its volume a snapshot is gone.
        let Some(parent) = self.find_flexvol(&volume.internal_name).await? else { return Ok(()) };
        self.require_ours(&volume.internal_name, &volume.id, &parent)?;
        let Some(found) = self.find_snapshot(&parent.uuid, &snapshot.internal_name).await? else {
            return Ok(());
        };
        self.require_our_snapshot(&found, &snapshot.id, volume)?;
        self.split_clones(&parent, Some(&snapshot.internal_name)).await?;
        let path = format!("{}/{}", snapshots_of(&parent.uuid), found.uuid);
        tolerate(self.client.delete(&path).await, &[code::MISSING, code::SNAPSHOT_MISSING])
    }

    async fn find_snapshot(&self, volume: &str, name: &str) -> Result<Option<Snapshot>, ArrayError> {
        let query = [("name", name), ("fields", "uuid,name,comment,create_time")];
        let found: Vec<Snapshot> = self.client.records(&snapshots_of(volume), &query).await?;
        Ok(found.into_iter().find(|snapshot| snapshot.name == name))
    }

    fn snapshot_mark(&self, id: &SnapshotId) -> Mark {
        Mark { controller: self.owner.controller, snapshot: id.clone() }
    }

    fn require_our_snapshot(
        &self,
        found: &Snapshot,
        id: &SnapshotId,
        volume: &VolumeRecord,
    ) -> Result<(), ArrayError> {
        match serde_json::from_str::<Comment>(&found.comment) {
            Ok(comment) if comment.tine == self.snapshot_mark(id) => Ok(()),
            _ => {
                let volume = self.shown(&volume.internal_name);
                Err(ArrayError::Foreign { name: format!("snapshot {} of {volume}", found.name) })
            }
        }
    }
}

fn snapshots_of(volume: &str) -> String {
    format!("storage/volumes/{volume}/snapshots")
}
