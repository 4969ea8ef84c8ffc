//! `/protocols/san/igroups` and their initiators.

use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Records, Resource, Scope};
use super::svm_reference;
use crate::state::igroup::{Igroup, IgroupSpec, IgroupTag, Initiator, Protocol};
use crate::state::lun_map::MapTag;
use crate::state::{Cluster, IgroupId, Refusal};

pub(super) const IGROUPS: Resource = Resource {
    path: "protocols/san/igroups",
    keys: &["uuid"],
    always: &["uuid", "name", "svm.name", "svm.uuid"],
    expensive: &["lun_maps", "target"],
    readable: &[
        "uuid",
        "name",
        "svm.name",
        "svm.uuid",
        "protocol",
        "os_type",
        "comment",
        "initiators.name",
        "initiators.comment",
        "lun_maps.logical_unit_number",
        "lun_maps.lun.name",
        "lun_maps.lun.uuid",
        "target.vendor_id",
        "target.product_id",
        "target.firmware_revision",
    ],
    creatable: &[
        "name",
        "svm.name",
        "svm.uuid",
        "protocol",
        "os_type",
        "comment",
        "initiators.name",
        "initiators.comment",
    ],
    modifiable: &["name", "os_type", "comment"],
    flags: &["allow_delete_while_mapped"],
    stream: Some(igroups),
    create: Some(create),
    modify: Some(modify),
    delete: Some(delete),
    ..NOTHING
};

pub(super) const INITIATORS: Resource = Resource {
    path: "protocols/san/igroups/{igroup.uuid}/initiators",
    keys: &["name"],
    always: &["name", "igroup.uuid"],
    readable: &["name", "comment", "igroup.name", "igroup.uuid"],
    creatable: &["name", "comment"],
    modifiable: &["comment"],
    flags: &["allow_delete_while_mapped"],
    list: Some(initiators),
    create: Some(add_initiator),
    modify: Some(modify_initiator),
    delete: Some(remove_initiator),
    ..NOTHING
};

fn igroups<'c>(cluster: &'c Cluster, scope: &'c Scope<'_>) -> Records<'c> {
    let rows = scope.rows(cluster, &cluster.igroups, IgroupId, IgroupTag::Named, IgroupTag::Of);
    let wanted = |igroup: &&Igroup| scope.admits("uuid", igroup.id) && scope.admits("name", &igroup.name);
    Box::new(rows.filter(wanted).map(|igroup| record(cluster, igroup)))
}

fn record(cluster: &Cluster, igroup: &Igroup) -> Value {
    let initiators: Vec<_> = igroup.initiators.iter().map(initiator_record).collect();
    let maps: Vec<_> = cluster
        .lun_maps
        .tagged(&MapTag::To(igroup.id))
        .map(|map| {
            let name = cluster.luns.get(&map.lun).map(|lun| lun.path.as_str());
            json!({ "logical_unit_number": map.number, "lun": { "name": name, "uuid": map.lun.to_string() } })
        })
        .collect();
    json!({
        "uuid": igroup.id.to_string(),
        "name": igroup.name,
        "svm": svm_reference(cluster, igroup.svm),
        "protocol": match igroup.protocol {
            Protocol::Iscsi => "iscsi",
            Protocol::Fcp => "fcp",
            Protocol::Mixed => "mixed",
        },
        "os_type": igroup.os_type,
        "comment": if igroup.comment.is_empty() { Value::Null } else { igroup.comment.as_str().into() },
        // What is not there is not shown: clients take a missing list for "no initiators".
        "initiators": if initiators.is_empty() { Value::Null } else { Value::Array(initiators) },
        "lun_maps": if maps.is_empty() { Value::Null } else { Value::Array(maps) },
        "target": { "vendor_id": "NETAPP", "product_id": "LUN C-Mode", "firmware_revision": "9151" },
    })
}

fn initiator_record(initiator: &Initiator) -> Value {
    let comment = (!initiator.comment.is_empty()).then_some(initiator.comment.as_str());
    json!({ "name": initiator.name, "comment": comment })
}

fn create(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let svm = scope.require_svm(cluster, body)?.id;
    let protocol = body.text("protocol")?;
    let spec = IgroupSpec {
        svm,
        name: body.required_text("name")?,
        protocol: match protocol.as_deref() {
            None | Some("mixed") => Protocol::Mixed,
            Some("iscsi") => Protocol::Iscsi,
            Some("fcp") => Protocol::Fcp,
            Some(other) => return Err(Refusal::invalid("protocol", other)),
        },
        os_type: body.required_text("os_type")?,
        comment: body.text("comment")?.unwrap_or_default(),
        initiators: body.objects("initiators")?.iter().map(initiator).collect::<Result<_, _>>()?,
    };
    Ok(vec![cluster.create_igroup(spec)?.to_string()])
}

fn initiator(body: &Body) -> Result<Initiator, Refusal> {
    Ok(Initiator { name: body.required_text("name")?, comment: body.text("comment")?.unwrap_or_default() })
}

fn modify(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let (name, os_type, comment) = (body.text("name")?, body.text("os_type")?, body.text("comment")?);
    cluster.modify_igroup(igroup_id(scope.key(0))?, name, os_type, comment)
}

fn modify_initiator(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let comment = body.text("comment")?.unwrap_or_default();
    cluster.modify_initiator(igroup_id(scope.parent(0))?, scope.key(0), &comment)
}

fn delete(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    let though_mapped = scope.query.flag("allow_delete_while_mapped")?;
    cluster.delete_igroup(igroup_id(scope.key(0))?, though_mapped)
}

fn initiators(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let igroup = cluster.igroups.get(&igroup_id(scope.parent(0))?).ok_or_else(Refusal::no_entry)?;
    let record = |initiator: &Initiator| {
        let mut record = initiator_record(initiator);
        if let Some(members) = record.as_object_mut() {
            members.insert("igroup".into(), json!({ "name": igroup.name, "uuid": igroup.id.to_string() }));
        }
        record
    };
    Ok(igroup.initiators.iter().map(record).collect())
}

fn add_initiator(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let name = cluster.add_initiator(igroup_id(scope.parent(0))?, initiator(body)?)?;
    Ok(vec![name])
}

fn remove_initiator(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    scope.query.flag("allow_delete_while_mapped")?;
    cluster.remove_initiator(igroup_id(scope.parent(0))?, scope.key(0))
}

fn igroup_id(text: &str) -> Result<IgroupId, Refusal> {
    text.parse().map(IgroupId).map_err(|_| Refusal::no_entry())
}
