//! `/storage/volumes/{volume.uuid}/snapshots`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::{set, svm_reference, time, volume_name};
use crate::state::snapshot::{Snapshot, SnapshotPatch, SnapshotSpec};
use crate::state::volume::Volume;
use crate::state::{Cluster, Refusal, SnapshotId, VolumeId};

pub(super) const SNAPSHOTS: Resource = Resource {
    path: "storage/volumes/{volume.uuid}/snapshots",
    keys: &["uuid"],
    always: &["uuid", "name", "volume.name", "volume.uuid"],
    expensive: &["reclaimable_space", "size"],
    readable: &[
        "uuid",
        "name",
        "comment",
        "create_time",
        "expiry_time",
        "owners",
        "snapmirror_label",
        "snaplock_expiry_time",
        "snaplock.expiry_time",
        "state",
        "svm.name",
        "svm.uuid",
        "version_uuid",
        "volume.name",
        "volume.uuid",
    ],
    creatable: &[
        "name",
        "comment",
        "expiry_time",
        "snapmirror_label",
        "svm.name",
        "svm.uuid",
        "volume.name",
        "volume.uuid",
    ],
    modifiable: &["name", "comment", "expiry_time", "snapmirror_label"],
    asynchronous: true,
    list: Some(snapshots),
    create: Some(create),
    modify: Some(modify),
    delete: Some(delete),
    ..NOTHING
};

fn snapshots(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let volume = require_volume(cluster, scope)?;
    let wanted =
        |snapshot: &&Snapshot| scope.admits("uuid", snapshot.id) && scope.admits("name", &snapshot.name);
    let all = cluster.snapshots_of(volume.id);
    Ok(all.into_iter().filter(wanted).map(|snapshot| record(cluster, volume, snapshot)).collect())
}

fn record(cluster: &Cluster, volume: &Volume, snapshot: &Snapshot) -> Value {
    let clones = cluster.clones_of(volume.id);
    let depends = |clone: &&Volume| clone.origin.is_some_and(|origin| origin.snapshot == snapshot.id);
    let owners = clones.iter().any(depends).then(|| json!(["volume_clone"]));
    json!({
        "uuid": snapshot.id.to_string(),
        "name": snapshot.name,
        "comment": snapshot.comment,
        "create_time": time(snapshot.created),
        "expiry_time": snapshot.expiry.map(time),
        "owners": owners,
        "snapmirror_label": set(&snapshot.label),
        "state": "valid",
        "svm": svm_reference(cluster, volume.svm),
        "version_uuid": snapshot.id.to_string(),
        "volume": { "name": volume_name(cluster, volume.id), "uuid": volume.id.to_string() },
    })
}

fn create(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let volume = require_volume(cluster, scope)?.id;
    let spec = SnapshotSpec {
        volume,
        name: body.required_text("name")?,
        comment: body.text("comment")?.unwrap_or_default(),
        label: body.text("snapmirror_label")?.unwrap_or_default(),
        expiry: moment(body, "expiry_time")?,
    };
    Ok(vec![cluster.create_snapshot(spec)?.to_string()])
}

fn modify(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let patch = SnapshotPatch {
        name: body.text("name")?,
        comment: body.text("comment")?,
        label: body.text("snapmirror_label")?,
        expiry: moment(body, "expiry_time")?,
    };
    cluster.modify_snapshot(target(scope)?, patch)
}

fn delete(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_snapshot(target(scope)?)
}

fn target(scope: &Scope<'_>) -> Result<SnapshotId, Refusal> {
    scope.key(0).parse().map(SnapshotId).map_err(|_| Refusal::no_entry())
}

fn require_volume<'c>(cluster: &'c Cluster, scope: &Scope<'_>) -> Result<&'c Volume, Refusal> {
    let id = scope.parent(0).parse().map(VolumeId).map_err(|_| Refusal::no_entry())?;
    cluster.volumes.get(&id).ok_or_else(Refusal::no_entry)
}

fn moment(body: &Body, field: &str) -> Result<Option<Timestamp>, Refusal> {
    let text = body.text(field)?.filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(|_| Refusal::invalid(field, &text))).transpose()
}
