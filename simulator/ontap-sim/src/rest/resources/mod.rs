//! The collections the array serves, one module a family.

mod aggregate;
mod cluster;
mod consistency_group;
mod ems;
mod export;
mod file;
mod hardware;
mod igroup;
mod iscsi;
mod lun;
mod lun_map;
mod name_services;
mod network;
mod nfs;
mod nvme;
mod peer;
mod private_cli;
mod qos;
mod qtree;
mod quota;
mod schedule;
mod security;
mod segment;
mod snapmirror;
mod snapshot;
mod snapshot_policy;
mod svm;
mod volume;
mod volume_body;
mod volume_record;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::body::Body;
use super::resource::{Resource, Scope};
use crate::state::{Cluster, NodeId, Refusal, SvmId, VolumeId};

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
    snapmirror::TRANSFERS,
    snapmirror::RELATIONSHIPS,
    snapmirror::MIRROR_POLICIES,
    security::ACCOUNTS,
    security::PASSWORD,
    security::ROLES,
    security::PRIVILEGES,
    security::CERTIFICATES,
    aggregate::AGGREGATES,
    volume::VOLUMES,
    snapshot::SNAPSHOTS,
    snapshot_policy::SNAPSHOT_POLICIES,
    snapshot_policy::SCHEDULES,
    private_cli::PURGE,
    private_cli::RECOVER,
    private_cli::RECOVERY_QUEUE,
    private_cli::EFFICIENCY_ON,
    private_cli::EFFICIENCY_OFF,
    private_cli::EFFICIENCY,
    private_cli::MOVE,
    private_cli::MODE,
    private_cli::PERSONALITY,
    qtree::QTREES,
    quota::RULES,
    quota::REPORTS,
    nfs::SERVICES,
    export::POLICIES,
    export::RULES,
    file::CLONES,
    lun::LUNS,
    lun::ATTRIBUTES,
    igroup::IGROUPS,
    igroup::INITIATORS,
    lun_map::LUN_MAPS,
    lun_map::REPORTING_NODES,
    iscsi::SERVICES,
    iscsi::CREDENTIALS,
    iscsi::SESSIONS,
    consistency_group::GROUPS,
    consistency_group::SNAPSHOTS,
    name_services::DNS,
    name_services::UNIX_USERS,
    name_services::UNIX_GROUPS,
    name_services::GROUP_USERS,
    name_services::LOCAL_HOSTS,
    ems::APPLICATION_LOGS,
    ems::EVENTS,
];

fn svm_reference(cluster: &Cluster, svm: SvmId) -> Value {
    json!({ "name": cluster.svm_name(svm), "uuid": svm.to_string() })
}

fn node_reference(cluster: &Cluster, node: NodeId) -> Value {
    json!({ "name": cluster.find_node(node).map(|node| node.name.as_str()), "uuid": node.to_string() })
}

fn volume_reference(cluster: &Cluster, volume: VolumeId) -> Value {
    json!({ "name": volume_name(cluster, volume), "uuid": volume.to_string() })
}

/// The volume that a body names, by UUID or by name in its SVM.
fn require_volume(cluster: &Cluster, scope: &Scope<'_>, body: &Body) -> Result<VolumeId, Refusal> {
    let missing = |what: &str| {
        Refusal::missing(918_235, format!("A volume with name \"{what}\" was not found")).about("volume")
    };
    if let Some(uuid) = body.text("volume.uuid")? {
        let known = uuid.parse().map(VolumeId).ok().filter(|id| cluster.volumes.contains_key(id));
        return known.ok_or_else(|| missing(&uuid));
    }
    let svm = scope.require_svm(cluster, body)?.id;
    let name = body.required_text("volume.name")?;
    cluster.find_volume_named(svm, &name).map(|volume| volume.id).ok_or_else(|| missing(&name))
}

/// Text that clients take for a value only when there is some.
fn set(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn volume_name(cluster: &Cluster, volume: VolumeId) -> &str {
    cluster.volumes.get(&volume).map_or("", |volume| volume.name.as_str())
}

/// RFC 3339 with a numeric offset, in whole seconds, as the array writes it.
fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}
