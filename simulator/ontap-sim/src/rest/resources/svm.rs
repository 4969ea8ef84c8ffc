//! `/svm/svms`.

use serde_json::{Value, json};

use super::super::resource::{NOTHING, Resource, Scope};
use crate::state::{Cluster, Refusal, Svm};

pub(super) const SVMS: Resource = Resource {
    path: "svm/svms",
    keys: &["uuid"],
    always: &["uuid", "name"],
    readable: &[
        "uuid",
        "name",
        "state",
        "subtype",
        "language",
        "comment",
        "max_volumes",
        "aggregates.name",
        "aggregates.uuid",
        "ipspace.name",
        "snapshot_policy.name",
        "nfs.allowed",
        "nfs.enabled",
        "iscsi.allowed",
        "iscsi.enabled",
        "nvme.allowed",
        "nvme.enabled",
        "cifs.allowed",
        "cifs.enabled",
        "fcp.allowed",
        "fcp.enabled",
    ],
    list: Some(svms),
    ..NOTHING
};

fn svms(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let wanted = |svm: &&Svm| scope.admits("uuid", svm.id) && scope.admits("name", &svm.name);
    Ok(cluster.svms.values().filter(wanted).map(|svm| record(cluster, svm)).collect())
}

fn record(cluster: &Cluster, svm: &Svm) -> Value {
    let aggregates: Vec<_> = svm
        .aggregates
        .iter()
        .filter_map(|id| cluster.find_aggregate(*id))
        .map(|aggregate| json!({ "name": aggregate.name, "uuid": aggregate.id.to_string() }))
        .collect();
    json!({
        "uuid": svm.id.to_string(),
        "name": svm.name,
        "state": "running",
        "subtype": "default",
        "language": "c.utf_8",
        "comment": "",
        "max_volumes": "unlimited",
        "aggregates": aggregates,
        "ipspace": { "name": "Default" },
        "snapshot_policy": { "name": "default" },
        "nfs": { "allowed": true, "enabled": true },
        "iscsi": { "allowed": true, "enabled": svm.iscsi.enabled },
        "nvme": { "allowed": false, "enabled": false },
        "cifs": { "allowed": false, "enabled": false },
        "fcp": { "allowed": false, "enabled": false },
    })
}
