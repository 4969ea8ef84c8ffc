//! `/application/consistency-groups` and their snapshots.

use serde_json::{Value, json};
use uuid::Uuid;

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::{set, svm_reference, time, volume_reference};
use crate::state::consistency_group::{
    ConsistencyGroup, GroupPatch, GroupSnapshot, GroupSnapshotSpec, Member,
};
use crate::state::volume::{Guarantee, Kind, Style, VolumePatch, VolumeSpec};
use crate::state::{Cluster, Refusal, SvmId, VolumeId};

pub(super) const GROUPS: Resource = Resource {
    path: "application/consistency-groups",
    keys: &["uuid"],
    always: &["uuid", "name", "svm.name", "svm.uuid"],
    readable: &[
        "uuid",
        "name",
        "replicated",
        "svm.name",
        "svm.uuid",
        "space.size",
        "space.used",
        "space.available",
        "volumes.name",
        "volumes.uuid",
        "volumes.space.size",
        "volumes.space.used",
        "volumes.space.available",
    ],
    creatable: &[
        "name",
        "svm.name",
        "svm.uuid",
        "volumes.name",
        "volumes.uuid",
        "volumes.comment",
        "volumes.space.size",
        "volumes.nas.path",
        "volumes.provisioning_options.action",
        "volumes.provisioning_options.count",
    ],
    modifiable: &[
        "name",
        "restore_to.snapshot.name",
        "restore_to.snapshot.uuid",
        "volumes.name",
        "volumes.uuid",
        "volumes.comment",
        "volumes.space.size",
        "volumes.nas.path",
        "volumes.provisioning_options.action",
        "volumes.provisioning_options.count",
    ],
    asynchronous: true,
    list: Some(groups),
    create: Some(create),
    modify: Some(modify),
    delete: Some(delete),
    ..NOTHING
};

pub(super) const SNAPSHOTS: Resource = Resource {
    path: "application/consistency-groups/{consistency_group.uuid}/snapshots",
    keys: &["uuid"],
    always: &["uuid", "name", "consistency_group.name", "consistency_group.uuid"],
    readable: &[
        "uuid",
        "name",
        "comment",
        "consistency_type",
        "create_time",
        "is_partial",
        "snapmirror_label",
        "svm.name",
        "svm.uuid",
        "consistency_group.name",
        "consistency_group.uuid",
        "missing_volumes.name",
        "missing_volumes.uuid",
        "snapshot_volumes.volume.name",
        "snapshot_volumes.volume.uuid",
        "snapshot_volumes.snapshot.name",
        "snapshot_volumes.snapshot.uuid",
    ],
    creatable: &["name", "comment", "consistency_type", "snapmirror_label", "svm.name", "svm.uuid"],
    asynchronous: true,
    list: Some(snapshots),
    create: Some(take),
    delete: Some(delete_snapshot),
    ..NOTHING
};

fn groups(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let wanted =
        |group: &&ConsistencyGroup| scope.admits("uuid", group.id) && scope.admits("name", &group.name);
    Ok(cluster.consistency_groups.values().filter(wanted).map(|group| record(cluster, group)).collect())
}

fn record(cluster: &Cluster, group: &ConsistencyGroup) -> Value {
    let space =
        |size: u64, used: u64| json!({ "size": size, "used": used, "available": size.saturating_sub(used) });
    let (mut size, mut used) = (0_u64, 0_u64);
    let mut volumes = Vec::with_capacity(group.volumes.len());
    for volume in group.volumes.iter().filter_map(|id| cluster.volumes.get(id)) {
        let own = cluster.used_by_volume(volume.id);
        (size, used) = (size.saturating_add(volume.size), used.saturating_add(own));
        let (name, uuid) = (&volume.name, volume.id.to_string());
        volumes.push(json!({ "name": name, "uuid": uuid, "space": space(volume.size, own) }));
    }
    json!({
        "uuid": group.id.to_string(),
        "name": group.name,
        "svm": svm_reference(cluster, group.svm),
        "replicated": false,
        "space": space(size, used),
        "volumes": volumes,
    })
}

fn create(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let svm = scope.require_svm(cluster, body)?.id;
    let mut members = Vec::new();
    for volume in body.objects("volumes")? {
        members.push(member(cluster, svm, &volume, body)?);
    }
    let id = cluster.create_consistency_group(svm, &body.required_text("name")?, members)?;
    Ok(vec![id.to_string()])
}

