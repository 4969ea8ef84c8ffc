//! `/snapmirror`: relationships, their transfers, policies.

use serde_json::{Value, json};
use uuid::Uuid;

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::{svm_reference, time};
use crate::state::mirror::{Mirror, MirrorPolicy, MirrorSpec, MirrorState, POLICIES, find_policy};
use crate::state::replica::{Replica, lag};
use crate::state::transfer::{Transfer, TransferKind};
use crate::state::{Cluster, Refusal};

/// Lists what copies this cluster's volumes have, not what copies are here.
const SOURCES: &str = "list_destinations_only";

pub(super) const RELATIONSHIPS: Resource = Resource {
    path: "snapmirror/relationships",
    keys: &["uuid"],
    always: &["uuid"],
    readable: &[
        "uuid",
        "source.path",
        "source.svm.name",
        "source.svm.uuid",
        "source.cluster.name",
        "destination.path",
        "destination.svm.name",
        "destination.svm.uuid",
        "destination.cluster.name",
        "policy.name",
        "policy.uuid",
        "policy.type",
        "transfer_schedule.name",
        "state",
        "healthy",
        "unhealthy_reason",
        "exported_snapshot",
        "lag_time",
        "last_transfer_type",
        "restore",
        "group_type",
        "transfer.uuid",
        "transfer.state",
        "transfer.type",
        "transfer.bytes_transferred",
        "transfer.end_time",
        "transfer.total_duration",
    ],
    creatable: &[
        "source.path",
        "source.svm.name",
        "source.cluster.name",
        "destination.path",
        "destination.svm.name",
        "destination.cluster.name",
        "policy.name",
        "transfer_schedule.name",
        "create_destination.enabled",
        "identity_preservation",
        "restore",
        "state",
    ],
    modifiable: &[
        "state",
        "policy.name",
        "transfer_schedule.name",
        "restore_to_snapshot",
        "quick_resync",
        "identity_preservation",
    ],
    flags: &[SOURCES, "source_only", "source_info_only", "destination_only"],
    asynchronous: true,
    list: Some(relationships),
    create: Some(create),
    modify: Some(modify),
    delete: Some(delete),
    ..NOTHING
};

pub(super) const TRANSFERS: Resource = Resource {
    path: "snapmirror/relationships/{relationship.uuid}/transfers",
    keys: &["uuid"],
    always: &["uuid"],
    readable: &[
        "uuid",
        "state",
        "relationship.uuid",
        "bytes_transferred",
        "snapshot",
        "end_time",
        "total_duration",
        "error_info.message",
    ],
    creatable: &["source_snapshot"],
    modifiable: &["state"],
    list: Some(transfers),
    create: Some(start_transfer),
    modify: Some(end_transfer),
    ..NOTHING
};

pub(super) const MIRROR_POLICIES: Resource = Resource {
    path: "snapmirror/policies",
    keys: &["uuid"],
    always: &["uuid", "name"],
    readable: &[
        "uuid",
        "name",
        "type",
        "sync_type",
        "scope",
        "comment",
        "copy_all_source_snapshots",
        "copy_latest_source_snapshot",
        "create_snapshot_on_source",
        "svm.name",
        "svm.uuid",
    ],
    list: Some(policies),
    ..NOTHING
};

fn relationships(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let listed = scope.query.flag(SOURCES)? || from_source(scope)?;
    let own = |svm| scope.svm.is_none_or(|own| own == svm);
    if listed {
        let replicas = cluster.replicas.values().filter(|replica| own(replica.svm) && !replica.restore);
        return Ok(replicas.map(|replica| given(cluster, replica)).collect());
    }
    let mirrors = cluster.mirrors.values().filter(|mirror| own(mirror.svm));
    Ok(mirrors.map(|mirror| record(cluster, mirror)).collect())
}

/// Whether a deletion is meant for the source's note of a relationship.
fn from_source(scope: &Scope<'_>) -> Result<bool, Refusal> {
    Ok(scope.query.flag("source_only")? || scope.query.flag("source_info_only")?)
}

