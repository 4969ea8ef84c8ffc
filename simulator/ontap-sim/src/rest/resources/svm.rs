//! `/svm/svms`.

use serde_json::{Map, Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::aggregate::require_aggregates;
use crate::state::svm::{Protocol, Subtype, SvmPatch};
use crate::state::{Cluster, Refusal, Svm, SvmId};

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
        "ip_interfaces.name",
        "ip_interfaces.uuid",
        "ip_interfaces.ip.address",
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
        "s3.allowed",
        "s3.enabled",
        "ndmp.allowed",
    ],
    creatable: &[
        "name",
        "subtype",
        "language",
        "comment",
        "max_volumes",
        "aggregates.name",
        "aggregates.uuid",
        "ipspace.name",
        "ipspace.uuid",
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
        "s3.allowed",
        "s3.enabled",
        "ndmp.allowed",
        "auto_enable_analytics",
        "auto_enable_activity_tracking",
    ],
    modifiable: &[
        "name",
        "state",
        "language",
        "comment",
        "max_volumes",
        "aggregates.name",
        "aggregates.uuid",
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
        "s3.allowed",
        "s3.enabled",
        "ndmp.allowed",
        "auto_enable_analytics",
        "auto_enable_activity_tracking",
    ],
    asynchronous: true,
    list: Some(svms),
    create: Some(create),
    modify: Some(modify),
    delete: Some(delete),
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
    let interfaces: Vec<_> = cluster
        .lifs
        .values()
        .filter(|lif| lif.svm == Some(svm.id))
        .map(|lif| {
            json!({ "name": lif.name, "uuid": lif.id.to_string(), "ip": { "address": lif.address.to_string() } })
        })
        .collect();
    let mut record = json!({
        "uuid": svm.id.to_string(),
        "name": svm.name,
        "state": if svm.running { "running" } else { "stopped" },
        "subtype": svm.subtype.name(),
        "language": svm.language,
        "comment": svm.comment,
        "max_volumes": svm.max_volumes.map_or_else(|| "unlimited".to_owned(), |most| most.to_string()),
        "aggregates": aggregates,
        "ipspace": { "name": svm.ipspace },
        "snapshot_policy": { "name": svm.snapshot_policy },
        "ip_interfaces": if interfaces.is_empty() { Value::Null } else { Value::Array(interfaces) },
    });
    if let Some(members) = record.as_object_mut() {
        for protocol in Protocol::ALL {
            members.insert(protocol.name().into(), protocol_record(cluster, svm, protocol));
        }
    }
    record
}

/// The block of a protocol. Clients take the link for the sign that the service exists.
fn protocol_record(cluster: &Cluster, svm: &Svm, protocol: Protocol) -> Value {
    let mut block = Map::new();
    block.insert("allowed".into(), svm.allowed.contains(&protocol).into());
    let (enabled, service) = match protocol {
        Protocol::Nfs => (cluster.nfs_services.get(&svm.id).map(|service| service.enabled), "nfs"),
        Protocol::Iscsi => (svm.iscsi.as_ref().map(|service| service.enabled), "san/iscsi"),
        Protocol::Nvme => (svm.nvme, "nvme"),
        Protocol::Cifs | Protocol::Fcp | Protocol::S3 | Protocol::Ndmp => (None, ""),
    };
    if protocol != Protocol::Ndmp {
        block.insert("enabled".into(), enabled.unwrap_or(false).into());
    }
    if enabled.is_some() {
        let href = format!("/api/protocols/{service}/services/{}", svm.id);
        block.insert("_links".into(), json!({ "self": { "href": href } }));
    }
    Value::Object(block)
}

fn create(cluster: &mut Cluster, _: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let mut spec = patch(cluster, body)?;
    spec.name = Some(body.required_text("name")?);
    spec.ipspace = body.text("ipspace.name")?;
    spec.subtype = match body.text("subtype")?.as_deref() {
        None => None,
        Some("default") => Some(Subtype::Default),
        Some("dp_destination") => Some(Subtype::DpDestination),
        Some(other) => return Err(Refusal::invalid("subtype", other)),
    };
    Ok(vec![cluster.create_svm(spec)?.to_string()])
}

fn modify(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let patch = patch(cluster, body)?;
    cluster.modify_svm(svm_id(scope.key(0))?, patch)
}

fn delete(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_svm(svm_id(scope.key(0))?)
}

fn patch(cluster: &Cluster, body: &Body) -> Result<SvmPatch, Refusal> {
    body.boolean("auto_enable_analytics")?;
    body.boolean("auto_enable_activity_tracking")?;
    for unsupported in ["cifs.enabled", "fcp.enabled", "s3.enabled"] {
        if body.boolean(unsupported)? == Some(true) {
            let message = format!("Field \"{unsupported}\": the service is not available on this array");
            return Err(Refusal::request(3, message).about(unsupported));
        }
    }
    let mut allowed = Vec::new();
    for protocol in Protocol::ALL {
        let field = format!("{}.allowed", protocol.name());
        allowed.extend(body.boolean(&field)?.map(|allow| (protocol, allow)));
    }
    Ok(SvmPatch {
        name: body.text("name")?,
        running: body
            .text("state")?
            .map(|state| match state.as_str() {
                "running" => Ok(true),
                "stopped" => Ok(false),
                _ => Err(Refusal::invalid("state", &state)),
            })
            .transpose()?,
        language: body.text("language")?,
        comment: body.text("comment")?,
        snapshot_policy: body.text("snapshot_policy.name")?,
        max_volumes: most_volumes(body)?,
        aggregates: require_aggregates(cluster, body, "aggregates")?,
        allowed,
        iscsi_enabled: body.boolean("iscsi.enabled")?,
        nfs_enabled: body.boolean("nfs.enabled")?,
        nvme_enabled: body.boolean("nvme.enabled")?,
        ..SvmPatch::default()
    })
}

/// A number, or `unlimited`.
fn most_volumes(body: &Body) -> Result<Option<Option<u64>>, Refusal> {
    match body.text("max_volumes")?.as_deref() {
        None => Ok(None),
        Some("unlimited") => Ok(Some(None)),
        Some(_) => Ok(Some(body.integer("max_volumes")?)),
    }
}

/// The SVM that a path names.
pub(super) fn svm_id(text: &str) -> Result<SvmId, Refusal> {
    text.parse().map(SvmId).map_err(|_| Refusal::no_entry())
}
