//! What the CSI specification says of any driver, over the real sockets of agent and controller:
//! the code of each kind of abuse, and calls that may come twice. Clauses are of its version 1.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use csi_proto::v1;
use csi_proto::v1::controller_client::ControllerClient;
use csi_proto::v1::volume_capability::access_mode::Mode;
use csi_proto::v1::volume_capability::{AccessMode, AccessType, MountVolume};
use integration::lab::Lab;
use integration::orchestrator::{Bound, Claim, InUse, View, paths_of, prepare_paths};
use integration::scenes::leftovers;
use integration::timeline::{Display, Timeline};
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

const SAN: Claim = Claim {
    name: "pvc-0c0de000-0000-4000-8000-000000000001",
    parameters: &[("backendType", "ontap-san")],
    size: 256 << 20,
    view: View::Directory("ext4"),
    mode: Mode::SingleNodeWriter,
};

const NAS: Claim = Claim {
    name: "pvc-0c0de000-0000-4000-8000-000000000002",
    parameters: &[("backendType", "ontap-nas")],
    size: 256 << 20,
    view: View::Directory(""),
    mode: Mode::MultiNodeMultiWriter,
};

fn play(story: impl AsyncFnOnce(&Lab) -> Result<()> + Send) -> Result<()> {
    Lab::play(Arc::new(Timeline::new(Display::Quiet)), async |lab: &Lab| {
        let before = leftovers::before(lab).await?;
        story(lab).await?;
        leftovers::compare(lab, &before).await
    })
}

/// A table's verdicts: every row is tried before one is reported.
#[derive(Default)]
struct Verdicts(Vec<String>);

impl Verdicts {
    fn judge<T>(&mut self, case: &str, answer: Result<Response<T>, Status>, expected: Code) {
        match answer {
            Ok(_) => self.0.push(format!("{case}: OK, expected {expected:?}")),
            Err(status) if status.code() != expected => {
                self.0.push(format!("{case}: {status}, expected {expected:?}"));
            }
            Err(status) if status.message().is_empty() => {
                self.0.push(format!("{case}: refused without a word"))
            }
            Err(_) => {}
        }
    }

    fn all_right(self) -> Result<()> {
        ensure!(self.0.is_empty(), "wrong answers:\n{}", self.0.join("\n"));
        Ok(())
    }
}

fn mounted_as(fs_type: &str, mode: Mode) -> v1::VolumeCapability {
    v1::VolumeCapability {
        access_type: Some(AccessType::Mount(MountVolume { fs_type: fs_type.into(), ..Default::default() })),
        access_mode: Some(AccessMode { mode: mode.into() }),
    }
}

/// What a case of abuse changes in a good request.
type Change<T> = fn(&mut T);

// CSI, "Error Scheme", INVALID_ARGUMENT: a required field is not set, or a field holds what the
// plugin does not support. Paths: "MUST be an absolute path in the root filesystem of the process
// serving this request" (NodeStageVolumeRequest, NodePublishVolumeRequest).

const BAD_STAGES: [(&str, Change<v1::NodeStageVolumeRequest>); 12] = [
    ("no volume_id", |r| r.volume_id.clear()),
    ("a volume_id that climbs", |r| r.volume_id = "../../etc/passwd".into()),
    ("an endless volume_id", |r| r.volume_id = "v".repeat(4096)),
    ("no capability", |r| r.volume_capability = None),
    ("no access_type", |r| {
        r.volume_capability = Some(v1::VolumeCapability { access_type: None, ..SAN.capability() });
    }),
    ("no access_mode", |r| {
        r.volume_capability = Some(v1::VolumeCapability { access_mode: None, ..SAN.capability() });
    }),
    ("an unknown filesystem", |r| r.volume_capability = Some(mounted_as("ntfs", Mode::SingleNodeWriter))),
    ("ext4 written by many nodes", |r| {
        r.volume_capability = Some(mounted_as("ext4", Mode::MultiNodeMultiWriter));
    }),
    ("no staging path", |r| r.staging_target_path.clear()),
    ("a relative staging path", |r| r.staging_target_path = "var/lib/kubelet/x".into()),
    ("a staging path that climbs", |r| r.staging_target_path = "/var/lib/kubelet/../../etc".into()),
    ("no publish_context", |r| r.publish_context.clear()),
];

