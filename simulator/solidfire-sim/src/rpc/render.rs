//! From a [`Reply`] to the JSON that clients parse. Clients break on absent fields and on null where an
//! empty text belongs, so every object is complete.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::hardware::{self, MAX_USED_SPACE};
use super::{access_groups, protection, version};
use crate::state::limits::{
    ACCESS_GROUP_COUNT_MAX, ACCESS_GROUP_NAME_LENGTH, ACCOUNT_COUNT_MAX, ACCOUNT_NAME_LENGTH, BURST_IOPS,
    INITIATOR_COUNT_MAX, INITIATOR_NAME_LENGTH, INITIATORS_PER_ACCESS_GROUP_MAX, MAX_IOPS, MIN_IOPS,
    QOS_POLICY_COUNT_MAX, SECRET_LENGTH, SNAPSHOT_NAME_LENGTH, SNAPSHOTS_PER_VOLUME_MAX, VOLUME_NAME_LENGTH,
    VOLUME_SIZE_MAX, VOLUME_SIZE_MIN, VOLUMES_PER_ACCESS_GROUP_MAX, VOLUMES_PER_ACCOUNT_MAX,
    VOLUMES_PER_GROUP_SNAPSHOT_MAX,
};
use crate::state::{
    Access, AccountRecord, AccountStatus, Capacity, ClusterIdentity, LogicalBlock, Node, Qos, Reply, Volume,
    VolumeUsage,
};
use crate::traffic::{SAMPLE, Traffic};

/// Block in which the array counts space, bytes.
const BLOCK_BYTES: u64 = 4096;
/// Bytes of volumes the cluster promises at most: five times what it holds.
const MAX_PROVISIONED_SPACE: u64 = 5 * MAX_USED_SPACE;
/// Metadata space of the simulated drives, bytes.
const MAX_USED_METADATA_SPACE: u64 = 4 << 40;

/// The `result` of an answer.
pub(super) fn result(reply: &Reply) -> Value {
    match reply {
        Reply::Api => version::api(),
        Reply::ClusterInfo(identity) => json!({"clusterInfo": cluster_info(identity)}),
        Reply::ClusterVersionInfo(identity) => cluster_version_info(identity),
        Reply::ClusterHardwareInfo(kind, identity) => {
            json!({"clusterHardwareInfo": hardware::cluster_hardware(*kind, identity)})
        }
        Reply::ClusterCapacity(capacity) => json!({"clusterCapacity": cluster_capacity(capacity)}),
        Reply::Limits(volumes) => limits(*volumes),
        Reply::DefaultQos(defaults) => qos(*defaults),
        Reply::Account(record) => json!({"account": account(record)}),
        Reply::AccountAdded(record) => json!({"accountID": record.account.id.0, "account": account(record)}),
        Reply::Accounts(records) => json!({"accounts": records.iter().map(account).collect::<Vec<_>>()}),
        Reply::VolumeCreated(created) => {
            json!({"volumeID": created.id.0, "volume": volume(created), "curve": curve()})
        }
        Reply::Volume(one) => json!({"volume": volume(one), "curve": curve()}),
        Reply::Volumes(many) => json!({"volumes": many.iter().map(volume).collect::<Vec<_>>()}),
        Reply::VolumeStats(usage) => json!({"volumeStats": volume_stats(usage)}),
        Reply::Nothing => json!({}),
        Reply::AccessGroup(_) | Reply::AccessGroups(_) | Reply::Luns(_) | Reply::Initiators(_) => {
            access_groups::result(reply)
        }
        other => protection::result(other),
    }
}