/// A relationship as its source's cluster knows it.
fn given(cluster: &Cluster, replica: &Replica) -> Value {
    let (svm, _) = replica.destination.split_once(':').unwrap_or_default();
    json!({
        "uuid": replica.mirror.to_string(),
        "source": { "path": cluster.source_path(replica), "svm": svm_reference(cluster, replica.svm) },
        "destination": {
            "path": replica.destination,
            "svm": { "name": svm },
            "cluster": { "name": replica.cluster.as_ref().unwrap_or(&cluster.about.name) },
        },
        "policy": policy_reference(&replica.policy),
    })
}

fn policy_reference(name: &str) -> Value {
    let sync = find_policy(name).is_some_and(|policy| policy.sync);
    json!({
        "name": name,
        "uuid": policy_uuid(name).map(|uuid| uuid.to_string()),
        "type": if sync { "sync" } else { "async" },
    })
}

/// Policies are in every cluster from the start; so are their identifiers.
fn policy_uuid(name: &str) -> Option<Uuid> {
    const FIRST: u128 = 0x5f1d_0a70_0000_4000_8000_0000_0000_0000;
    let place = POLICIES.iter().position(|policy| policy.name == name)?;
    Some(Uuid::from_u128(FIRST | place as u128))
}

fn record(cluster: &Cluster, mirror: &Mirror) -> Value {
    let state = match mirror.state {
        MirrorState::Uninitialized => "uninitialized",
        _ if mirror.quiesced => "paused",
        MirrorState::Mirrored => "snapmirrored",
        MirrorState::BrokenOff => "broken_off",
    };
    let here = mirror.source.cluster.is_none();
    let source_svm = cluster.find_svm_named(&mirror.source.svm).filter(|_| here);
    let transfer = mirror.transfer.and_then(|id| cluster.transfers.get(&id));
    let reason = mirror.unhealthy.as_ref().map(|message| json!([{ "code": "13303822", "message": message }]));
    json!({
        "uuid": mirror.id.to_string(),
        "source": {
            "path": mirror.source.path(),
            "svm": { "name": mirror.source.svm, "uuid": source_svm.map(|svm| svm.id.to_string()) },
            "cluster": { "name": mirror.source.cluster.as_ref().unwrap_or(&cluster.about.name) },
        },
        "destination": {
            "path": cluster.destination_path(mirror),
            "svm": svm_reference(cluster, mirror.svm),
            "cluster": { "name": cluster.about.name },
        },
        "policy": policy_reference(&mirror.policy),
        "transfer_schedule": mirror.schedule.as_ref().map(|name| json!({ "name": name })),
        "state": state,
        "healthy": mirror.unhealthy.is_none(),
        "unhealthy_reason": reason,
        "exported_snapshot": mirror.exported,
        "lag_time": mirror.exported_at.map(|taken| lag(cluster.now(), taken)),
        "last_transfer_type": transfer.map(|transfer| kind_name(transfer.kind)),
        "restore": mirror.restore,
        "group_type": if mirror.volume.is_some() { "none" } else { "svm_dr" },
        "transfer": transfer.map(|transfer| json!({
            "uuid": transfer.id.to_string(),
            "state": transfer.state.name(),
            "type": kind_name(transfer.kind),
            "bytes_transferred": transfer.bytes,
            "end_time": transfer.ended.map(time),
            "total_duration": transfer.ended.map(|ended| lag(ended, transfer.began)),
        })),
    })
}

fn kind_name(kind: TransferKind) -> &'static str {
    match kind {
        TransferKind::Initialize => "initialize",
        TransferKind::Update => "update",
        TransferKind::Resync => "resync",
        TransferKind::Restore => "restore",
    }
}

fn create(cluster: &mut Cluster, _: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let id = cluster.create_mirror(MirrorSpec {
        source: body.required_text("source.path")?,
        cluster: body.text("source.cluster.name")?,
        destination: body.required_text("destination.path")?,
        policy: body.text("policy.name")?,
        schedule: body.text("transfer_schedule.name")?,
        restore: body.boolean("restore")?.unwrap_or(false),
        make_destination: body.boolean("create_destination.enabled")?.unwrap_or(false),
    })?;
    if let Some(state) = body.text("state")? {
        turn(cluster, id, &state)?;
    }
    Ok(vec![id.to_string()])
}

