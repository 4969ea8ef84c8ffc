//! A volume as `/storage/volumes` shows it.

use serde_json::{Value, json};

use super::super::resource::Scope;
use super::volume_body::{permissions_number, style_name};
use super::{svm_reference, time};
use crate::state::snapshot::SnapshotTag;
use crate::state::volume::{Guarantee, Kind, Style, Volume, VolumeTag};
use crate::state::{AggregateId, Cluster};

/// Bytes a volume has for each inode it may have, when nobody says otherwise: `files.maximum` of the
/// vendor's examples divided into their sizes.
const BYTES_PER_INODE: u64 = 33_653;

/// Every field a volume can show.
pub(super) const READABLE: &[&str] = &[
    "uuid",
    "name",
    "svm.name",
    "svm.uuid",
    "style",
    "type",
    "state",
    "size",
    "language",
    "comment",
    "create_time",
    "is_svm_root",
    "msid",
    "_tags",
    "access_time_enabled",
    "activity_tracking.state",
    "aggregates.name",
    "aggregates.uuid",
    "analytics.state",
    "autosize.mode",
    "autosize.minimum",
    "autosize.maximum",
    "autosize.grow_threshold",
    "autosize.shrink_threshold",
    "clone.has_flexclone",
    "clone.is_flexclone",
    "clone.parent_snapshot.name",
    "clone.parent_snapshot.uuid",
    "clone.parent_svm.name",
    "clone.parent_svm.uuid",
    "clone.parent_volume.name",
    "clone.parent_volume.uuid",
    "clone.split_complete_percent",
    "clone.split_estimate",
    "clone.split_initiated",
    "cloud_retrieval_policy",
    "constituents.name",
    "constituents.aggregates.name",
    "constituents.aggregates.uuid",
    "constituents.space.size",
    "constituents_per_aggregate",
    "efficiency.compaction",
    "efficiency.compression",
    "efficiency.cross_volume_dedupe",
    "efficiency.dedupe",
    "efficiency.policy.name",
    "efficiency.state",
    "encryption.enabled",
    "encryption.state",
    "encryption.type",
    "error_state.is_inconsistent",
    "error_state.has_bad_blocks",
    "files.maximum",
    "files.used",
    "flexcache_endpoint_type",
    "flexgroup.name",
    "flexgroup.uuid",
    "guarantee.honored",
    "guarantee.type",
    "movement.destination_aggregate.name",
    "movement.destination_aggregate.uuid",
    "movement.percent_complete",
    "movement.state",
    "nas.export_policy.id",
    "nas.export_policy.name",
    "nas.gid",
    "nas.junction_parent.name",
    "nas.junction_parent.uuid",
    "nas.path",
    "nas.security_style",
    "nas.uid",
    "nas.unix_permissions",
    "qos.policy.name",
    "quota.enabled",
    "quota.state",
    "snaplock.type",
    "snapmirror.is_protected",
    "snapshot_count",
    "snapshot_directory_access_enabled",
    "snapshot_locking_enabled",
    "snapshot_policy.name",
    "snapshot_policy.uuid",
    "space.available",
    "space.available_percent",
    "space.afs_total",
    "space.filesystem_size",
    "space.footprint",
    "space.fractional_reserve",
    "space.large_size_enabled",
    "space.logical_space.available",
    "space.logical_space.enforcement",
    "space.logical_space.reporting",
    "space.logical_space.used",
    "space.percent_used",
    "space.physical_used",
    "space.size",
    "space.snapshot.autodelete.enabled",
    "space.snapshot.autodelete_enabled",
    "space.snapshot.reserve_available",
    "space.snapshot.reserve_percent",
    "space.snapshot.reserve_size",
    "space.snapshot.space_used_percent",
    "space.snapshot.used",
    "space.used",
    "tiering.min_cooling_days",
    "tiering.policy",
];

