//! `/storage/luns` and their attributes.
//!
//! In 9.15.1 these calls are synchronous: its API reference gives 201 and 200 as their only
//! successes and has no `return_timeout` for them. Later releases made them jobs.

use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Records, Resource, Scope};
use super::{node_reference, svm_reference, time, volume_name};
use crate::state::lun::{Lun, LunPatch, LunSpec, LunTag};
use crate::state::lun_clone::LunCloneSpec;
use crate::state::lun_map::MapTag;
use crate::state::{Cluster, LunId, Refusal};

pub(super) const LUNS: Resource = Resource {
    path: "storage/luns",
    keys: &["uuid"],
    always: &["uuid", "name", "svm.name", "svm.uuid"],
    // From the API reference's list of expensive properties, as far as we have them.
    expensive: &["attributes", "lun_maps"],
    readable: &[
        "uuid",
        "name",
        "class",
        "os_type",
        "serial_number",
        "enabled",
        "create_time",
        "comment",
        "svm.name",
        "svm.uuid",
        "location.logical_unit",
        "location.volume.name",
        "location.volume.uuid",
        "location.node.name",
        "location.node.uuid",
        "location.qtree.name",
        "space.size",
        "space.used",
        "space.guarantee.requested",
        "space.guarantee.reserved",
        "space.scsi_thin_provisioning_support_enabled",
        "status.state",
        "status.container_state",
        "status.mapped",
        "status.read_only",
        "lun_maps.logical_unit_number",
        "lun_maps.igroup.name",
        "lun_maps.igroup.uuid",
        "attributes.name",
        "attributes.value",
        "qos_policy.name",
    ],
    creatable: &[
        "name",
        "svm.name",
        "svm.uuid",
        "os_type",
        "comment",
        "location.logical_unit",
        "location.volume.name",
        "space.size",
        "space.guarantee.requested",
        "space.scsi_thin_provisioning_support_enabled",
        "attributes.name",
        "attributes.value",
        "clone.source.name",
        "clone.source.uuid",
        "qos_policy.name",
    ],
    modifiable: &["name", "comment", "enabled", "space.size", "space.guarantee.requested", "qos_policy.name"],
    flags: &["allow_delete_while_mapped"],
    stream: Some(luns),
    create: Some(create),
    modify: Some(modify),
    delete: Some(delete),
    ..NOTHING
};

pub(super) const ATTRIBUTES: Resource = Resource {
    path: "storage/luns/{lun.uuid}/attributes",
    keys: &["name"],
    always: &["name", "lun.uuid"],
    readable: &["name", "value", "lun.uuid", "lun.name"],
    creatable: &["name", "value"],
    modifiable: &["value"],
    list: Some(attributes),
    create: Some(create_attribute),
    modify: Some(modify_attribute),
    delete: Some(delete_attribute),
    ..NOTHING
};

fn luns<'c>(cluster: &'c Cluster, scope: &'c Scope<'_>) -> Records<'c> {
    let rows = scope.rows(cluster, &cluster.luns, LunId, LunTag::At, LunTag::Of);
    let wanted = |lun: &&Lun| scope.admits("uuid", lun.id) && scope.admits("name", &lun.path);
    Box::new(rows.filter(wanted).map(|lun| record(cluster, lun)))
}

fn record(cluster: &Cluster, lun: &Lun) -> Value {
    let volume = cluster.volumes.get(&lun.volume);
    let node = volume.and_then(|volume| cluster.owner_of(volume)).map(|node| node.id);
    let online = lun.enabled && volume.is_some_and(|volume| volume.online);
    let maps: Vec<_> = cluster
        .lun_maps
        .tagged(&MapTag::Of(lun.id))
        .map(|map| {
            let name = cluster.igroups.get(&map.igroup).map(|igroup| igroup.name.as_str());
            json!({
                "logical_unit_number": map.number,
                "igroup": { "name": name, "uuid": map.igroup.to_string() },
            })
        })
        .collect();
    let attributes: Vec<_> =
        lun.attributes.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({
        "uuid": lun.id.to_string(),
        "name": lun.path,
        "class": "regular",
        "os_type": lun.os_type,
        "serial_number": lun.serial.to_string(),
        "enabled": lun.enabled,
        "create_time": time(lun.created),
        "comment": lun.comment,
        "svm": svm_reference(cluster, lun.svm),
        "location": {
            "logical_unit": lun.logical_unit(),
            "volume": { "name": volume_name(cluster, lun.volume), "uuid": lun.volume.to_string() },
            "node": node.map(|node| node_reference(cluster, node)),
        },
        "space": {
            "size": lun.size,
            "used": cluster.used_by_lun(lun.id),
            "guarantee": { "requested": lun.reserved, "reserved": lun.reserved },
            "scsi_thin_provisioning_support_enabled": lun.unmap,
        },
        "status": {
            "state": if online { "online" } else { "offline" },
            "container_state": "online",
            "mapped": !maps.is_empty(),
            "read_only": false,
        },
        "qos_policy": lun.qos_policy.as_ref().map(|name| json!({ "name": name })),
        // What is not there is not shown: clients take a missing list for "unmapped".
        "lun_maps": if maps.is_empty() { Value::Null } else { Value::Array(maps) },
        "attributes": if attributes.is_empty() { Value::Null } else { Value::Array(attributes) },
    })
}