fn key(scope: &Scope<'_>) -> Result<Uuid, Refusal> {
    scope.key(0).parse().map_err(|_| Refusal::no_entry())
}

fn modify(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let id = key(scope)?;
    cluster.modify_mirror(id, body.text("policy.name")?, body.text("transfer_schedule.name")?)?;
    if let Some(state) = body.text("state")? {
        turn(cluster, id, &state)?;
    }
    if let Some(snapshot) = body.text("restore_to_snapshot")? {
        let mirror = cluster.mirrors.get(&id).ok_or_else(Refusal::no_entry)?;
        let broken = mirror.state == MirrorState::BrokenOff;
        let volume = mirror.volume.filter(|_| broken);
        let volume = volume.ok_or_else(|| Refusal::invalid("restore_to_snapshot", &snapshot))?;
        cluster.restore_volume(volume, &snapshot)?;
    }
    Ok(())
}

/// Brings a relationship into a state, or on the way to it.
fn turn(cluster: &mut Cluster, id: Uuid, state: &str) -> Result<(), Refusal> {
    match state {
        "snapmirrored" | "in_sync" => cluster.resume_mirror(id).map(drop),
        "paused" => cluster.quiesce_mirror(id),
        "broken_off" => cluster.break_mirror(id),
        other => Err(Refusal::invalid("state", other)),
    }
}

fn delete(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    let id = key(scope)?;
    if from_source(scope)? {
        return cluster.release_replica(id, scope.query.flag("source_only")?);
    }
    cluster.delete_mirror(id)?;
    // Within one cluster the source is here, too.
    if !scope.query.flag("destination_only")? && cluster.replicas.contains_key(&id) {
        cluster.release_replica(id, true)?;
    }
    Ok(())
}

fn parent(cluster: &Cluster, scope: &Scope<'_>) -> Result<Uuid, Refusal> {
    let id = scope.parent(0).parse().map_err(|_| Refusal::no_entry())?;
    if cluster.mirrors.contains_key(&id) { Ok(id) } else { Err(Refusal::no_entry()) }
}

fn transfers(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let record = |transfer: &Transfer| {
        json!({
            "uuid": transfer.id.to_string(),
            "state": transfer.state.name(),
            "relationship": { "uuid": transfer.mirror.to_string() },
            "bytes_transferred": transfer.bytes,
            "snapshot": transfer.snapshot,
            "end_time": transfer.ended.map(time),
            "total_duration": transfer.ended.map(|ended| lag(ended, transfer.began)),
            "error_info": transfer.failure.as_ref().map(|message| json!({ "message": message })),
        })
    };
    Ok(cluster.transfers_of(parent(cluster, scope)?).map(record).collect())
}

fn start_transfer(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let id = parent(cluster, scope)?;
    Ok(vec![cluster.update_mirror(id, body.text("source_snapshot")?)?.to_string()])
}

fn end_transfer(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    match body.required_text("state")?.as_str() {
        "aborted" | "hard_aborted" => cluster.abort_transfer(key(scope)?),
        other => Err(Refusal::invalid("state", other)),
    }
}

fn policies(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let record = |policy: &MirrorPolicy| {
        json!({
            "uuid": policy_uuid(policy.name).map(|uuid| uuid.to_string()),
            "name": policy.name,
            "type": if policy.sync { "sync" } else { "async" },
            "sync_type": policy.sync.then(|| if policy.name == "StrictSync" { "strict_sync" } else { "sync" }),
            "scope": "cluster",
            "comment": policy.comment,
            "copy_all_source_snapshots": (!policy.sync).then_some(policy.all_snapshots),
            "copy_latest_source_snapshot": (!policy.sync).then_some(!policy.all_snapshots),
            "create_snapshot_on_source": true,
            "svm": { "name": cluster.about.name },
        })
    };
    Ok(POLICIES.iter().map(record).collect())
}