/// A volume that is there comes with the action `add`; without it one is made, of the size given.
fn member(cluster: &Cluster, svm: SvmId, volume: &Body, group: &Body) -> Result<Member, Refusal> {
    match volume.text("provisioning_options.action")?.as_deref() {
        Some("add") => Ok(Member::There(named_volume(cluster, svm, volume)?)),
        None | Some("create") => {
            let count = volume.integer("provisioning_options.count")?;
            if count.is_some_and(|count| count != 1) {
                return Err(Refusal::invalid("volumes.provisioning_options.count", "not 1"));
            }
            let name = match volume.text("name")? {
                Some(name) => name,
                None => group.required_text("name")?,
            };
            // Thin, on the first aggregate of the SVM: the array chooses by load.
            let aggregates = cluster.find_svm(svm).map(|svm| svm.aggregates.clone()).unwrap_or_default();
            let aggregate = aggregates.first().copied().or_else(|| cluster.aggregates.keys().next().copied());
            let size =
                volume.integer("space.size")?.ok_or_else(|| Refusal::required("volumes.space.size"))?;
            Ok(Member::New(Box::new(VolumeSpec {
                name,
                svm,
                aggregate: aggregate.ok_or_else(|| Refusal::required("aggregates"))?,
                style: Style::FlexVol,
                kind: Kind::ReadWrite,
                size: Some(size),
                guarantee: Some(Guarantee::None),
                snapshot_reserve: None,
                settings: VolumePatch {
                    comment: volume.text("comment")?,
                    junction: volume.text("nas.path")?,
                    ..VolumePatch::default()
                },
            })))
        }
        Some(other) => Err(Refusal::invalid("volumes.provisioning_options.action", other)),
    }
}

fn named_volume(cluster: &Cluster, svm: SvmId, volume: &Body) -> Result<VolumeId, Refusal> {
    let found = match (volume.text("uuid")?, volume.text("name")?) {
        (Some(uuid), _) => uuid.parse().ok().and_then(|uuid| cluster.volumes.get(&VolumeId(uuid))),
        (None, Some(name)) => cluster.find_volume_named(svm, &name),
        (None, None) => return Err(Refusal::required("volumes.name")),
    };
    let found = found.filter(|volume| volume.svm == svm).map(|volume| volume.id);
    found.ok_or_else(|| {
        Refusal::missing(918_235, "A volume of the consistency group was not found").about("volumes")
    })
}

fn modify(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let id = uuid(scope.key(0))?;
    let svm = cluster.consistency_groups.get(&id).ok_or_else(Refusal::no_entry)?.svm;
    let snapshot = body.text("restore_to.snapshot.name")?.or(body.text("restore_to.snapshot.uuid")?);
    if let Some(snapshot) = snapshot {
        return cluster.restore_consistency_group(id, &snapshot);
    }
    let mut patch = GroupPatch { name: body.text("name")?, ..GroupPatch::default() };
    for volume in body.objects("volumes")? {
        if volume.text("provisioning_options.action")?.as_deref() == Some("remove") {
            patch.removed.push(named_volume(cluster, svm, &volume)?);
        } else {
            patch.added.push(member(cluster, svm, &volume, body)?);
        }
    }
    cluster.modify_consistency_group(id, patch)
}

fn delete(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_consistency_group(uuid(scope.key(0))?)
}

/// The group that a path leads through.
fn above<'c>(cluster: &'c Cluster, scope: &Scope<'_>) -> Result<&'c ConsistencyGroup, Refusal> {
    cluster.consistency_groups.get(&uuid(scope.parent(0))?).ok_or_else(Refusal::no_entry)
}

fn snapshots(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let group = above(cluster, scope)?;
    let all = cluster.group_snapshots.tagged(&group.id);
    Ok(all.map(|snapshot| snapshot_record(cluster, group, snapshot)).collect())
}

fn snapshot_record(cluster: &Cluster, group: &ConsistencyGroup, snapshot: &GroupSnapshot) -> Value {
    let there = cluster.members_of(snapshot);
    let members: Vec<_> = there
        .iter()
        .map(|(volume, member)| {
            let snapshot = json!({ "name": snapshot.name, "uuid": member.to_string() });
            json!({ "volume": volume_reference(cluster, *volume), "snapshot": snapshot })
        })
        .collect();
    let gone = snapshot.members.iter().filter(|member| !there.contains(member));
    let missing: Vec<_> = gone.map(|(volume, _)| volume_reference(cluster, *volume)).collect();
    json!({
        "uuid": snapshot.id.to_string(),
        "name": snapshot.name,
        "comment": set(&snapshot.comment),
        "consistency_type": snapshot.consistency,
        "create_time": time(snapshot.created),
        "is_partial": !missing.is_empty(),
        "snapmirror_label": set(&snapshot.label),
        "svm": svm_reference(cluster, group.svm),
        "consistency_group": { "name": group.name, "uuid": group.id.to_string() },
        "missing_volumes": if missing.is_empty() { Value::Null } else { Value::Array(missing) },
        "snapshot_volumes": members,
    })
}

fn take(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let group = above(cluster, scope)?.id;
    let consistency = body.text("consistency_type")?.unwrap_or_else(|| "crash".into());
    if !["crash", "application"].contains(&consistency.as_str()) {
        return Err(Refusal::invalid("consistency_type", &consistency));
    }
    let spec = GroupSnapshotSpec {
        group,
        name: body.required_text("name")?,
        comment: body.text("comment")?.unwrap_or_default(),
        label: body.text("snapmirror_label")?.unwrap_or_default(),
        consistency,
    };
    Ok(vec![cluster.create_group_snapshot(spec)?.to_string()])
}

fn delete_snapshot(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    above(cluster, scope)?;
    cluster.delete_group_snapshot(uuid(scope.key(0))?)
}

fn uuid(text: &str) -> Result<Uuid, Refusal> {
    text.parse().map_err(|_| Refusal::no_entry())
}
