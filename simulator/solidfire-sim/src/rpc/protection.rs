//! What protects and shares: QoS policies, snapshots, group snapshots, clones and their jobs, from
//! parameters to requests and from replies to JSON.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::decode::{access, qos, qos_patch, volume_id};
use super::params::Params;
use super::render::{self, curve, time, volume};
use super::schedules;
use crate::state::{
    AccountId, ApiError, AsyncHandle, CopyRequest, Expiry, GroupId, GroupRecord, Job, LogicalBlock, NewClone,
    NewSnapshot, PolicyId, PolicyRecord, PolicyRequest, Reply, Request, Snapshot, SnapshotId, SnapshotPatch,
    SnapshotRequest, VolumeId,
};

/// What `method` asks, if it is one of these.
pub(super) fn decode(method: &str, params: &mut Params) -> Result<Option<Request>, ApiError> {
    if let Some(request) = policy(method, params)? {
        return Ok(Some(Request::Policy(request)));
    }
    if let Some(request) = snapshot(method, params)? {
        return Ok(Some(Request::Snapshot(request)));
    }
    if let Some(request) = schedules::decode(method, params)? {
        return Ok(Some(Request::Schedule(request)));
    }
    Ok(copy(method, params)?.map(Request::Copy))
}

fn policy(method: &str, params: &mut Params) -> Result<Option<PolicyRequest>, ApiError> {
    let id = |params: &mut Params| params.require_integer("qosPolicyID").map(PolicyId);
    Ok(Some(match method {
        "CreateQoSPolicy" => {
            PolicyRequest::Create { name: params.require_text("name")?, qos: qos_patch(params)? }
        }
        "GetQoSPolicy" => PolicyRequest::Get(id(params)?),
        "ListQoSPolicies" => PolicyRequest::List,
        "ModifyQoSPolicy" => PolicyRequest::Modify {
            id: id(params)?,
            name: params.find_text("name")?,
            qos: qos_patch(params)?,
        },
        "DeleteQoSPolicy" => PolicyRequest::Delete(id(params)?),
        _ => return Ok(None),
    }))
}

fn snapshot(method: &str, params: &mut Params) -> Result<Option<SnapshotRequest>, ApiError> {
    let id = |params: &mut Params| params.require_integer("snapshotID").map(SnapshotId);
    let group = |params: &mut Params| params.require_integer("groupSnapshotID").map(GroupId);
    Ok(Some(match method {
        "CreateSnapshot" => SnapshotRequest::Create {
            volume: volume_id(params)?,
            source: find_snapshot(params)?,
            new: new_snapshot(params)?,
        },
        "ListSnapshots" => SnapshotRequest::List {
            volume: params.find_integer("volumeID")?.map(VolumeId),
            only: find_snapshot(params)?,
        },
        "ModifySnapshot" => SnapshotRequest::Modify(id(params)?, snapshot_patch(params)?),
        "DeleteSnapshot" => SnapshotRequest::Delete(id(params)?),
        "RollbackToSnapshot" => {
            SnapshotRequest::RollBack { volume: volume_id(params)?, to: id(params)?, save: save(params)? }
        }
        "CreateGroupSnapshot" => SnapshotRequest::CreateGroup(
            params.find_integers("volumes")?.unwrap_or_default().into_iter().map(VolumeId).collect(),
            new_snapshot(params)?,
        ),
        "ListGroupSnapshots" => SnapshotRequest::ListGroups {
            volumes: params.find_integers("volumes")?.map(|ids| ids.into_iter().map(VolumeId).collect()),
            only: params.find_integer("groupSnapshotID")?.filter(|id| *id != 0).map(GroupId),
        },
        "ModifyGroupSnapshot" => SnapshotRequest::ModifyGroup(group(params)?, snapshot_patch(params)?),
        "DeleteGroupSnapshot" => SnapshotRequest::DeleteGroup {
            id: group(params)?,
            save_members: params.find_flag("saveMembers")?.unwrap_or(false),
        },
        "RollbackToGroupSnapshot" => {
            SnapshotRequest::RollBackGroup { to: group(params)?, save: save(params)? }
        }
        _ => return Ok(None),
    }))
}