const BAD_PUBLISHES: [(&str, Change<v1::NodePublishVolumeRequest>); 7] = [
    ("no volume_id", |r| r.volume_id.clear()),
    ("no capability", |r| r.volume_capability = None),
    ("no target path", |r| r.target_path.clear()),
    ("a relative target path", |r| r.target_path = "pods/x".into()),
    ("a target path that climbs", |r| r.target_path = "/var/lib/kubelet/pods/../../../etc".into()),
    ("a target path with a NUL", |r| r.target_path = "/var/lib/kubelet/pods/x\0y".into()),
    ("a relative staging path", |r| r.staging_target_path = "staging".into()),
];

#[test]
fn the_agent_answers_each_abuse_of_its_calls_with_the_code_csi_names() -> Result<()> {
    play(async |lab: &Lab| {
        let (worker, _) = lab.workers();
        let (calls, mut csi, mut verdicts) = (lab.orchestrator(), worker.csi(), Verdicts::default());
        let bound = calls.provision(&SAN).await?;
        let in_use = paths_of(&bound, calls.grant(&bound, worker).await?);
        prepare_paths(worker, &in_use).await?;
        let before = worker.state().await?;
        for (case, change) in BAD_STAGES {
            let mut request = stage_request(&bound, &in_use);
            change(&mut request);
            let answer = csi.node_stage_volume(request).await;
            verdicts.judge(&format!("stage, {case}"), answer, Code::InvalidArgument);
        }
        for (case, change) in BAD_PUBLISHES {
            let mut request = publish_request(&bound, &in_use);
            change(&mut request);
            let answer = csi.node_publish_volume(request).await;
            verdicts.judge(&format!("publish, {case}"), answer, Code::InvalidArgument);
        }
        for (case, id, path) in [
            ("no volume_id", "", "/var/lib/kubelet/x"),
            ("no path", bound.volume.volume_id.as_str(), ""),
            ("a relative path", bound.volume.volume_id.as_str(), "x"),
            ("a path that climbs", bound.volume.volume_id.as_str(), "/var/lib/../../etc"),
        ] {
            let unstage =
                v1::NodeUnstageVolumeRequest { volume_id: id.into(), staging_target_path: path.into() };
            let answer = csi.node_unstage_volume(unstage).await;
            verdicts.judge(&format!("unstage, {case}"), answer, Code::InvalidArgument);
            let unpublish = v1::NodeUnpublishVolumeRequest { volume_id: id.into(), target_path: path.into() };
            let answer = csi.node_unpublish_volume(unpublish).await;
            verdicts.judge(&format!("unpublish, {case}"), answer, Code::InvalidArgument);
        }
        // CSI, "Error Scheme", UNIMPLEMENTED: not among the capabilities.
        let answer = csi.node_expand_volume(v1::NodeExpandVolumeRequest::default()).await;
        verdicts.judge("expand", answer, Code::Unimplemented);
        let answer = csi.node_get_volume_stats(v1::NodeGetVolumeStatsRequest::default()).await;
        verdicts.judge("stats", answer, Code::Unimplemented);
        ensure!(worker.state().await? == before, "a refused call changed the node");

        // CSI, NodeStageVolume, ALREADY_EXISTS: staged with an incompatible capability.
        calls.stage(&bound, &in_use, worker).await.context("the good call after all the bad ones")?;
        let mut request = stage_request(&bound, &in_use);
        request.volume_capability = Some(mounted_as("xfs", Mode::SingleNodeWriter));
        verdicts.judge(
            "stage, another filesystem",
            csi.node_stage_volume(request).await,
            Code::AlreadyExists,
        );
        // udev may still look at the new map; an unstage then says UNAVAILABLE, and kubelet repeats it.
        worker.shell("udevadm settle").await?;
        calls.unstage(&in_use, worker).await?;
        calls.revoke(&bound, worker).await?;
        calls.delete(&bound).await?;
        verdicts.all_right()
    })
}

