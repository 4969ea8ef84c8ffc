//! `/storage/volumes`.

use super::super::body::Body;
use super::super::resource::{NOTHING, Records, Resource, Scope};
use super::volume_body::{clone_spec, patch, spec};
use super::volume_record::record;
use crate::state::volume::{Volume, VolumeTag};
use crate::state::{Cluster, Refusal, VolumeId};

pub(super) const VOLUMES: Resource = Resource {
    path: "storage/volumes",
    keys: &["uuid"],
    always: &["uuid", "name", "svm.name", "svm.uuid"],
    // From the API reference's list of expensive properties, as far as we have them.
    expensive: &[
        "is_svm_root",
        "activity_tracking",
        "analytics",
        "autosize",
        "clone",
        "constituents",
        "efficiency",
        "encryption",
        "error_state",
        "files",
        "flexgroup",
        "guarantee",
        "movement",
        "nas.gid",
        "nas.path",
        "nas.security_style",
        "nas.uid",
        "nas.unix_permissions",
        "nas.export_policy.id",
        "nas.junction_parent",
        "qos",
        "quota",
        "snaplock",
        "space.logical_space",
        "space.snapshot",
    ],
    readable: super::volume_record::READABLE,
    creatable: super::volume_body::CREATABLE,
    modifiable: super::volume_body::MODIFIABLE,
    flags: &[
        "force",
        "nvfail",
        "sizing_method",
        "restore_to.snapshot.name",
        "restore_to.snapshot.uuid",
        "clone.match_parent_storage_tier",
    ],
    asynchronous: true,
    stream: Some(volumes),
    create: Some(create),
    modify: Some(modify),
    delete: Some(delete),
    ..NOTHING
};

fn volumes<'c>(cluster: &'c Cluster, scope: &'c Scope<'_>) -> Records<'c> {
    let rows = scope.rows(cluster, &cluster.volumes, VolumeId, VolumeTag::Named, VolumeTag::Of);
    let wanted = |volume: &&Volume| scope.admits("uuid", volume.id) && scope.admits("name", &volume.name);
    Box::new(rows.filter(wanted).map(|volume| record(cluster, volume, scope)))
}

fn create(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let svm = scope.require_svm(cluster, body)?.id;
    let id = match clone_spec(svm, body)? {
        Some(clone) => cluster.clone_volume(clone)?,
        None => {
            let spec = spec(cluster, svm, body)?;
            cluster.create_volume(spec)?
        }
    };
    Ok(vec![id.to_string()])
}

fn modify(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let id = target(scope)?;
    let restored = match scope.query.text("restore_to.snapshot.name") {
        Some(name) => Some(name.to_owned()),
        None => body.text("restore_to.snapshot.name")?,
    };
    let restored = match (restored, scope.query.text("restore_to.snapshot.uuid")) {
        (None, Some(uuid)) => {
            let found = cluster.snapshots_of(id).into_iter().find(|snapshot| snapshot.id.to_string() == uuid);
            Some(found.ok_or_else(Refusal::no_entry)?.name.clone())
        }
        (restored, _) => restored,
    };
    if let Some(name) = restored {
        cluster.restore_volume(id, &name)?;
    }
    let patch = patch(cluster, body)?;
    cluster.modify_volume(id, patch)?;
    if body.boolean("clone.split_initiated")? == Some(true) {
        cluster.split_clone(id)?;
    }
    Ok(())
}

fn delete(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    let force = scope.query.flag("force")?;
    cluster.delete_volume(target(scope)?, force)
}

fn target(scope: &Scope<'_>) -> Result<VolumeId, Refusal> {
    scope.key(0).parse().map(VolumeId).map_err(|_| Refusal::no_entry())
}
