//! The collections the array serves, one module a family.

mod aggregate;
mod cluster;
mod ems;
mod export;
mod hardware;
mod igroup;
mod iscsi;
mod lun;
mod lun_map;
mod network;
mod nvme;
mod peer;
mod qos;
mod schedule;
mod security;
mod segment;
mod svm;
mod volume;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::resource::Resource;
use crate::state::{Cluster, NodeId, SvmId, VolumeId};

/// Every collection.
pub(super) const ALL: &[Resource] = &[
    cluster::CLUSTER,
    cluster::NODES,
    cluster::JOBS,
    svm::SVMS,
    network::IP_INTERFACES,
    network::SERVICE_POLICIES,
    segment::IPSPACES,
    segment::BROADCAST_DOMAINS,
    segment::ROUTES,
    segment::SUBNETS,
    hardware::ETHERNET_PORTS,
    hardware::FC_INTERFACES,
    hardware::FCP_SERVICES,
    hardware::DISKS,
    hardware::LICENSES,
    hardware::COUNTERS,
    hardware::COUNTER_ROWS,
    qos::POLICIES,
    nvme::NAMESPACES,
    nvme::SUBSYSTEMS,
    nvme::HOSTS,
    nvme::MAPS,
    nvme::SERVICES,
    schedule::SCHEDULES,
    peer::CLUSTER_PEERS,
    peer::SVM_PEERS,
    security::ACCOUNTS,
    security::PASSWORD,
    security::ROLES,
    security::PRIVILEGES,
    security::CERTIFICATES,
    aggregate::AGGREGATES,
    volume::VOLUMES,
    export::POLICIES,
    export::RULES,
    lun::LUNS,
    lun::ATTRIBUTES,
    igroup::IGROUPS,
    igroup::INITIATORS,
    lun_map::LUN_MAPS,
    lun_map::REPORTING_NODES,
    iscsi::SERVICES,
    iscsi::CREDENTIALS,
    ems::APPLICATION_LOGS,
];

fn svm_reference(cluster: &Cluster, svm: SvmId) -> Value {
    json!({ "name": cluster.svm_name(svm), "uuid": svm.to_string() })
}

fn node_reference(cluster: &Cluster, node: NodeId) -> Value {
    json!({ "name": cluster.find_node(node).map(|node| node.name.as_str()), "uuid": node.to_string() })
}

fn volume_name(cluster: &Cluster, volume: VolumeId) -> &str {
    cluster.volumes.get(&volume).map_or("", |volume| volume.name.as_str())
}

/// RFC 3339 with a numeric offset, in whole seconds, as the array writes it.
fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}
