//! `/storage/snapshot-policies`.

use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::svm_reference;
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
                "snapmirror_label": copies.label,
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
    scope.key(0).parse().map(SnapshotPolicyId).map_err(|_| Refusal::no_entry())
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