fn copy(method: &str, params: &mut Params) -> Result<Option<CopyRequest>, ApiError> {
    Ok(Some(match method {
        "CloneVolume" => CopyRequest::Clone(NewClone {
            volume: volume_id(params)?,
            snapshot: find_snapshot(params)?,
            name: params.require_text("name")?,
            account: params.find_integer("newAccountID")?.filter(|id| *id != 0).map(AccountId),
            size: params.find_integer("newSize")?.filter(|bytes| *bytes != 0),
            access: access(params)?,
            block: params.find_flag("enable512e")?.map(|emulate| match emulate {
                true => LogicalBlock::Emulated512,
                false => LogicalBlock::Native4096,
            }),
            qos: qos(params)?,
            attributes: params.find_object("attributes")?,
        }),
        "CopyVolume" => CopyRequest::Copy {
            from: volume_id(params)?,
            snapshot: find_snapshot(params)?,
            to: params.require_integer("dstVolumeID").map(VolumeId)?,
        },
        "GetAsyncResult" => CopyRequest::Result {
            handle: params.require_integer("asyncHandle").map(AsyncHandle)?,
            keep: params.find_flag("keepResult")?.unwrap_or(false),
        },
        "ListAsyncResults" => CopyRequest::Results,
        _ => return Ok(None),
    }))
}

/// `snapshotID`; 0 is what a client sends that left the field at its zero value.
fn find_snapshot(params: &mut Params) -> Result<Option<SnapshotId>, ApiError> {
    Ok(params.find_integer("snapshotID")?.filter(|id| *id != 0).map(SnapshotId))
}

fn new_snapshot(params: &mut Params) -> Result<NewSnapshot, ApiError> {
    Ok(NewSnapshot {
        name: params.find_text("name")?.filter(|name| !name.is_empty()),
        replicate: params.find_flag("enableRemoteReplication")?.unwrap_or(false),
        expiry: expiry(params)?.unwrap_or_default(),
        attributes: params.find_object("attributes")?.unwrap_or_default(),
    })
}

fn snapshot_patch(params: &mut Params) -> Result<SnapshotPatch, ApiError> {
    Ok(SnapshotPatch {
        name: params.find_text("name")?.filter(|name| !name.is_empty()),
        replicate: params.find_flag("enableRemoteReplication")?,
        expiry: expiry(params)?,
    })
}

/// What becomes of the present content when a volume is rolled back.
fn save(params: &mut Params) -> Result<Option<NewSnapshot>, ApiError> {
    let saved = new_snapshot(params)?;
    Ok((params.find_flag("saveCurrentState")? == Some(true)).then_some(saved))
}

/// `retention` as HH:mm:ss, or `expirationTime` as a time in UTC.
fn expiry(params: &mut Params) -> Result<Option<Expiry>, ApiError> {
    let wrong = |member: &'static str, value: &str, form: &str| ApiError::InvalidParameter {
        reason: format!("{member} `{value}` is not {form}"),
    };
    let retention = params.find_text("retention")?.filter(|text| !text.is_empty() && text != "0");
    let expiration = params.find_text("expirationTime")?.filter(|text| !text.is_empty() && text != "0");
    match (retention, expiration) {
        (Some(_), Some(_)) => {
            Err(ApiError::InvalidParameter { reason: "give retention or expirationTime, not both".into() })
        }
        (Some(text), None) => {
            let span = span(&text).ok_or_else(|| wrong("retention", &text, "of the form HH:mm:ss"))?;
            Ok(Some(Expiry::After(span)))
        }
        (None, Some(text)) => {
            let at: Result<Timestamp, _> = text.parse();
            Ok(Some(Expiry::At(
                at.map_err(|_| wrong("expirationTime", &text, "a time like 2026-01-02T03:04:05Z"))?,
            )))
        }
        (None, None) => Ok(None),
    }
}