const BAD_CREATES: [(&str, Change<v1::CreateVolumeRequest>, Code); 12] = [
    ("no name", |r| r.name.clear(), Code::InvalidArgument),
    // CSI, "Size Limits": a string is at most 128 bytes unless said otherwise.
    ("an endless name", |r| r.name = "n".repeat(129), Code::InvalidArgument),
    ("no capabilities", |r| r.volume_capabilities.clear(), Code::InvalidArgument),
    (
        "no access_mode",
        |r| {
            r.volume_capabilities = vec![v1::VolumeCapability { access_mode: None, ..SAN.capability() }];
        },
        Code::InvalidArgument,
    ),
    (
        "no access_type",
        |r| {
            r.volume_capabilities = vec![v1::VolumeCapability { access_type: None, ..SAN.capability() }];
        },
        Code::InvalidArgument,
    ),
    (
        "an unknown filesystem",
        |r| r.volume_capabilities = vec![mounted_as("ntfs", Mode::SingleNodeWriter)],
        Code::InvalidArgument,
    ),
    ("negative bytes", |r| r.capacity_range = range(-1, 0), Code::InvalidArgument),
    ("a negative limit", |r| r.capacity_range = range(1 << 20, -1), Code::InvalidArgument),
    // CSI, CapacityRange: "At least one of the fields MUST be specified."
    ("an empty range", |r| r.capacity_range = range(0, 0), Code::InvalidArgument),
    ("a limit below what is required", |r| r.capacity_range = range(2 << 20, 1 << 20), Code::InvalidArgument),
    (
        "an unknown parameter",
        |r| r.parameters = [("nosuchparameter".into(), "x".into())].into(),
        Code::InvalidArgument,
    ),
    // CSI, CreateVolume, ALREADY_EXISTS: "the specified name already exists but is incompatible with
    // the specified capacity_range, volume_capabilities, parameters".
    (
        "the name of another volume",
        |r| {
            r.name = SAN.name.into();
            r.capacity_range = range(SAN.size * 2, 0);
        },
        Code::AlreadyExists,
    ),
];

fn range(required_bytes: i64, limit_bytes: i64) -> Option<v1::CapacityRange> {
    Some(v1::CapacityRange { required_bytes, limit_bytes })
}

async fn judge_snapshots_and_lists(csi: &mut ControllerClient<Channel>, id: &str, verdicts: &mut Verdicts) {
    for (case, volume, name, code) in [
        ("no name", id, "", Code::InvalidArgument),
        ("no source", "", "s", Code::InvalidArgument),
        // CSI, CreateSnapshot: the source must exist.
        ("an unknown source", "pvc-nowhere", "s", Code::NotFound),
    ] {
        let request = v1::CreateSnapshotRequest {
            source_volume_id: volume.into(),
            name: name.into(),
            ..Default::default()
        };
        verdicts.judge(&format!("snapshot, {case}"), csi.create_snapshot(request).await, code);
    }
    let answer = csi.delete_snapshot(v1::DeleteSnapshotRequest::default()).await;
    verdicts.judge("delete snapshot, no snapshot_id", answer, Code::InvalidArgument);
    // CSI, ListVolumes and ListSnapshots, ABORTED: "Invalid starting_token".
    let request = v1::ListVolumesRequest { starting_token: "x".into(), ..Default::default() };
    verdicts.judge("volumes, a token of others", csi.list_volumes(request).await, Code::Aborted);
    let request = v1::ListSnapshotsRequest { starting_token: "x".into(), ..Default::default() };
    verdicts.judge("snapshots, a token of others", csi.list_snapshots(request).await, Code::Aborted);
    let answer = csi.get_capacity(v1::GetCapacityRequest::default()).await;
    verdicts.judge("capacity", answer, Code::Unimplemented);
}