/// `2026-01-02T03:04:05Z`, the form of every time in the API.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn cluster_info(identity: &ClusterIdentity) -> Value {
    let (mvip, svip) = (identity.mvip.ip().to_string(), identity.svip.ip().to_string());
    let ensemble: Vec<_> = identity.nodes.iter().map(|node| node.storage.ip().to_string()).collect();
    json!({
        "attributes": {},
        "defaultProtectionScheme": "doubleHelix",
        "enabledProtectionSchemes": ["doubleHelix"],
        "encryptionAtRestState": "disabled",
        "ensemble": ensemble,
        "mvip": mvip,
        "mvipInterface": "Bond1G",
        "mvipNodeID": 1,
        "mvipVlanTag": "0",
        "name": identity.name,
        "repCount": 2,
        "softwareEncryptionAtRestState": "disabled",
        "supportedProtectionSchemes": ["doubleHelix"],
        "svip": svip,
        "svipInterface": "Bond10G",
        "svipNodeID": 1,
        "svipVlanTag": "0",
        "uniqueID": identity.unique_id.to_string(),
        "uuid": identity.uuid,
    })
}

fn cluster_version_info(identity: &ClusterIdentity) -> Value {
    let version = version::SOFTWARE;
    let node =
        |node: &Node| json!({"nodeID": node.id, "nodeVersion": version, "nodeInternalRevision": version});
    let nodes: Vec<_> = identity.nodes.iter().map(node).collect();
    json!({
        "clusterAPIVersion": version::CURRENT.to_string(),
        "clusterVersion": version,
        "clusterVersionInfo": nodes,
        "pendingClusterVersion": null,
        "softwareVersionInfo": {
            "currentVersion": version,
            "nodeID": 0,
            "packageName": "",
            "pendingVersion": version,
            "startTime": "",
        },
    })
}

fn cluster_capacity(capacity: &Capacity) -> Value {
    let non_zero = capacity.used / BLOCK_BYTES;
    let zero = (capacity.provisioned / BLOCK_BYTES).saturating_sub(non_zero);
    json!({
        "activeBlockSpace": capacity.used,
        "activeSessions": capacity.sessions,
        "averageIOPS": capacity.traffic.iops(),
        "clusterRecentIOSize": mean_size(&capacity.traffic),
        "currentIOPS": capacity.traffic.iops(),
        "maxIOPS": capacity.iops,
        "maxOverProvisionableSpace": MAX_PROVISIONED_SPACE,
        "maxProvisionedSpace": MAX_PROVISIONED_SPACE,
        "maxUsedMetadataSpace": MAX_USED_METADATA_SPACE,
        "maxUsedSpace": MAX_USED_SPACE,
        "nonZeroBlocks": non_zero,
        "peakActiveSessions": capacity.sessions,
        "peakIOPS": 0,
        "provisionedSpace": capacity.provisioned,
        "snapshotNonZeroBlocks": 0,
        "timestamp": time(capacity.at),
        "totalOps": capacity.traffic.total.operations(),
        "uniqueBlocks": non_zero,
        "uniqueBlocksUsedSpace": capacity.used,
        "usedMetadataSpace": 0,
        "usedMetadataSpaceInSnapshots": 0,
        "usedSpace": capacity.used,
        "zeroBlocks": zero,
    })
}

