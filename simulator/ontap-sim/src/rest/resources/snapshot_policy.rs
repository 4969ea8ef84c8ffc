//! `/storage/snapshot-policies` and the schedules of each.

use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::{set, svm_reference};
use crate::state::snapshot_policy::{Copies, SnapshotPolicy, SnapshotPolicyPatch, UNNAMED};
use crate::state::{Cluster, Refusal, SnapshotPolicyId};

pub(super) const SNAPSHOT_POLICIES: Resource = Resource {
    path: "storage/snapshot-policies",
    keys: &["uuid"],
    always: &["uuid", "name"],
    readable: &[
        "uuid",
        "name",
        "comment",
        "enabled",
        "scope",
        "svm.name",
        "svm.uuid",
        "copies.count",
        "copies.prefix",
        "copies.schedule.name",
        "copies.snapmirror_label",
    ],
    creatable: &[
        "name",
        "comment",
        "enabled",
        "svm.name",
        "svm.uuid",
        "copies.count",
        "copies.prefix",
        "copies.schedule.name",
        "copies.schedule.uuid",
        "copies.snapmirror_label",
        "copies.retention_period",
    ],
    modifiable: &[
        "comment",
        "enabled",
        "copies.count",
        "copies.prefix",
        "copies.schedule.name",
        "copies.schedule.uuid",
        "copies.snapmirror_label",
        "copies.retention_period",
    ],
    list: Some(policies),
    create: Some(create),
    modify: Some(modify),
    delete: Some(delete),
    ..NOTHING
};

pub(super) const SCHEDULES: Resource = Resource {
    path: "storage/snapshot-policies/{snapshot_policy.uuid}/schedules",
    keys: &["schedule.uuid"],
    always: &["schedule.name", "schedule.uuid", "snapshot_policy.name", "snapshot_policy.uuid"],
    readable: &[
        "count",
        "prefix",
        "schedule.name",
        "schedule.uuid",
        "snapmirror_label",
        "snapshot_policy.name",
        "snapshot_policy.uuid",
    ],
    creatable: &["count", "prefix", "schedule.name", "schedule.uuid", "snapmirror_label", "retention_period"],
    modifiable: &["count", "snapmirror_label", "retention_period"],
    list: Some(schedules),
    create: Some(add_schedule),
    modify: Some(modify_schedule),
    delete: Some(remove_schedule),
    ..NOTHING
};

fn policies(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let wanted =
        |policy: &&SnapshotPolicy| scope.admits("uuid", policy.id) && scope.admits("name", &policy.name);
    Ok(cluster.snapshot_policies.values().filter(wanted).map(|policy| record(cluster, policy)).collect())
}

fn record(cluster: &Cluster, policy: &SnapshotPolicy) -> Value {
    let copies: Vec<_> = policy
        .copies
        .iter()
        .map(|copies| {
            json!({
                "schedule": { "name": copies.schedule },
                "count": copies.count,
                "prefix": copies.prefix,
                "snapmirror_label": set(&copies.label),
            })
        })
        .collect();
    json!({
        "uuid": policy.id.to_string(),
        "name": policy.name,
        "comment": policy.comment,
        "enabled": policy.enabled,
        "scope": if policy.svm.is_some() { "svm" } else { "cluster" },
        "svm": policy.svm.map(|svm| svm_reference(cluster, svm)),
        "copies": if copies.is_empty() { Value::Null } else { Value::Array(copies) },
    })
}

fn create(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let named = body.text("svm.name")?.is_some() || body.text("svm.uuid")?.is_some();
    // Without an SVM the policy is the cluster's.
    let svm = if named || scope.svm.is_some() { Some(scope.require_svm(cluster, body)?.id) } else { None };
    let policy = SnapshotPolicy {
        id: UNNAMED,
        name: body.required_text("name")?,
        svm,
        enabled: body.boolean("enabled")?.unwrap_or(true),
        comment: body.text("comment")?.unwrap_or_default(),
        copies: copies(body)?.unwrap_or_default(),
    };
    Ok(vec![cluster.create_snapshot_policy(policy)?.to_string()])
}

fn modify(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let patch = SnapshotPolicyPatch {
        enabled: body.boolean("enabled")?,
        comment: body.text("comment")?,
        copies: copies(body)?,
    };
    cluster.modify_snapshot_policy(target(scope)?, patch)
}

fn delete(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_snapshot_policy(target(scope)?)
}

fn target(scope: &Scope<'_>) -> Result<SnapshotPolicyId, Refusal> {
    policy_id(scope.key(0))
}