#[test]
fn the_controller_answers_each_abuse_of_its_calls_with_the_code_csi_names() -> Result<()> {
    play(async |lab: &Lab| {
        let (worker, _) = lab.workers();
        let (calls, mut csi, mut verdicts) =
            (lab.orchestrator(), lab.orchestrator().controller(), Verdicts::default());
        let bound = calls.provision(&SAN).await?;
        for (case, change, code) in BAD_CREATES {
            let mut request = create_request();
            change(&mut request);
            verdicts.judge(&format!("create, {case}"), csi.create_volume(request).await, code);
        }
        let id = bound.volume.volume_id.as_str();
        for (case, volume, node, capability, code) in [
            ("no volume_id", "", "w1", Some(SAN.capability()), Code::InvalidArgument),
            ("no node_id", id, "", Some(SAN.capability()), Code::InvalidArgument),
            ("no capability", id, "w1", None, Code::InvalidArgument),
            // CSI, ControllerPublishVolume, NOT_FOUND: "Volume does not exist", "Node does not exist".
            ("an unknown volume", "pvc-nowhere", "w1", Some(SAN.capability()), Code::NotFound),
            ("an impossible volume", "../x", "w1", Some(SAN.capability()), Code::NotFound),
            ("an unknown node", id, "w9", Some(SAN.capability()), Code::NotFound),
        ] {
            let request = v1::ControllerPublishVolumeRequest {
                volume_id: volume.into(),
                node_id: node.into(),
                volume_capability: capability,
                ..Default::default()
            };
            let answer = csi.controller_publish_volume(request).await;
            verdicts.judge(&format!("publish, {case}"), answer, code);
        }
        let answer = csi.delete_volume(v1::DeleteVolumeRequest::default()).await;
        verdicts.judge("delete, no volume_id", answer, Code::InvalidArgument);
        let answer = csi.controller_unpublish_volume(v1::ControllerUnpublishVolumeRequest::default()).await;
        verdicts.judge("unpublish, no volume_id", answer, Code::InvalidArgument);
        // CSI, ValidateVolumeCapabilities, NOT_FOUND: "Volume does not exist".
        let request = v1::ValidateVolumeCapabilitiesRequest {
            volume_id: "pvc-nowhere".into(),
            volume_capabilities: vec![SAN.capability()],
            ..Default::default()
        };
        let answer = csi.validate_volume_capabilities(request).await;
        verdicts.judge("validate, an unknown volume", answer, Code::NotFound);
        judge_snapshots_and_lists(&mut csi, id, &mut verdicts).await;

        // CSI, DeleteVolume, FAILED_PRECONDITION: "Volume in use".
        calls.grant(&bound, worker).await?;
        let request = v1::DeleteVolumeRequest { volume_id: id.into(), ..Default::default() };
        verdicts.judge("delete, published", csi.delete_volume(request).await, Code::FailedPrecondition);
        calls.revoke(&bound, worker).await?;
        calls.delete(&bound).await?;
        let luns = lab.ontap().rest("/api/storage/luns").await?;
        ensure!(luns["num_records"] == 0, "a refused create left a LUN: {luns}");
        verdicts.all_right()
    })
}

#[test]
fn every_call_of_a_volumes_life_may_come_twice_and_the_last_four_once_more() -> Result<()> {
    play(async |lab: &Lab| {
        let (worker, _) = lab.workers();
        let calls = lab.orchestrator();
        for claim in [NAS, SAN] {
            let bound = calls.provision(&claim).await?;
            ensure!(calls.provision(&claim).await?.volume == bound.volume, "created twice, not equal");
            let context = calls.grant(&bound, worker).await?;
            ensure!(calls.grant(&bound, worker).await? == context, "granted twice, not equal");
            let in_use = paths_of(&bound, context);
            prepare_paths(worker, &in_use).await?;
            for _ in 0..2 {
                calls.stage(&bound, &in_use, worker).await?;
            }
            for _ in 0..2 {
                calls.publish(&bound, &in_use, worker).await?;
            }
            worker
                .shell(&format!("echo twice > '{0}/file' && sync && cat '{0}/file'", in_use.target))
                .await?;
            for _ in 0..2 {
                calls.unpublish(&in_use, worker).await?;
            }
            for _ in 0..2 {
                calls.unstage(&in_use, worker).await?;
            }
            for _ in 0..2 {
                calls.revoke(&bound, worker).await?;
            }
            for _ in 0..2 {
                calls.delete(&bound).await?;
            }
            // The volume exists nowhere any more.
            calls.detach(&bound, &in_use, worker).await?;
            calls.delete(&bound).await?;
        }
        Ok(())
    })
}

fn create_request() -> v1::CreateVolumeRequest {
    v1::CreateVolumeRequest {
        name: "pvc-0c0de000-0000-4000-8000-00000000000f".into(),
        capacity_range: range(SAN.size, 0),
        volume_capabilities: vec![SAN.capability()],
        parameters: [("backendType".into(), "ontap-san".into())].into(),
        ..Default::default()
    }
}

fn stage_request(bound: &Bound, in_use: &InUse) -> v1::NodeStageVolumeRequest {
    v1::NodeStageVolumeRequest {
        volume_id: in_use.volume_id.clone(),
        publish_context: in_use.publish_context.clone(),
        staging_target_path: in_use.staging.clone(),
        volume_capability: Some(bound.claim.capability()),
        volume_context: bound.volume.volume_context.clone(),
        ..Default::default()
    }
}

fn publish_request(bound: &Bound, in_use: &InUse) -> v1::NodePublishVolumeRequest {
    v1::NodePublishVolumeRequest {
        volume_id: in_use.volume_id.clone(),
        publish_context: in_use.publish_context.clone(),
        staging_target_path: in_use.staging.clone(),
        target_path: in_use.target.clone(),
        volume_capability: Some(bound.claim.capability()),
        volume_context: bound.volume.volume_context.clone(),
        ..Default::default()
    }
}
