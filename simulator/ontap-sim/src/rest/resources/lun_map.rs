//! `/protocols/san/lun-maps` and their reporting nodes.

use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::{node_reference, svm_reference};
use crate::state::igroup::Igroup;
use crate::state::lun::Lun;
use crate::state::lun_map::{LunMap, MapTag, no_map};
use crate::state::{Cluster, IgroupId, LunId, NodeId, Refusal, SvmId};

pub(super) const LUN_MAPS: Resource = Resource {
    path: "protocols/san/lun-maps",
    keys: &["lun.uuid", "igroup.uuid"],
    always: &["lun.uuid", "lun.name", "igroup.uuid", "igroup.name", "svm.name", "svm.uuid"],
    expensive: &["reporting_nodes"],
    readable: &[
        "svm.name",
        "svm.uuid",
        "lun.name",
        "lun.uuid",
        "lun.node.name",
        "lun.node.uuid",
        "igroup.name",
        "igroup.uuid",
        "igroup.os_type",
        "igroup.protocol",
        "logical_unit_number",
        "reporting_nodes.name",
        "reporting_nodes.uuid",
    ],
    creatable: &[
        "svm.name",
        "svm.uuid",
        "lun.name",
        "lun.uuid",
        "igroup.name",
        "igroup.uuid",
        "logical_unit_number",
    ],
    list: Some(lun_maps),
    create: Some(create),
    delete: Some(delete),
    missing: no_map,
    ..NOTHING
};

pub(super) const REPORTING_NODES: Resource = Resource {
    path: "protocols/san/lun-maps/{lun.uuid}/{igroup.uuid}/reporting-nodes",
    keys: &["uuid"],
    always: &["uuid", "name"],
    readable: &["uuid", "name"],
    creatable: &["uuid", "name"],
    list: Some(reporting_nodes),
    create: Some(add_reporting_node),
    delete: Some(remove_reporting_node),
    ..NOTHING
};

fn lun_maps(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let wanted = |map: &&LunMap| scope.admits("lun.uuid", map.lun) && scope.admits("igroup.uuid", map.igroup);
    let lun = scope.exact("lun.uuid").map(|uuid| uuid.parse().map(LunId));
    let igroup = scope.exact("igroup.uuid").map(|uuid| uuid.parse().map(IgroupId));
    let rows: Box<dyn Iterator<Item = &LunMap>> = match (lun, igroup) {
        (Some(Ok(lun)), _) => Box::new(cluster.lun_maps.tagged(&MapTag::Of(lun))),
        (None, Some(Ok(igroup))) => Box::new(cluster.lun_maps.tagged(&MapTag::To(igroup))),
        (Some(Err(_)), _) | (_, Some(Err(_))) => Box::new(std::iter::empty()),
        (None, None) => Box::new(cluster.lun_maps.values()),
    };
    // By name: the names are looked at before records are made.
    let lun_name =
        |map: &LunMap| cluster.luns.get(&map.lun).is_some_and(|lun| scope.admits("lun.name", &lun.path));
    let rows = rows.filter(wanted).filter(|map| lun_name(map));
    Ok(rows.filter_map(|map| record(cluster, map)).collect())
}

fn record(cluster: &Cluster, map: &LunMap) -> Option<Value> {
    let (lun, igroup) = (cluster.luns.get(&map.lun)?, cluster.igroups.get(&map.igroup)?);
    let owner = cluster.volumes.get(&lun.volume).and_then(|volume| cluster.owner_of(volume));
    let nodes: Vec<_> = map.reporting_nodes.iter().map(|node| node_reference(cluster, *node)).collect();
    Some(json!({
        "svm": svm_reference(cluster, lun.svm),
        "lun": {
            "name": lun.path,
            "uuid": lun.id.to_string(),
            "node": owner.map(|node| node_reference(cluster, node.id)),
        },
        "igroup": { "name": igroup.name, "uuid": igroup.id.to_string(), "os_type": igroup.os_type },
        "logical_unit_number": map.number,
        "reporting_nodes": nodes,
    }))
}