fn limits(volumes: usize) -> Value {
    let limits = [
        ("accountCountMax", json!(ACCOUNT_COUNT_MAX)),
        ("accountNameLengthMax", json!(ACCOUNT_NAME_LENGTH.end())),
        ("accountNameLengthMin", json!(ACCOUNT_NAME_LENGTH.start())),
        ("bulkVolumeJobsPerNodeMax", json!(8)),
        ("bulkVolumeJobsPerVolumeMax", json!(2)),
        ("cloneJobsPerNodeMax", json!(32)),
        ("cloneJobsPerVolumeMax", json!(2)),
        ("clusterAdminAccountMax", json!(5000)),
        ("clusterPairsCountMax", json!(4)),
        ("fibreChannelVolumeAccessMax", json!(16_384)),
        ("initiatorAliasLengthMax", json!(INITIATOR_NAME_LENGTH.end())),
        ("initiatorCountMax", json!(INITIATOR_COUNT_MAX)),
        ("initiatorNameLengthMax", json!(INITIATOR_NAME_LENGTH.end())),
        ("initiatorsPerVolumeAccessGroupCountMax", json!(INITIATORS_PER_ACCESS_GROUP_MAX)),
        ("iscsiSessionsFromFibreChannelNodesMax", json!(4096)),
        ("qosPolicyCountMax", json!(QOS_POLICY_COUNT_MAX)),
        ("scheduleNameLengthMax", json!(244)),
        ("secretLengthMax", json!(SECRET_LENGTH.end())),
        ("secretLengthMin", json!(SECRET_LENGTH.start())),
        ("snapshotNameLengthMax", json!(SNAPSHOT_NAME_LENGTH)),
        ("snapshotsPerVolumeMax", json!(SNAPSHOTS_PER_VOLUME_MAX)),
        ("virtualVolumeCountMax", json!(8000)),
        ("virtualVolumesPerAccountCountMax", json!(10_000)),
        ("volumeAccessGroupCountMax", json!(ACCESS_GROUP_COUNT_MAX)),
        ("volumeAccessGroupLunMax", json!(16_383)),
        ("volumeAccessGroupNameLengthMax", json!(ACCESS_GROUP_NAME_LENGTH.end())),
        ("volumeAccessGroupNameLengthMin", json!(ACCESS_GROUP_NAME_LENGTH.start())),
        ("volumeAccessGroupsPerInitiatorCountMax", json!(1)),
        ("volumeAccessGroupsPerVolumeCountMax", json!(64)),
        ("volumeBurstIOPSMax", json!(BURST_IOPS.end())),
        ("volumeBurstIOPSMin", json!(BURST_IOPS.start())),
        ("volumeCountMax", json!(volumes)),
        ("volumeMaxIOPSMax", json!(MAX_IOPS.end())),
        ("volumeMaxIOPSMin", json!(MAX_IOPS.start())),
        ("volumeMinIOPSMax", json!(MIN_IOPS.end())),
        ("volumeMinIOPSMin", json!(MIN_IOPS.start())),
        ("volumeNameLengthMax", json!(VOLUME_NAME_LENGTH.end())),
        ("volumeNameLengthMin", json!(VOLUME_NAME_LENGTH.start())),
        ("volumeSizeMax", json!(VOLUME_SIZE_MAX)),
        ("volumeSizeMin", json!(VOLUME_SIZE_MIN)),
        ("volumesPerAccountCountMax", json!(VOLUMES_PER_ACCOUNT_MAX)),
        ("volumesPerGroupSnapshotMax", json!(VOLUMES_PER_GROUP_SNAPSHOT_MAX)),
        ("volumesPerVolumeAccessGroupCountMax", json!(VOLUMES_PER_ACCESS_GROUP_MAX)),
    ];
    limits.map(|(name, value)| (name.to_owned(), value)).into_iter().collect::<Map<_, _>>().into()
}

pub(super) fn curve() -> Value {
    Qos::CURVE
        .iter()
        .map(|(bytes, cost)| (bytes.to_string(), Value::from(*cost)))
        .collect::<Map<_, _>>()
        .into()
}

pub(super) fn qos(qos: Qos) -> Value {
    json!({
        "minIOPS": qos.min_iops(),
        "maxIOPS": qos.max_iops(),
        "burstIOPS": qos.burst_iops(),
        "burstTime": Qos::BURST_TIME,
        "curve": curve(),
    })
}

fn account(record: &AccountRecord) -> Value {
    let account = &record.account;
    json!({
        "accountID": account.id.0,
        "attributes": account.attributes,
        "enableChap": account.enable_chap,
        "initiatorSecret": account.initiator_secret.expose(),
        "status": match account.status {
            AccountStatus::Active => "active",
            AccountStatus::Locked => "locked",
        },
        "storageContainerID": uuid::Uuid::nil(),
        "targetSecret": account.target_secret.expose(),
        "username": account.username,
        "volumes": record.volumes.iter().map(|id| id.0).collect::<Vec<_>>(),
    })
}

fn access(access: Access) -> &'static str {
    match access {
        Access::ReadWrite => "readWrite",
        Access::ReadOnly => "readOnly",
        Access::Locked => "locked",
        Access::ReplicationTarget => "replicationTarget",
        Access::SnapMirrorTarget => "snapMirrorTarget",
    }
}