fn create(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let svm = scope.require_svm(cluster, body)?.id;
    let source = match body.text("clone.source.name")? {
        Some(name) => Some(name),
        None => body.text("clone.source.uuid")?,
    };
    if let Some(source) = source {
        let spec = LunCloneSpec {
            svm,
            path: path(body)?,
            source,
            size: body.integer("space.size")?,
            reserved: body.boolean("space.guarantee.requested")?,
            comment: body.text("comment")?,
            attributes: named_attributes(body)?,
            qos_policy: body.text("qos_policy.name")?,
        };
        return Ok(vec![cluster.clone_lun(spec)?.to_string()]);
    }
    let spec = LunSpec {
        svm,
        path: path(body)?,
        os_type: body.required_text("os_type")?,
        size: body.integer("space.size")?.ok_or_else(|| Refusal::required("space.size"))?,
        reserved: body.boolean("space.guarantee.requested")?.unwrap_or(false),
        // On by default for new LUNs since 9.15.1.
        unmap: body.boolean("space.scsi_thin_provisioning_support_enabled")?.unwrap_or(true),
        comment: body.text("comment")?.unwrap_or_default(),
        attributes: named_attributes(body)?,
        qos_policy: body.text("qos_policy.name")?,
    };
    Ok(vec![cluster.create_lun(spec)?.to_string()])
}

fn named_attributes(body: &Body) -> Result<Vec<(String, String)>, Refusal> {
    let attributes = body.objects("attributes")?;
    let named = attributes.iter().map(|attribute| {
        Ok((attribute.required_text("name")?, attribute.text("value")?.unwrap_or_default()))
    });
    named.collect()
}

/// `name`, or volume and unit of `location`.
fn path(body: &Body) -> Result<String, Refusal> {
    if let Some(name) = body.text("name")? {
        return Ok(name);
    }
    match (body.text("location.volume.name")?, body.text("location.logical_unit")?) {
        (Some(volume), Some(unit)) => Ok(format!("/vol/{volume}/{unit}")),
        _ => Err(Refusal::required("name")),
    }
}

fn modify(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let patch = LunPatch {
        path: body.text("name")?,
        size: body.integer("space.size")?,
        comment: body.text("comment")?,
        enabled: body.boolean("enabled")?,
        reserved: body.boolean("space.guarantee.requested")?,
        qos_policy: body.text("qos_policy.name")?,
    };
    cluster.modify_lun(lun_id(scope.key(0))?, patch)
}

fn delete(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    let though_mapped = scope.query.flag("allow_delete_while_mapped")?;
    cluster.delete_lun(lun_id(scope.key(0))?, though_mapped)
}

fn attributes(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let lun = cluster.luns.get(&lun_id(scope.parent(0))?).ok_or_else(Refusal::no_entry)?;
    let reference = json!({ "uuid": lun.id.to_string(), "name": lun.path });
    let record =
        |(name, value): &(String, String)| json!({ "name": name, "value": value, "lun": reference.clone() });
    Ok(lun.attributes.iter().map(record).collect())
}

fn create_attribute(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let name = body.required_text("name")?;
    let value = body.text("value")?.unwrap_or_default();
    cluster.create_lun_attribute(lun_id(scope.parent(0))?, &name, &value)?;
    Ok(vec![name])
}

fn modify_attribute(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let value = body.text("value")?.ok_or_else(|| Refusal::required("value"))?;
    cluster.modify_lun_attribute(lun_id(scope.parent(0))?, scope.key(0), &value)
}

fn delete_attribute(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_lun_attribute(lun_id(scope.parent(0))?, scope.key(0))
}

fn lun_id(text: &str) -> Result<LunId, Refusal> {
    text.parse().map(LunId).map_err(|_| Refusal::no_entry())
}
