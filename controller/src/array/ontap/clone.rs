//! FlexClones: volumes that begin as another one and share its blocks, and their split from a parent
//! that is to go.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Ontap;
use super::client::{code, tolerate};
use super::flexvol::FlexVol;
use crate::array::{ArrayError, Origin, VolumeSpec};

/// A clone as its parent sees it.
#[derive(Debug, Deserialize)]
struct Child {
    uuid: String,
    name: String,
    #[serde(default)]
    comment: String,
}

impl Ontap {
    /// Makes the FlexVol as a clone; `settings` is what is to differ from its parent (the `nas`
    /// property, if it is to be mounted). An array that does not take the comment of a new clone
    /// leaves it with its parent's, or none: one of that name, parent and comment is ours too.
    pub(super) async fn ensure_clone(
        &self,
        spec: &VolumeSpec,
        origin: &Origin,
        settings: Map<String, Value>,
    ) -> Result<FlexVol, ArrayError> {
        let name = &spec.internal_name;
        let parent = self.require_flexvol(&origin.volume.internal_name, &origin.volume.id).await?;
        let found = match self.find_flexvol(name).await? {
            Some(found) => found,
            None => {
                let mut clone = json!({ "is_flexclone": true, "parent_volume": { "name": parent.name } });
                if let (Some(snapshot), Some(clone)) = (&origin.snapshot, clone.as_object_mut()) {
                    clone.insert("parent_snapshot".to_owned(), json!({ "name": snapshot.internal_name }));
                }
                let body = json!({
                    "name": name,
                    "svm": { "uuid": self.svm_uuid },
                    "comment": self.comment(&spec.id)?,
                    "clone": clone,
                });
                let made = self.client.post("storage/volumes", &[], body).await;
                tolerate(made, &[code::VOLUME_EXISTS, code::DUPLICATE])?;
                let found = self.find_flexvol(name).await?;
                found.ok_or_else(|| ArrayError::Missing { what: self.shown(name) })?
            }
        };
        let unmarked = found.comment.is_empty() || found.comment == parent.comment;
        let begun = unmarked && found.clone.parent_volume.name == parent.name;
        if !begun {
            self.require_ours(name, &spec.id, &found)?;
        }
        let mut amended = settings;
        if begun {
            amended.insert("comment".to_owned(), self.comment(&spec.id)?.into());
        }
        if !amended.is_empty() {
            let path = format!("storage/volumes/{}", found.uuid);
            self.client.patch(&path, amended.into()).await?;
        }
        self.require_flexvol(name, &spec.id).await
    }

    /// Makes every clone of the volume, or of one of its snapshots, independent of it: the array
    /// deletes no parent of a clone. Clones of others are not ours to change.
    pub(super) async fn split_clones(
        &self,
        parent: &FlexVol,
        snapshot: Option<&str>,
    ) -> Result<(), ArrayError> {
        let mut query = vec![
            ("svm.uuid", self.svm_uuid.as_str()),
            ("clone.parent_volume.name", parent.name.as_str()),
            ("fields", "uuid,name,comment"),
        ];
        query.extend(snapshot.map(|snapshot| ("clone.parent_snapshot.name", snapshot)));
        let children: Vec<Child> = self.client.records("storage/volumes", &query).await?;
        // What anybody makes of our volume has our mark for that volume, with the rest of its comment.
        let ours =
            |child: &Child| child.comment != parent.comment && self.is_of_this_controller(&child.comment);
        if let Some(other) = children.iter().find(|child| !ours(child)) {
            let reason = format!(
                "volume {} of SVM {}, which this controller did not make, is a clone of {}: split or delete it there",
                other.name, self.svm_name, parent.name
            );
            return Err(ArrayError::InUse { reason });
        }
        for child in children {
            tracing::info!(
                clone = child.name,
                parent = parent.name,
                "splitting a clone from its parent, which is to go"
            );
            let path = format!("storage/volumes/{}", child.uuid);
            let split = json!({ "clone": { "split_initiated": true } });
            tolerate(self.client.patch(&path, split).await, &[code::NO_CLONE, code::MISSING])?;
        }
        Ok(())
    }
}
