//! `/storage/qtrees`.

use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::volume_body::{identity, mode_from_permissions, permissions_number, style_from_name, style_name};
use super::{svm_reference, volume_reference};
use crate::state::qtree::{Qtree, QtreePatch};
use crate::state::volume::Volume;
use crate::state::{Cluster, Refusal, VolumeId};

pub(super) const QTREES: Resource = Resource {
    path: "storage/qtrees",
    keys: &["volume.uuid", "id"],
    always: &["id", "name", "svm.name", "svm.uuid", "volume.name", "volume.uuid"],
    expensive: &["nas"],
    readable: &[
        "id",
        "name",
        "svm.name",
        "svm.uuid",
        "volume.name",
        "volume.uuid",
        "export_policy.name",
        "export_policy.id",
        "security_style",
        "unix_permissions",
        "user.name",
        "user.id",
        "group.name",
        "group.id",
        "path",
        "nas.path",
        "qos_policy.name",
    ],
    creatable: &[
        "name",
        "svm.name",
        "svm.uuid",
        "volume.name",
        "volume.uuid",
        "export_policy.name",
        "export_policy.id",
        "security_style",
        "unix_permissions",
        "user.name",
        "user.id",
        "group.name",
        "group.id",
        "qos_policy.name",
    ],
    modifiable: &[
        "name",
        "export_policy.name",
        "export_policy.id",
        "security_style",
        "unix_permissions",
        "user.name",
        "user.id",
        "group.name",
        "group.id",
        "qos_policy.name",
    ],
    asynchronous: true,
    list: Some(qtrees),
    create: Some(create),
    modify: Some(modify),
    delete: Some(delete),
    ..NOTHING
};

fn qtrees(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let wanted = |volume: &&Volume| {
        scope.admits("volume.uuid", volume.id)
            && (!scope.keys.is_empty() || scope.admits("volume.name", &volume.name))
    };
    let of_volume = |volume: &Volume| {
        let named = cluster.qtrees_of(volume.id).into_iter().map(|qtree| record(cluster, volume, qtree));
        std::iter::once(whole(cluster, volume)).chain(named).collect::<Vec<_>>()
    };
    Ok(cluster.volumes.values().filter(wanted).flat_map(of_volume).collect())
}

/// Qtree 0: the volume itself.
fn whole(cluster: &Cluster, volume: &Volume) -> Value {
    let itself = Qtree {
        volume: volume.id,
        id: 0,
        name: String::new(),
        policy: None,
        security_style: volume.security_style,
        mode: volume.mode,
        uid: volume.uid,
        gid: volume.gid,
        qos_policy: None,
    };
    record(cluster, volume, &itself)
}

fn record(cluster: &Cluster, volume: &Volume, qtree: &Qtree) -> Value {
    let policy = cluster.policies.get(&qtree.policy.unwrap_or(volume.policy));
    let path = qtree.path(volume);
    let path = path.as_deref().map(|path| if path == "/" { path } else { path.trim_end_matches('/') });
    json!({
        "id": qtree.id,
        "name": qtree.name,
        "svm": svm_reference(cluster, volume.svm),
        "volume": volume_reference(cluster, volume.id),
        "export_policy": policy.map(|policy| json!({ "name": policy.name, "id": policy.id })),
        "security_style": style_name(qtree.security_style),
        "unix_permissions": permissions_number(qtree.mode),
        "user": { "id": qtree.uid.to_string(), "name": owner_name(qtree.uid) },
        "group": { "id": qtree.gid.to_string(), "name": owner_name(qtree.gid) },
        "path": path,
        "nas": { "path": path },
        "qos_policy": qtree.qos_policy.as_ref().map(|name| json!({ "name": name })),
    })
}

fn owner_name(number: u32) -> String {
    if number == 0 { "root".into() } else { number.to_string() }
}

fn create(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let volume = super::require_volume(cluster, scope, body)?;
    let id = cluster.create_qtree(volume, patch(body)?)?;
    Ok(vec![volume.to_string(), id.to_string()])
}

fn modify(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let (volume, id) = target(scope)?;
    cluster.modify_qtree(volume, id, patch(body)?)
}

fn delete(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    let (volume, id) = target(scope)?;
    cluster.delete_qtree(volume, id)
}

fn target(scope: &Scope<'_>) -> Result<(VolumeId, u32), Refusal> {
    let volume = scope.key(0).parse().map(VolumeId).map_err(|_| Refusal::no_entry())?;
    Ok((volume, scope.key(1).parse().map_err(|_| Refusal::no_entry())?))
}

fn patch(body: &Body) -> Result<QtreePatch, Refusal> {
    let owner = |id: &str, name: &str| match body.text(name)?.as_deref() {
        Some("root") => Ok(Some(0)),
        Some(_) => identity(body, name),
        None => identity(body, id),
    };
    Ok(QtreePatch {
        name: body.text("name")?,
        policy: body.text("export_policy.name")?,
        policy_id: body.integer("export_policy.id")?,
        security_style: body.text("security_style")?.map(|style| style_from_name(&style)).transpose()?,
        mode: body.integer("unix_permissions")?.map(mode_from_permissions).transpose()?,
        uid: owner("user.id", "user.name")?,
        gid: owner("group.id", "group.name")?,
        qos_policy: body.text("qos_policy.name")?,
    })
}