/// A volume as `ListVolumes` shows it.
pub(crate) fn volume(volume: &Volume) -> Value {
    // Empty text, never null: clients compare `deleteTime` with "".
    let (deleted_at, purge_at) = match volume.deletion {
        Some(deletion) => (time(deletion.deleted_at), time(deletion.purge_at)),
        None => (String::new(), String::new()),
    };
    json!({
        "volumeID": volume.id.0,
        "volumeUUID": volume.uuid,
        "volumeConsistencyGroupUUID": volume.consistency_group,
        "name": volume.name,
        "accountID": volume.account.0,
        "createTime": time(volume.created_at),
        "status": if volume.deletion.is_some() { "deleted" } else { "active" },
        "access": access(volume.access),
        "enable512e": volume.block == LogicalBlock::Emulated512,
        "enableSnapMirrorReplication": false,
        "iqn": volume.names.iqn,
        "scsiEUIDeviceID": volume.names.eui.to_string(),
        "scsiNAADeviceID": volume.names.naa.to_string(),
        "qos": qos(volume.qos),
        "qosPolicyID": volume.policy.map(|policy| policy.0),
        "volumeAccessGroups": volume.groups.iter().map(|group| group.0).collect::<Vec<_>>(),
        "volumePairs": [],
        "deleteTime": deleted_at,
        "purgeTime": purge_at,
        "lastAccessTime": null,
        "lastAccessTimeIO": null,
        "sliceCount": 1,
        "totalSize": volume.size,
        "blockSize": BLOCK_BYTES,
        "virtualVolumeID": null,
        "attributes": volume.attributes,
        "currentProtectionScheme": "doubleHelix",
        "previousProtectionScheme": null,
        "fifoSize": 24,
        "minFifoSize": 0,
        "maxFifoSize": 24,
    })
}

/// Bytes of a transfer in the last sample, on average.
fn mean_size(traffic: &Traffic) -> u64 {
    traffic.sample.bytes() / traffic.sample.operations().max(1)
}

/// What is measured is true: latencies are the time that quality of service holds transfers back,
/// for nothing else here takes time worth telling. The rest is zero.
fn volume_stats(usage: &VolumeUsage) -> Value {
    let volume = &usage.volume;
    let Traffic { total, sample } = &usage.traffic;
    let latency = sample.waited.as_micros() / u128::from(sample.operations().max(1));
    let latency = if sample.operations() == 0 { 0 } else { latency.max(1) };
    let utilization = usage.traffic.iops() as f64 / volume.qos.max_iops().max(1) as f64;
    let non_zero = usage.used / BLOCK_BYTES;
    json!({
        "accountID": volume.account.0,
        "actualIOPS": usage.traffic.iops(),
        "asyncDelay": null,
        "averageIOPSize": mean_size(&usage.traffic),
        "burstIOPSCredit": usage.burst_credit,
        "clientQueueDepth": 0,
        "desiredMetadataHosts": null,
        "latencyUSec": latency as u64,
        "metadataHosts": {"deadSecondaries": [], "liveSecondaries": [], "primary": usage.node},
        "nonZeroBlocks": non_zero,
        "readBytes": total.read.bytes,
        "readBytesLastSample": sample.read.bytes,
        "readLatencyUSec": 0,
        "readOps": total.read.operations,
        "readOpsLastSample": sample.read.operations,
        "samplePeriodMSec": SAMPLE.as_millis() as u64,
        "throttle": 0.0,
        "timestamp": time(usage.at),
        "totalLatencyUSec": total.waited.as_micros() as u64,
        "unalignedReads": 0,
        "unalignedWrites": 0,
        "volumeAccessGroups": volume.groups.iter().map(|group| group.0).collect::<Vec<_>>(),
        "volumeID": volume.id.0,
        "volumeSize": volume.size,
        "volumeUtilization": utilization,
        "writeBytes": total.written.bytes,
        "writeBytesLastSample": sample.written.bytes,
        "writeLatencyUSec": 0,
        "writeOps": total.written.operations,
        "writeOpsLastSample": sample.written.operations,
        "zeroBlocks": (volume.size / BLOCK_BYTES).saturating_sub(non_zero),
    })
}