/// The record, as far as the call `scope` can show or ask about it.
pub(super) fn record(cluster: &Cluster, volume: &Volume, scope: &Scope<'_>) -> Value {
    let features = &volume.features;
    let mut record = json!({
        "uuid": volume.id.to_string(),
        "name": volume.name,
        "svm": svm_reference(cluster, volume.svm),
        "style": if volume.style == Style::FlexVol { "flexvol" } else { "flexgroup" },
        "type": if volume.kind == Kind::ReadWrite { "rw" } else { "dp" },
        "state": if volume.online { "online" } else { "offline" },
        "size": volume.size,
    });
    let Some(members) = record.as_object_mut() else { return record };
    let mut put = |name: &str, part: &dyn Fn() -> Value| {
        if scope.needs(name) {
            members.insert(name.to_owned(), part());
        }
    };
    put("language", &|| "c.utf_8".into());
    put("comment", &|| volume.comment.as_str().into());
    put("create_time", &|| time(volume.created).into());
    put("is_svm_root", &|| volume.is_svm_root.into());
    put("msid", &|| volume.msid.into());
    put("_tags", &|| if features.tags.is_empty() { Value::Null } else { json!(features.tags) });
    put("access_time_enabled", &|| features.access_time.into());
    put("aggregates", &|| aggregates(cluster, volume));
    put("nas", &|| nas(cluster, volume, scope));
    put("guarantee", &|| guarantee(volume));
    put("snapshot_policy", &|| {
        let policy = cluster.find_snapshot_policy(volume.svm, &volume.snapshot_policy);
        json!({ "name": volume.snapshot_policy, "uuid": policy.map(|policy| policy.id.to_string()) })
    });
    put("snapshot_count", &|| cluster.snapshots.count(&SnapshotTag::Of(volume.id)).into());
    put("snapshot_directory_access_enabled", &|| volume.snapshot_directory.into());
    put("snapshot_locking_enabled", &|| false.into());
    put("space", &|| space(cluster, volume, scope));
    put("tiering", &|| json!({ "policy": volume.tiering, "min_cooling_days": features.cooling_days }));
    put("error_state", &|| json!({ "is_inconsistent": false, "has_bad_blocks": false }));
    put("clone", &|| clone(cluster, volume));
    put("encryption", &|| encryption(volume));
    put("cloud_retrieval_policy", &|| "default".into());
    put("flexcache_endpoint_type", &|| "none".into());
    put("snapmirror", &|| json!({ "is_protected": false }));
    put("snaplock", &|| json!({ "type": "non_snaplock" }));
    put_more(cluster, volume, &mut put);
    record
}

/// What clients ask for seldom.
fn put_more(cluster: &Cluster, volume: &Volume, put: &mut dyn FnMut(&str, &dyn Fn() -> Value)) {
    let features = &volume.features;
    let on = |on: bool| if on { "on" } else { "off" };
    put("autosize", &|| autosize(volume));
    put("efficiency", &|| efficiency(volume));
    put("analytics", &|| json!({ "state": on(features.analytics) }));
    put("activity_tracking", &|| json!({ "state": on(features.activity_tracking) }));
    put("constituents", &|| constituents(cluster, volume));
    put("files", &|| {
        let files = features.files_maximum.unwrap_or(volume.size / BYTES_PER_INODE);
        json!({ "maximum": files, "used": cluster.files_in_volume(volume.id) })
    });
    put("movement", &|| {
        let moved = volume.moved_to.map(|aggregate| {
            json!({
                "state": "success",
                "percent_complete": 100,
                "destination_aggregate": aggregate_reference(cluster, aggregate),
            })
        });
        moved.into()
    });
    put("qos", &|| features.qos_policy.as_ref().map(|name| json!({ "policy": { "name": name } })).into());
    put("quota", &|| json!({ "state": on(features.quota), "enabled": features.quota }));
}

fn autosize(volume: &Volume) -> Value {
    let autosize = &volume.features.autosize;
    json!({
        "mode": autosize.mode,
        "minimum": autosize.minimum.unwrap_or(volume.size),
        "maximum": autosize.maximum.unwrap_or(volume.size.saturating_add(volume.size / 5)),
        "grow_threshold": autosize.grow_threshold,
        "shrink_threshold": autosize.shrink_threshold,
    })
}

fn efficiency(volume: &Volume) -> Value {
    let efficiency = &volume.features.efficiency;
    json!({
        "state": if efficiency.enabled { "enabled" } else { "disabled" },
        "compression": efficiency.compression,
        "compaction": efficiency.compaction,
        "dedupe": efficiency.dedupe,
        "cross_volume_dedupe": efficiency.cross_volume_dedupe,
        "policy": { "name": efficiency.policy },
    })
}

/// A volume that is offline tells little.
fn guarantee(volume: &Volume) -> Value {
    json!({
        "type": match volume.guarantee { Guarantee::None => "none", Guarantee::Volume => "volume" },
        "honored": volume.online.then_some(true),
    })
}

fn nas(cluster: &Cluster, volume: &Volume, scope: &Scope<'_>) -> Value {
    let policy = cluster.policies.get(&volume.policy);
    let policy = policy.map(|policy| json!({ "name": policy.name, "id": policy.id }));
    // The other parts cost alike: whoever asks for one of them gets them made together.
    if ![
        "nas.path",
        "nas.junction_parent",
        "nas.security_style",
        "nas.unix_permissions",
        "nas.uid",
        "nas.gid",
    ]
    .iter()
    .any(|part| scope.needs(part))
    {
        return json!({ "export_policy": policy });
    }
    let parent = junction_parent(cluster, volume);
    json!({
        "path": volume.junction,
        "junction_parent": parent.map(|parent| json!({ "name": parent.name, "uuid": parent.id.to_string() })),
        "security_style": style_name(volume.security_style),
        "unix_permissions": permissions_number(volume.mode),
        "uid": volume.uid,
        "gid": volume.gid,
        "export_policy": policy,
    })
}