pub(super) fn span(text: &str) -> Option<SignedDuration> {
    let mut parts = text.split(':').map(|part| part.parse::<u32>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || minutes > 59 || seconds > 59 {
        return None;
    }
    Some(SignedDuration::from_secs(i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(seconds)))
}

/// The `result` of these methods.
pub(super) fn result(reply: &Reply) -> Value {
    match reply {
        Reply::Policy(record) => json!({"qosPolicy": policy_record(record)}),
        Reply::Policies(records) => {
            json!({"qosPolicies": records.iter().map(policy_record).collect::<Vec<_>>()})
        }
        Reply::Snapshot(one) => json!({
            "snapshotID": one.id.0, "checksum": CHECKSUM, "snapshot": snapshot_record(one),
        }),
        Reply::Snapshots(many) => json!({"snapshots": many.iter().map(snapshot_record).collect::<Vec<_>>()}),
        Reply::RolledBack(saved) => json!({
            "snapshotID": saved.as_ref().map(|saved| saved.id.0),
            "checksum": CHECKSUM,
            "snapshot": saved.as_ref().map(snapshot_record),
        }),
        Reply::Group(record) => group_result(Some(record)),
        Reply::GroupRolledBack(saved) => group_result(saved.as_ref()),
        Reply::Groups(records) => {
            json!({"groupSnapshots": records.iter().map(group_record).collect::<Vec<_>>()})
        }
        Reply::Cloned(clone, job) => json!({
            "volumeID": clone.id.0,
            "volume": volume(clone),
            "cloneID": job.clone.0,
            "asyncHandle": job.handle.0,
            "curve": curve(),
        }),
        Reply::Copied(job) => json!({"cloneID": job.clone.0, "asyncHandle": job.handle.0}),
        Reply::Job(job) => job_result(job),
        Reply::Jobs(jobs) => json!({"asyncHandles": jobs.iter().map(job_line).collect::<Vec<_>>()}),
        other => schedules::result(other).unwrap_or_else(|| json!({})),
    }
}

/// What an array says that keeps no checksum of a snapshot.
const CHECKSUM: &str = "0x0";

fn policy_record(record: &PolicyRecord) -> Value {
    json!({
        "qosPolicyID": record.policy.id.0,
        "name": record.policy.name,
        "qos": render::qos(record.policy.qos),
        "volumeIDs": record.volumes.iter().map(|id| id.0).collect::<Vec<_>>(),
    })
}

fn snapshot_record(snapshot: &Snapshot) -> Value {
    let (group, group_uuid) = snapshot.group.unwrap_or_default();
    json!({
        "snapshotID": snapshot.id.0,
        "snapshotUUID": snapshot.uuid,
        "volumeID": snapshot.volume.0,
        "name": snapshot.name,
        "checksum": CHECKSUM,
        "createTime": time(snapshot.created_at),
        "instanceCreateTime": time(snapshot.created_at),
        "instanceSnapshotUUID": snapshot.uuid,
        "enableRemoteReplication": snapshot.replicate,
        "expirationReason": if snapshot.expires.is_some() { "Api" } else { "None" },
        "expirationTime": snapshot.expires.map(time),
        "groupID": group.0,
        "groupSnapshotUUID": group_uuid,
        "remoteStatus": null,
        "remoteStatuses": [],
        "status": "done",
        "totalSize": snapshot.size,
        "virtualVolumeID": null,
        "attributes": snapshot.attributes,
    })
}

fn group_record(record: &GroupRecord) -> Value {
    let group = &record.group;
    json!({
        "groupSnapshotID": group.id.0,
        "groupSnapshotUUID": group.uuid,
        "name": group.name,
        "createTime": time(group.created_at),
        "enableRemoteReplication": record.members.iter().any(|member| member.replicate),
        "remoteStatuses": [],
        "status": "done",
        "members": record.members.iter().map(snapshot_record).collect::<Vec<_>>(),
        "attributes": group.attributes,
    })
}

fn group_result(record: Option<&GroupRecord>) -> Value {
    let member = |member: &Snapshot| {
        json!({
            "volumeID": member.volume.0,
            "snapshotID": member.id.0,
            "snapshotUUID": member.uuid,
            "checksum": CHECKSUM,
        })
    };
    json!({
        "groupSnapshotID": record.map(|record| record.group.id.0),
        "groupSnapshot": record.map(group_record),
        "members": record.map(|record| record.members.iter().map(member).collect::<Vec<_>>()),
    })
}

/// A job is over before its handle is told.
fn job_result(job: &Job) -> Value {
    json!({
        "status": "complete",
        "resultType": job.kind.name(),
        "createTime": time(job.at),
        "lastUpdateTime": time(job.at),
        "result": {
            "cloneID": job.clone.0,
            "message": format!("{} complete.", job.kind.name()),
            "volumeID": job.volume.0,
        },
    })
}

fn job_line(job: &Job) -> Value {
    json!({
        "asyncResultID": job.handle.0,
        "completed": true,
        "createTime": time(job.at),
        "lastUpdateTime": time(job.at),
        "resultType": job.kind.name(),
        "success": true,
        "data": {"cloneID": job.clone.0, "volumeID": job.volume.0},
    })
}

#[cfg(test)]
mod tests {
    use super::super::Api;
    use super::super::tests::{call, cluster, refused};
    use super::*;

    fn write(api: &Api, volume: i64, data: &[u8; 4]) {
        api.cluster.data_plane().find_content(VolumeId(volume)).unwrap().write_at(0, data).unwrap();
    }

    fn read(api: &Api, volume: i64) -> [u8; 4] {
        let mut bytes = [0; 4];
        api.cluster.data_plane().find_content(VolumeId(volume)).unwrap().read_at(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_rollback_brings_back_what_was_and_saves_what_is() {
        let api = cluster();
        write(&api, 1, b"then");
        let then = call(&api, "CreateSnapshot", &json!({"volumeID": 1, "name": "before"}));
        assert_eq!((&then["snapshot"]["name"], &then["checksum"]), (&json!("before"), &json!("0x0")));
        write(&api, 1, b"now!");
        let id = &then["snapshotID"];
        let saved = json!({"volumeID": 1, "snapshotID": id, "saveCurrentState": "true", "name": "after"});
        let saved = call(&api, "RollbackToSnapshot", &saved)["snapshotID"].clone();
        assert_eq!(read(&api, 1), *b"then");
        let back = json!({"volumeID": 1, "snapshotID": saved, "saveCurrentState": false});
        assert_eq!(call(&api, "RollbackToSnapshot", &back)["snapshotID"], Value::Null);
        assert_eq!(read(&api, 1), *b"now!");
        assert_eq!(
            call(&api, "ListSnapshots", &json!({"volumeID": 1}))["snapshots"].as_array().unwrap().len(),
            2
        );
        let other = json!({"volumeID": 2, "snapshotID": id, "saveCurrentState": false});
        assert_eq!(refused(&api, "RollbackToSnapshot", &other), "xSnapshotIDDoesNotExist");
        call(&api, "DeleteSnapshot", &json!({"snapshotID": id}));
        assert_eq!(refused(&api, "DeleteSnapshot", &json!({"snapshotID": id})), "xSnapshotIDDoesNotExist");
    }

    #[test]
    fn a_snapshot_can_be_copied_and_outlives_the_one_it_was_made_of() {
        let api = cluster();
        write(&api, 1, b"then");
        call(&api, "CreateSnapshot", &json!({"volumeID": 1}));
        write(&api, 1, b"now!");
        let copy = call(&api, "CreateSnapshot", &json!({"volumeID": 1, "snapshotID": 1}));
        call(&api, "DeleteSnapshot", &json!({"snapshotID": 1}));
        let back = json!({"volumeID": 1, "snapshotID": copy["snapshotID"], "saveCurrentState": false});
        call(&api, "RollbackToSnapshot", &back);
        assert_eq!(read(&api, 1), *b"then");
    }

    #[test]
    fn a_clone_has_the_content_of_its_moment_and_its_job_is_told_once() {
        let api = cluster();
        write(&api, 1, b"then");
        call(&api, "CreateSnapshot", &json!({"volumeID": 1}));
        write(&api, 1, b"now!");
        let clone = call(&api, "CloneVolume", &json!({"volumeID": 1, "name": "copy", "snapshotID": 0}));
        let old = json!({"volumeID": 1, "name": "old", "snapshotID": 1, "newSize": 2_000_000_000});
        let old = call(&api, "CloneVolume", &old);
        write(&api, 1, b"next");
        assert_eq!(read(&api, clone["volumeID"].as_i64().unwrap()), *b"now!");
        assert_eq!(read(&api, old["volumeID"].as_i64().unwrap()), *b"then");
        assert_eq!(old["volume"]["totalSize"], 2_000_683_008_i64);
        assert_eq!(clone["volume"]["status"], "active");
        let handle = json!({"asyncHandle": clone["asyncHandle"], "keepResult": true});
        let told = call(&api, "GetAsyncResult", &handle);
        assert_eq!((&told["status"], &told["result"]["volumeID"]), (&json!("complete"), &clone["volumeID"]));
        let once = json!({"asyncHandle": clone["asyncHandle"]});
        call(&api, "GetAsyncResult", &once);
        assert_eq!(refused(&api, "GetAsyncResult", &once), "xDBNoSuchPath");
        let small = json!({"volumeID": 1, "name": "small", "newSize": 1});
        assert_eq!(refused(&api, "CloneVolume", &small), "xVolumeShrinkProhibited");
    }

    #[test]
    fn a_copy_overwrites_a_volume_that_is_large_enough() {
        let api = cluster();
        write(&api, 1, b"from");
        write(&api, 2, b"gone");
        call(&api, "CopyVolume", &json!({"volumeID": 1, "dstVolumeID": 2}));
        write(&api, 1, b"next");
        assert_eq!(read(&api, 2), *b"from");
        call(&api, "ModifyVolume", &json!({"volumeID": 1, "totalSize": 3_000_000_000_i64}));
        assert_eq!(
            refused(&api, "CopyVolume", &json!({"volumeID": 1, "dstVolumeID": 2})),
            "xInvalidParameter"
        );
        assert_eq!(read(&api, 2), *b"from");
    }

    #[test]
    fn a_group_is_kept_rolled_back_and_deleted_together() {
        let api = cluster();
        write(&api, 1, b"one.");
        write(&api, 2, b"two.");
        let group = call(&api, "CreateGroupSnapshot", &json!({"volumes": [2, 1, 2], "name": "pair"}));
        assert_eq!(group["members"].as_array().unwrap().len(), 2);
        write(&api, 1, b"xxxx");
        write(&api, 2, b"yyyy");
        let id = group["groupSnapshotID"].clone();
        call(&api, "RollbackToGroupSnapshot", &json!({"groupSnapshotID": id, "saveCurrentState": true}));
        assert_eq!((read(&api, 1), read(&api, 2)), (*b"one.", *b"two."));
        let groups = call(&api, "ListGroupSnapshots", &json!({"volumes": [1]}));
        assert_eq!(groups["groupSnapshots"].as_array().unwrap().len(), 2);
        call(&api, "DeleteGroupSnapshot", &json!({"groupSnapshotID": id, "saveMembers": true}));
        let all = call(&api, "ListSnapshots", &json!({}));
        let of = |group: i64| {
            all["snapshots"].as_array().unwrap().iter().filter(|one| one["groupID"] == group).count()
        };
        assert_eq!((of(0), of(2)), (2, 2));
        let missing = json!({"volumes": [1, 9]});
        assert_eq!(refused(&api, "CreateGroupSnapshot", &missing), "xVolumeIDDoesNotExist");
        assert_eq!(call(&api, "ListSnapshots", &json!({})), all, "nothing was made of it");
    }

    #[test]
    fn a_policy_gives_its_rates_to_its_volumes_and_leaves_them_when_it_goes() {
        let api = cluster();
        let gold = json!({"name": "gold", "qos": {"minIOPS": 6000, "maxIOPS": 8000, "burstIOPS": 10_000}});
        let policy = call(&api, "CreateQoSPolicy", &gold)["qosPolicy"]["qosPolicyID"].clone();
        call(&api, "ModifyVolume", &json!({"volumeID": 1, "qosPolicyID": policy}));
        let both = json!({"volumeID": 2, "qosPolicyID": policy, "qos": {"minIOPS": 100}});
        assert_eq!(refused(&api, "ModifyVolume", &both), "xInvalidParameter");
        let change = json!({"qosPolicyID": policy, "qos": {"maxIOPS": 9000}});
        let changed = call(&api, "ModifyQoSPolicy", &change);
        assert_eq!(changed["qosPolicy"]["volumeIDs"], json!([1]));
        let shown = |id: i64| {
            let volume = &call(&api, "ListVolumes", &json!({"volumeIDs": [id]}))["volumes"][0];
            (volume["qos"]["maxIOPS"].as_i64().unwrap(), volume["qosPolicyID"].clone())
        };
        assert_eq!(shown(1), (9000, policy.clone()));
        let bad = json!({"qosPolicyID": policy, "qos": {"minIOPS": 9500}});
        assert_eq!(refused(&api, "ModifyQoSPolicy", &bad), "xInvalidParameter");
        call(&api, "DeleteQoSPolicy", &json!({"qosPolicyID": policy}));
        assert_eq!((shown(1), shown(2)), ((9000, Value::Null), (15_000, Value::Null)));
        assert_eq!(refused(&api, "GetQoSPolicy", &json!({"qosPolicyID": policy})), "xQoSPolicyDoesNotExist");
    }

    #[test]
    fn rates_of_its_own_take_a_volume_out_of_its_policy() {
        let api = cluster();
        call(&api, "CreateQoSPolicy", &json!({"name": "p", "qos": {"maxIOPS": 5000}}));
        let policy = |params: Value| call(&api, "ModifyVolume", &params)["volume"]["qosPolicyID"].clone();
        assert_eq!(policy(json!({"volumeID": 1, "qosPolicyID": 1})), 1);
        assert_eq!(policy(json!({"volumeID": 1, "access": "readOnly"})), 1, "what is not asked for stays");
        assert_eq!(policy(json!({"volumeID": 1, "qos": {"maxIOPS": 6000}})), Value::Null);
        assert_eq!(policy(json!({"volumeID": 1, "qosPolicyID": 1})), 1);
        assert_eq!(policy(json!({"volumeID": 1, "associateWithQoSPolicy": false})), Value::Null);
    }

    #[test]
    fn a_volume_has_thirty_two_snapshots_at_most_and_takes_them_along_when_it_is_purged() {
        let api = cluster();
        for _ in 0..32 {
            call(&api, "CreateSnapshot", &json!({"volumeID": 1}));
        }
        let more = refused(&api, "CreateSnapshot", &json!({"volumeID": 1}));
        assert_eq!(more, "xMaxSnapshotsPerVolumeExceeded");
        let group = refused(&api, "CreateGroupSnapshot", &json!({"volumes": [1, 2]}));
        assert_eq!(group, "xMaxSnapshotsPerVolumeExceeded");
        call(&api, "CreateSnapshot", &json!({"volumeID": 2}));
        call(&api, "DeleteVolume", &json!({"volumeID": 1}));
        let left = || call(&api, "ListSnapshots", &json!({}))["snapshots"].as_array().unwrap().len();
        assert_eq!(left(), 33, "a deleted volume can be restored");
        call(&api, "PurgeDeletedVolume", &json!({"volumeID": 1}));
        assert_eq!(left(), 1);
    }

    #[test]
    fn a_retention_is_hours_minutes_and_seconds() {
        assert_eq!(span("72:30:05"), Some(SignedDuration::from_secs(72 * 3600 + 30 * 60 + 5)));
        for bad in ["", "1", "1:60:00", "1:00:60", "1:00", "1:00:00:00", "-1:00:00", "a:b:c"] {
            assert_eq!(span(bad), None, "{bad}");
        }
        let api = cluster();
        let past = json!({"volumeID": 1, "expirationTime": "2001-01-01T00:00:00Z"});
        call(&api, "CreateSnapshot", &past);
        assert_eq!(call(&api, "ListSnapshots", &json!({}))["snapshots"], json!([]), "it has expired");
        let kept = json!({"volumeID": 1, "retention": "00:10:00"});
        assert_eq!(call(&api, "CreateSnapshot", &kept)["snapshot"]["expirationReason"], "Api");
        let bad = json!({"volumeID": 1, "retention": "tomorrow"});
        assert_eq!(refused(&api, "CreateSnapshot", &bad), "xInvalidParameter");
    }
}
