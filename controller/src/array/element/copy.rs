//! Snapshots of volumes, clones of both, and growth. A clone is whole and independent at once.

use contract::SnapshotId;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::refusal_name;
use super::{Created, Element, full, known_id};
use crate::array::{ArrayError, Origin, Provisioned, SnapshotSpec, Taken, VolumeSpec};
use crate::store::{SnapshotRecord, VolumeRecord};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Snapshot {
    #[serde(rename = "snapshotID")]
    id: u64,
    name: String,
    create_time: Timestamp,
    #[serde(default)]
    attributes: Value,
}

#[derive(Debug, Deserialize)]
struct Snapshots {
    #[serde(default)]
    snapshots: Vec<Snapshot>,
}

impl Element {
    pub(in crate::array) async fn ensure_copy(
        &self,
        spec: &VolumeSpec,
        origin: &Origin,
    ) -> Result<Provisioned, ArrayError> {
        let id = match self.find_by_name(&spec.internal_name, &spec.id).await? {
            Some(found) => found.id,
            None => self.make_clone(spec, origin).await?,
        };
        let volume = self.await_active(id, &spec.internal_name).await?;
        // A clone has the rates of what it was made of, and the size where none was named.
        let mut amended = serde_json::Map::new();
        if let Some(qos) = self.qos_of(&spec.pool) {
            amended.insert("qos".to_owned(), qos);
        }
        if volume.total_size < spec.size {
            amended.insert("totalSize".to_owned(), spec.size.into());
        }
        if amended.is_empty() {
            return Ok(Provisioned { array_id: id.to_string(), size: volume.total_size });
        }
        amended.insert("volumeID".to_owned(), id.into());
        let changed = self.client.call::<Value>("ModifyVolume", amended.into()).await;
        changed.map_err(|error| full(error, &spec.pool))?;
        Ok(Provisioned { array_id: id.to_string(), size: volume.total_size.max(spec.size) })
    }

    /// The mark goes with the call: a clone that is there without it was never ours.
    async fn make_clone(&self, spec: &VolumeSpec, origin: &Origin) -> Result<u64, ArrayError> {
        let source = self.require(&origin.volume).await?;
        let mut params = json!({
            "volumeID": source.id,
            "name": spec.internal_name,
            "newAccountID": self.account,
            "newSize": spec.size.max(source.total_size),
            "access": "locked",
            "attributes": self.attributes(spec),
        });
        if let Some(snapshot) = &origin.snapshot {
            let found = self.find_snapshot(source.id, &snapshot.internal_name, &snapshot.id).await?;
            let found = found.ok_or_else(|| ArrayError::Missing {
                what: format!("snapshot {} of volume {}", snapshot.internal_name, source.name),
            })?;
            if let Some(params) = params.as_object_mut() {
                params.insert("snapshotID".to_owned(), found.id.into());
            }
        }
        let made: Created =
            self.client.call("CloneVolume", params).await.map_err(|error| full(error, &spec.pool))?;
        Ok(made.id)
    }

    pub(in crate::array) async fn ensure_size(
        &self,
        volume: &VolumeRecord,
        size: u64,
    ) -> Result<u64, ArrayError> {
        let found = self.require(volume).await?;
        if found.total_size >= size {
            return Ok(found.total_size);
        }
        let params = json!({ "volumeID": found.id, "totalSize": size });
        let changed = self.client.call::<Value>("ModifyVolume", params).await;
        changed.map_err(|error| full(error, &volume.pool))?;
        Ok(self.require(volume).await?.total_size)
    }

    pub(in crate::array) async fn ensure_snapshot(
        &self,
        volume: &VolumeRecord,
        spec: &SnapshotSpec,
    ) -> Result<Taken, ArrayError> {
        let source = self.require(volume).await?;
        let found = match self.find_snapshot(source.id, &spec.internal_name, &spec.id).await? {
            Some(found) => found,
            None => {
                let params = json!({
                    "volumeID": source.id,
                    "name": spec.internal_name,
                    "attributes": {
                        "tine-controller": self.owner.controller,
                        "tine-snapshot": spec.id,
                    },
                });
                self.client
                    .call::<Value>("CreateSnapshot", params)
                    .await
                    .map_err(|error| full(error, &volume.pool))?;
                let found = self.find_snapshot(source.id, &spec.internal_name, &spec.id).await?;
                found.ok_or_else(|| ArrayError::Missing {
                    what: format!("snapshot {} of volume {}", spec.internal_name, source.name),
                })?
            }
        };
        Ok(Taken { array_id: found.id.to_string(), at: found.create_time })
    }

    pub(in crate::array) async fn ensure_no_snapshot(
        &self,
        volume: &VolumeRecord,
        snapshot: &SnapshotRecord,
    ) -> Result<(), ArrayError> {
        let source = match known_id(volume) {
            Some(id) => self.find_by_id(id).await?,
            None => self.find_by_name(&volume.internal_name, &volume.id).await?,
        };
        // With its volume a snapshot is gone.
        let Some(source) = source else { return Ok(()) };
        self.require_ours(&source, &volume.id)?;
        let found = self.find_snapshot(source.id, &snapshot.internal_name, &snapshot.id).await?;
        let Some(found) = found else { return Ok(()) };
        match self.client.call::<Value>("DeleteSnapshot", json!({ "snapshotID": found.id })).await {
            Err(error) if refusal_name(&error) == Some("xSnapshotIDDoesNotExist") => Ok(()),
            other => other.map(drop),
        }
    }

    /// Names of snapshots are not unique: ours is the one that carries our mark.
    async fn find_snapshot(
        &self,
        volume: u64,
        name: &str,
        id: &SnapshotId,
    ) -> Result<Option<Snapshot>, ArrayError> {
        let found: Snapshots = self.client.call("ListSnapshots", json!({ "volumeID": volume })).await?;
        Ok(found.snapshots.into_iter().find(|snapshot| {
            let attribute = |name: &str| snapshot.attributes.get(name).and_then(Value::as_str);
            snapshot.name == name
                && attribute("tine-controller") == Some(self.owner.controller.to_string().as_str())
                && attribute("tine-snapshot") == Some(id.as_str())
        }))
    }
}