fn create(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let svm = scope.require_svm(cluster, body)?.id;
    let lun = require_lun(cluster, svm, body)?.id;
    let igroup = require_igroup(cluster, svm, body)?.id;
    cluster.create_lun_map(lun, igroup, body.integer("logical_unit_number")?)?;
    Ok(vec![lun.to_string(), igroup.to_string()])
}

fn delete(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    let (lun, igroup) = map_key(scope.key(0), scope.key(1))?;
    cluster.delete_lun_map(lun, igroup)
}

fn reporting_nodes(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let key = map_key(scope.parent(0), scope.parent(1))?;
    let map = cluster.lun_maps.get(&key).ok_or_else(no_map)?;
    Ok(map.reporting_nodes.iter().map(|node| node_reference(cluster, *node)).collect())
}

fn add_reporting_node(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let asked = body.text("uuid")?.or(body.text("name")?).ok_or_else(|| Refusal::required("name"))?;
    let node = cluster.nodes.values().find(|node| node.name == asked || node.id.to_string() == asked);
    let node = node.map(|node| node.id).ok_or_else(|| {
        Refusal::missing(4, format!("Node \"{asked}\" does not exist in the cluster")).about("name")
    })?;
    cluster.set_reporting_node(map_key(scope.parent(0), scope.parent(1))?, node, true)?;
    Ok(vec![node.to_string()])
}

fn remove_reporting_node(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    let node = scope.key(0).parse().map(NodeId).map_err(|_| Refusal::no_entry())?;
    cluster.set_reporting_node(map_key(scope.parent(0), scope.parent(1))?, node, false)
}

fn map_key(lun: &str, igroup: &str) -> Result<(LunId, IgroupId), Refusal> {
    match (lun.parse(), igroup.parse()) {
        (Ok(lun), Ok(igroup)) => Ok((LunId(lun), IgroupId(igroup))),
        _ => Err(no_map()),
    }
}

fn require_lun<'c>(cluster: &'c Cluster, svm: SvmId, body: &Body) -> Result<&'c Lun, Refusal> {
    let (name, uuid) = (body.text("lun.name")?, body.text("lun.uuid")?);
    let found = match (&name, &uuid) {
        (_, Some(uuid)) => uuid.parse().ok().and_then(|uuid| cluster.luns.get(&LunId(uuid))),
        (Some(name), None) => cluster.find_lun_named(svm, name),
        (None, None) => return Err(Refusal::required("lun.name")),
    };
    found.filter(|lun| lun.svm == svm && name.as_ref().is_none_or(|name| *name == lun.path)).ok_or_else(
        || {
            let what = name.or(uuid).unwrap_or_default();
            Refusal::missing(5_374_875, format!("LUN \"{what}\" does not exist in the SVM")).about("lun")
        },
    )
}

fn require_igroup<'c>(cluster: &'c Cluster, svm: SvmId, body: &Body) -> Result<&'c Igroup, Refusal> {
    let (name, uuid) = (body.text("igroup.name")?, body.text("igroup.uuid")?);
    let found = match (&name, &uuid) {
        (_, Some(uuid)) => uuid.parse().ok().and_then(|uuid| cluster.igroups.get(&IgroupId(uuid))),
        (Some(name), None) => cluster.find_igroup_named(svm, name),
        (None, None) => return Err(Refusal::required("igroup.name")),
    };
    let named = |igroup: &&Igroup| igroup.svm == svm && name.as_ref().is_none_or(|name| *name == igroup.name);
    found.filter(named).ok_or_else(|| {
        let what = name.clone().or(uuid).unwrap_or_default();
        Refusal::missing(5_374_878, format!("Initiator group \"{what}\" does not exist in the SVM"))
            .about("igroup")
    })
}