fn policy_id(text: &str) -> Result<SnapshotPolicyId, Refusal> {
    text.parse().map(SnapshotPolicyId).map_err(|_| Refusal::no_entry())
}

/// The policy whose schedules a path leads to.
fn above<'c>(cluster: &'c Cluster, scope: &Scope<'_>) -> Result<&'c SnapshotPolicy, Refusal> {
    cluster.snapshot_policies.get(&policy_id(scope.parent(0))?).ok_or_else(Refusal::no_entry)
}

fn schedules(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let policy = above(cluster, scope)?;
    let record = |copies: &Copies| {
        json!({
            "count": copies.count,
            "prefix": copies.prefix,
            "snapmirror_label": set(&copies.label),
            "schedule": { "name": copies.schedule, "uuid": schedule_uuid(cluster, &copies.schedule) },
            "snapshot_policy": { "name": policy.name, "uuid": policy.id.to_string() },
        })
    };
    Ok(policy.copies.iter().map(record).collect())
}

/// Absent when the schedule has been deleted since.
fn schedule_uuid(cluster: &Cluster, name: &str) -> Option<String> {
    cluster.find_schedule_named(name).map(|schedule| schedule.id.to_string())
}

fn add_schedule(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let policy = above(cluster, scope)?;
    let (id, mut all) = (policy.id, policy.copies.clone());
    let name = match (body.text("schedule.name")?, body.text("schedule.uuid")?) {
        (Some(name), _) => name,
        (None, Some(uuid)) => {
            let found = cluster.schedules.values().find(|schedule| schedule.id.to_string() == uuid);
            found.ok_or_else(|| Refusal::invalid("schedule.uuid", &uuid))?.name.clone()
        }
        (None, None) => return Err(Refusal::required("schedule.name")),
    };
    let uuid = schedule_uuid(cluster, &name).ok_or_else(|| Refusal::invalid("schedule.name", &name))?;
    if all.iter().any(|copies| copies.schedule == name) {
        let message = format!("Schedule \"{name}\" is in the snapshot policy already");
        return Err(Refusal::conflict(1, message).about("schedule.name"));
    }
    all.push(Copies {
        count: body.integer("count")?.ok_or_else(|| Refusal::required("count"))?,
        prefix: body.text("prefix")?.unwrap_or_else(|| name.clone()),
        label: body.text("snapmirror_label")?.unwrap_or_default(),
        schedule: name,
    });
    cluster.modify_snapshot_policy(id, SnapshotPolicyPatch { copies: Some(all), ..Default::default() })?;
    Ok(vec![uuid])
}

fn modify_schedule(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let (count, label) = (body.integer("count")?, body.text("snapmirror_label")?);
    revise_schedules(cluster, scope, |all, own| {
        for copies in all.iter_mut().filter(|copies| copies.schedule == own) {
            copies.count = count.unwrap_or(copies.count);
            copies.label = label.clone().unwrap_or_else(|| copies.label.clone());
        }
    })
}

fn remove_schedule(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    revise_schedules(cluster, scope, |all, own| all.retain(|copies| copies.schedule != own))
}

fn revise_schedules(
    cluster: &mut Cluster,
    scope: &Scope<'_>,
    revise: impl FnOnce(&mut Vec<Copies>, &str),
) -> Result<(), Refusal> {
    let policy = above(cluster, scope)?;
    let (id, mut all) = (policy.id, policy.copies.clone());
    let own = |copies: &&Copies| schedule_uuid(cluster, &copies.schedule).as_deref() == Some(scope.key(0));
    let name = policy.copies.iter().find(own).ok_or_else(Refusal::no_entry)?.schedule.clone();
    revise(&mut all, &name);
    cluster.modify_snapshot_policy(id, SnapshotPolicyPatch { copies: Some(all), ..Default::default() })
}

fn copies(body: &Body) -> Result<Option<Vec<Copies>>, Refusal> {
    let given = body.objects("copies")?;
    if given.is_empty() {
        return Ok(None);
    }
    let copies = given.iter().map(|copies| {
        let schedule = copies.required_text("schedule.name")?;
        Ok(Copies {
            count: copies.integer("count")?.ok_or_else(|| Refusal::required("copies.count"))?,
            prefix: copies.text("prefix")?.unwrap_or_else(|| schedule.clone()),
            label: copies.text("snapmirror_label")?.unwrap_or_default(),
            schedule,
        })
    });
    copies.collect::<Result<_, Refusal>>().map(Some)
}