fn space(cluster: &Cluster, volume: &Volume, scope: &Scope<'_>) -> Value {
    let features = &volume.features;
    let used = cluster.used_by_volume(volume.id);
    let capacity = volume.capacity();
    let reserve = volume.size.saturating_sub(capacity);
    let in_snapshots = cluster.used_by_snapshots(volume.id);
    // Snapshots that outgrow their reserve take from what files could have.
    let taken = used.saturating_add(in_snapshots.saturating_sub(reserve));
    let available = capacity.saturating_sub(taken);
    let snapshot = || {
        json!({
            "reserve_percent": volume.snapshot_reserve,
            "reserve_size": reserve,
            "reserve_available": reserve.saturating_sub(in_snapshots),
            "space_used_percent": percent(in_snapshots, reserve),
            "used": in_snapshots,
            "autodelete_enabled": features.autodelete,
            "autodelete": { "enabled": features.autodelete },
        })
    };
    let logical = || {
        json!({
            "enforcement": features.logical_enforcement,
            "reporting": features.logical_reporting,
            "used": used,
            "available": available,
        })
    };
    json!({
        "size": volume.size,
        "used": taken,
        "available": available,
        "available_percent": percent(available, capacity),
        "percent_used": percent(taken, capacity),
        "physical_used": used.saturating_add(in_snapshots),
        "footprint": volume.reserved().max(used.saturating_add(in_snapshots)),
        "afs_total": capacity,
        "filesystem_size": volume.size,
        "fractional_reserve": features.fractional_reserve,
        "large_size_enabled": false,
        "snapshot": scope.needs("space.snapshot").then(snapshot),
        "logical_space": scope.needs("space.logical_space").then(logical),
    })
}

fn percent(part: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(part) * 100 / u128::from(whole.max(1))).unwrap_or(100)
}

fn clone(cluster: &Cluster, volume: &Volume) -> Value {
    let has_clones = !cluster.clones_of(volume.id).is_empty();
    let Some(origin) = volume.origin else {
        return json!({ "is_flexclone": false, "has_flexclone": has_clones });
    };
    let parent = cluster.volumes.get(&origin.parent);
    let snapshot = cluster.snapshots.get(&origin.snapshot).map(|snapshot| snapshot.name.as_str());
    json!({
        "is_flexclone": true,
        "has_flexclone": has_clones,
        "parent_volume": {
            "name": parent.map(|parent| parent.name.as_str()),
            "uuid": origin.parent.to_string(),
        },
        "parent_snapshot": { "name": snapshot, "uuid": origin.snapshot.to_string() },
        "parent_svm": svm_reference(cluster, volume.svm),
        "split_initiated": false,
        "split_estimate": cluster.used_by_volume(volume.id),
    })
}

fn encryption(volume: &Volume) -> Value {
    if volume.encrypted {
        json!({ "enabled": true, "state": "encrypted", "type": "volume" })
    } else {
        json!({ "enabled": false, "state": "none", "type": "none" })
    }
}

fn aggregate_reference(cluster: &Cluster, aggregate: AggregateId) -> Value {
    let name = cluster.find_aggregate(aggregate).map(|aggregate| aggregate.name.as_str());
    json!({ "name": name, "uuid": aggregate.to_string() })
}

fn aggregates(cluster: &Cluster, volume: &Volume) -> Value {
    let mut all = vec![volume.aggregate];
    if let Style::FlexGroup(constituents) = &volume.style {
        for aggregate in constituents {
            if !all.contains(aggregate) {
                all.push(*aggregate);
            }
        }
    }
    all.into_iter().map(|aggregate| aggregate_reference(cluster, aggregate)).collect()
}

fn constituents(cluster: &Cluster, volume: &Volume) -> Value {
    let Style::FlexGroup(constituents) = &volume.style else { return Value::Null };
    let size = volume.size / (constituents.len() as u64).max(1);
    let named = (1..).zip(constituents).map(|(number, aggregate): (u32, _)| {
        json!({
            "name": format!("{}__{number:04}", volume.name),
            "aggregates": aggregate_reference(cluster, *aggregate),
            "space": { "size": size },
        })
    });
    named.collect()
}

/// The volume that this one is mounted in.
fn junction_parent<'c>(cluster: &'c Cluster, volume: &Volume) -> Option<&'c Volume> {
    let path = volume.junction.as_deref().filter(|path| *path != "/")?;
    let parent = path.rsplit_once('/').map(|(parent, _)| if parent.is_empty() { "/" } else { parent })?;
    cluster.volumes.find(&VolumeTag::At(volume.svm, parent.to_owned()))
}
