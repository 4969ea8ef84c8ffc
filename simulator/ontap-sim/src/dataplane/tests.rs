//! What the data planes are given, for what the state decided.

use super::wire::{wire_flavours, wire_policy};
use super::*;
use crate::rest::{Call, Method, answer};
use crate::state::export::Flavours;
use crate::state::{Blueprint, Lif, LifBlueprint};
use iscsi_target::Visibility;
use nfs_server::AuthRule;
use serde_json::{Value, json};

fn blueprint() -> Blueprint {
    let lif = |last: u8, node: &str| LifBlueprint {
        address: std::net::IpAddr::from([127, 0, 0, last]),
        node: Some(node.into()),
    };
    Blueprint {
        nfs: vec![lif(1, "sim-01")],
        iscsi: vec![lif(1, "sim-01"), lif(2, "sim-02")],
        default_export_clients: vec!["10.0.0.0/8".into(), "@hosts".into()],
        ..Blueprint::sample()
    }
}

async fn brought_up() -> (Cluster, DataPlanes) {
    let mut cluster = Cluster::boot(&blueprint()).unwrap();
    let ports = Ports { nfs: 0, portmap: false, iscsi: 0 };
    let planes = DataPlanes::bring_up(
        &cluster,
        ports,
        Contents::in_memory(),
        &EventLog::new(),
        &Levers::new(),
        Lif::is_of_flags,
    )
    .await
    .unwrap();
    let changes = cluster.take_changes();
    planes.make(&changes).unwrap();
    planes.apply(changes);
    (cluster, planes)
}

fn post(cluster: &mut Cluster, planes: &DataPlanes, path: &str, body: Value) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let call = Call { method: Method::Post, path: path.into(), query: query.into(), svm: None, body };
    let answer = answer(cluster, &call);
    assert_eq!(answer.status, 201, "{}", answer.body);
    let changes = cluster.take_changes();
    planes.make(&changes).unwrap();
    planes.apply(changes);
}

#[tokio::test]
async fn a_free_port_that_is_taken_on_another_lifs_address_is_not_kept() {
    let (cluster, planes) = brought_up().await;
    let [first, second] = &planes.portals()[..] else { panic!("{:?}", planes.portals()) };
    assert_eq!(first.address.port(), second.address.port());
    planes.lower(second.lif).await;
    let _anybody = std::net::TcpListener::bind(second.address).unwrap();
    planes.raise_all(&cluster, |_| true).await.unwrap();
    let [first, other] = &planes.portals()[..] else { panic!("{:?}", planes.portals()) };
    assert_eq!(first.address.port(), other.address.port());
    assert_ne!(other.address, second.address);
}

#[tokio::test]
async fn a_mapped_lun_shows_its_initiators_its_identity_and_its_owners_group() {
    let (mut cluster, planes) = brought_up().await;
    let volume = json!({ "name": "v", "svm.name": "svm1", "aggregates.name": ["aggr2"], "size": "1GB" });
    post(&mut cluster, &planes, "/api/storage/volumes?return_timeout=9", volume);
    let lun = json!({ "name": "/vol/v/l", "svm.name": "svm1", "os_type": "linux", "space.size": "1MB" });
    post(&mut cluster, &planes, "/api/storage/luns", lun);
    let igroup = json!({ "name": "ig", "svm.name": "svm1", "os_type": "linux",
        "initiators": [{ "name": "iqn.2026-11.example:a" }, { "name": "iqn.2026-11.example:B" }] });
    post(&mut cluster, &planes, "/api/protocols/san/igroups", igroup);
    let svm = cluster.svms.first().unwrap().id;
    let units = |planes: &DataPlanes| {
        let served = planes.served.lock();
        served.units_of(&served.targets[&svm])
    };
    assert!(units(&planes).is_empty());
    let map = json!({ "lun.name": "/vol/v/l", "igroup.name": "ig", "svm.name": "svm1",
        "logical_unit_number": 7 });
    post(&mut cluster, &planes, "/api/protocols/san/lun-maps", map);
    let units = units(&planes);
    let [unit] = &units[..] else { panic!("{units:?}") };
    let serial = cluster.luns.values().next().unwrap().serial;
    assert_eq!((unit.number, unit.identity.serial.as_str()), (7, serial.to_string().as_str()));
    assert_eq!(unit.identity.naa, serial.naa());
    assert_eq!(unit.optimized_groups, BTreeSet::from([2]));
    assert_eq!(
        unit.access,
        Visibility::Initiators(["iqn.2026-11.example:a", "iqn.2026-11.example:b"].map(String::from).into())
    );
    planes.take_down().await;
}

#[tokio::test]
async fn every_portal_has_a_tag_of_its_own_and_the_group_of_its_node() {
    let (cluster, planes) = brought_up().await;
    let bound = planes.portals();
    let portals: Vec<_> = bound.iter().map(|portal| (portal.tag, portal.node.as_str())).collect();
    assert_eq!(portals, [(1030, "sim-01"), (1031, "sim-02")]);
    let groups: Vec<_> = cluster.nodes.values().map(|node| group_of(&cluster, node.id)).collect();
    assert_eq!(groups, [1, 2]);
    planes.take_down().await;
}

#[test]
fn a_rule_that_cannot_be_judged_admits_nobody_and_the_others_stay() {
    let cluster = Cluster::boot(&blueprint()).unwrap();
    let policy = wire_policy(cluster.policies.get(&1).unwrap());
    assert_eq!(policy.rules.iter().map(|rule| rule.index).collect::<Vec<_>>(), [1]);
    let mut cifs = cluster.policies.get(&1).unwrap().clone();
    for rule in cifs.rules.values_mut() {
        rule.protocols = vec!["cifs".into()];
    }
    assert!(wire_policy(&cifs).rules.is_empty());
}

#[test]
fn flavours_that_are_not_served_admit_nobody() {
    let flavours = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        wire_flavours(&Flavours::parse("rw_rule", &names).unwrap())
    };
    assert_eq!(flavours(&["any"]), AuthRule::Any);
    assert_eq!(flavours(&["krb5", "sys"]), AuthRule::Sys);
    assert_eq!(flavours(&["none"]), AuthRule::None);
    assert_eq!(flavours(&["krb5p"]), AuthRule::Never);
    assert_eq!(flavours(&["never"]), AuthRule::Never);
}
