//! `/storage/qos/policies`.

use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::svm_reference;
use crate::state::qos::{Adaptive, Fixed, Limits, QosPolicy};
use crate::state::{Cluster, Refusal};

pub(super) const POLICIES: Resource = Resource {
    path: "storage/qos/policies",
    keys: &["uuid"],
    always: &["uuid", "name"],
    readable: &[
        "uuid",
        "name",
        "scope",
        "policy_class",
        "pgid",
        "svm.name",
        "svm.uuid",
        "fixed.max_throughput_iops",
        "fixed.max_throughput_mbps",
        "fixed.min_throughput_iops",
        "fixed.min_throughput_mbps",
        "fixed.capacity_shared",
        "adaptive.expected_iops",
        "adaptive.peak_iops",
        "adaptive.absolute_min_iops",
        "adaptive.expected_iops_allocation",
        "adaptive.peak_iops_allocation",
        "adaptive.block_size",
    ],
    creatable: &[
        "name",
        "svm.name",
        "svm.uuid",
        "fixed.max_throughput",
        "fixed.max_throughput_iops",
        "fixed.max_throughput_mbps",
        "fixed.min_throughput_iops",
        "fixed.min_throughput_mbps",
        "fixed.capacity_shared",
        "adaptive.expected_iops",
        "adaptive.peak_iops",
        "adaptive.absolute_min_iops",
        "adaptive.expected_iops_allocation",
        "adaptive.peak_iops_allocation",
        "adaptive.block_size",
    ],
    modifiable: &[
        "name",
        "fixed.max_throughput_iops",
        "fixed.max_throughput_mbps",
        "fixed.min_throughput_iops",
        "fixed.min_throughput_mbps",
        "fixed.capacity_shared",
        "adaptive.expected_iops",
        "adaptive.peak_iops",
        "adaptive.absolute_min_iops",
        "adaptive.expected_iops_allocation",
        "adaptive.peak_iops_allocation",
        "adaptive.block_size",
    ],
    asynchronous: true,
    list: Some(policies),
    create: Some(create),
    modify: Some(modify),
    delete: Some(delete),
    ..NOTHING
};

fn policies(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let wanted = |policy: &&QosPolicy| scope.admits("uuid", policy.id) && scope.admits("name", &policy.name);
    Ok(cluster.qos_policies.values().filter(wanted).map(|policy| record(cluster, policy)).collect())
}

fn record(cluster: &Cluster, policy: &QosPolicy) -> Value {
    let (fixed, adaptive) = match &policy.limits {
        Limits::Fixed(fixed) => (
            json!({
                "max_throughput_iops": fixed.max_iops.unwrap_or(0),
                "max_throughput_mbps": fixed.max_mbps.unwrap_or(0),
                "min_throughput_iops": fixed.min_iops.unwrap_or(0),
                "min_throughput_mbps": fixed.min_mbps.unwrap_or(0),
                "capacity_shared": fixed.shared,
            }),
            Value::Null,
        ),
        Limits::Adaptive(adaptive) => (
            Value::Null,
            json!({
                "expected_iops": adaptive.expected_iops,
                "peak_iops": adaptive.peak_iops,
                "absolute_min_iops": adaptive.absolute_min_iops,
                "expected_iops_allocation": adaptive.expected_allocation,
                "peak_iops_allocation": adaptive.peak_allocation,
                "block_size": adaptive.block_size,
            }),
        ),
    };
    json!({
        "uuid": policy.id.to_string(),
        "name": policy.name,
        "scope": if policy.svm.is_some() { "svm" } else { "cluster" },
        "policy_class": if policy.builtin { "preset" } else { "user_defined" },
        "svm": policy.svm.map(|svm| svm_reference(cluster, svm)),
        "fixed": fixed,
        "adaptive": adaptive,
    })
}

fn create(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let svm = if body.has("svm") || scope.svm.is_some() {
        Some(scope.require_svm(cluster, body)?.id)
    } else {
        None
    };
    let limits = limits(body, None)?.ok_or_else(|| Refusal::required("fixed"))?;
    Ok(vec![cluster.create_qos_policy(svm, &body.required_text("name")?, limits)?.to_string()])
}

fn modify(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let id = scope.key(0).parse().map_err(|_| Refusal::no_entry())?;
    let before = cluster.qos_policies.get(&id).ok_or_else(Refusal::no_entry)?.limits.clone();
    let limits = limits(body, Some(&before))?;
    cluster.modify_qos_policy(id, body.text("name")?, limits)
}

fn delete(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_qos_policy(scope.key(0).parse().map_err(|_| Refusal::no_entry())?)
}

/// The limits in a body, on top of those there were; `None` when it has none.
fn limits(body: &Body, before: Option<&Limits>) -> Result<Option<Limits>, Refusal> {
    let kinds = || Refusal::request(2, "A policy is either fixed or adaptive").about("adaptive");
    match (body.has("fixed"), body.has("adaptive"), before) {
        (true, true, _) => Err(kinds()),
        (true, false, Some(Limits::Adaptive(_))) | (false, true, Some(Limits::Fixed(_))) => Err(kinds()),
        (false, false, _) => Ok(None),
        (true, false, before) => {
            let mut fixed = match before {
                Some(Limits::Fixed(fixed)) => fixed.clone(),
                _ => Fixed::default(),
            };
            fixed.max_iops = body.integer("fixed.max_throughput_iops")?.or(fixed.max_iops);
            fixed.max_mbps = body.integer("fixed.max_throughput_mbps")?.or(fixed.max_mbps);
            fixed.min_iops = body.integer("fixed.min_throughput_iops")?.or(fixed.min_iops);
            fixed.min_mbps = body.integer("fixed.min_throughput_mbps")?.or(fixed.min_mbps);
            fixed.shared = body.boolean("fixed.capacity_shared")?.unwrap_or(fixed.shared);
            Ok(Some(Limits::Fixed(fixed)))
        }
        (false, true, before) => {
            let mut adaptive = match before {
                Some(Limits::Adaptive(adaptive)) => adaptive.clone(),
                _ => Adaptive {
                    expected_iops: 0,
                    peak_iops: 0,
                    absolute_min_iops: 0,
                    expected_allocation: "allocated_space".into(),
                    peak_allocation: "used_space".into(),
                    block_size: "any".into(),
                },
            };
            adaptive.expected_iops =
                body.integer("adaptive.expected_iops")?.unwrap_or(adaptive.expected_iops);
            adaptive.peak_iops = body.integer("adaptive.peak_iops")?.unwrap_or(adaptive.peak_iops);
            let least = body.integer("adaptive.absolute_min_iops")?;
            adaptive.absolute_min_iops = least.unwrap_or(adaptive.absolute_min_iops);
            let expected = body.text("adaptive.expected_iops_allocation")?;
            adaptive.expected_allocation = expected.unwrap_or(adaptive.expected_allocation);
            let peak = body.text("adaptive.peak_iops_allocation")?;
            adaptive.peak_allocation = peak.unwrap_or(adaptive.peak_allocation);
            adaptive.block_size = body.text("adaptive.block_size")?.unwrap_or(adaptive.block_size);
            Ok(Some(Limits::Adaptive(adaptive)))
        }
    }
}
