//! The front door as an orchestrator meets it: over the socket, in gRPC codes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail this way")]

mod harness;

use std::collections::HashMap;
use std::path::Path;

use agent_core::intent::Stage;
use csi_proto::v1::identity_client::IdentityClient;
use csi_proto::v1::node_client::NodeClient;
use csi_proto::v1::volume_capability::access_mode::Mode;
use csi_proto::v1::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use csi_proto::v1::{
    GetPluginInfoRequest, NodeExpandVolumeRequest, NodeGetCapabilitiesRequest, NodeGetInfoRequest,
    NodePublishVolumeRequest, NodeStageVolumeRequest, NodeUnpublishVolumeRequest, NodeUnstageVolumeRequest,
    ProbeRequest, VolumeCapability,
};
use harness::model::Data;
use harness::{Node, agent, lun_volume};
use tine_agent::csi::{IdentityService, NodeService};
use tine_agent::serve;
use tokio::sync::oneshot;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

struct Door {
    node: Node,
    client: NodeClient<Channel>,
    identity: IdentityClient<Channel>,
    _stop: oneshot::Sender<()>,
    _state: tempfile::TempDir,
}

async fn open(node: Node) -> Door {
    let state = tempfile::tempdir().unwrap();
    let socket = state.path().join("run/csi.sock");
    let listener = serve::bind(&socket).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let service = NodeService { node: "w1".parse().unwrap(), coordinator: agent(&node, state.path()) };
    let identity = IdentityService { driver_name: "csi.tine.dev".to_owned() };
    tokio::spawn(async move {
        serve::serve(listener, identity, service, async {
            let _told_or_dropped = stopped.await.is_ok();
        })
        .await
    });
    let channel = connect(&socket).await;
    Door {
        node,
        client: NodeClient::new(channel.clone()),
        identity: IdentityClient::new(channel),
        _stop: stop,
        _state: state,
    }
}

async fn connect(socket: &Path) -> Channel {
    Endpoint::from_shared(format!("unix://{}", socket.display())).unwrap().connect().await.unwrap()
}

fn mount(fs_type: &str, flags: &[&str], mode: Mode) -> Option<VolumeCapability> {
    let mount_flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let mount = MountVolume { fs_type: fs_type.to_owned(), mount_flags, ..MountVolume::default() };
    Some(VolumeCapability {
        access_type: Some(AccessType::Mount(mount)),
        access_mode: Some(AccessMode { mode: mode.into() }),
    })
}

fn stage_request(stage: &Stage) -> NodeStageVolumeRequest {
    NodeStageVolumeRequest {
        volume_id: stage.volume.to_string(),
        publish_context: stage.attachment.encode().unwrap(),
        staging_target_path: stage.staging.to_string(),
        volume_capability: mount("ext4", &["noatime"], Mode::SingleNodeWriter),
        ..NodeStageVolumeRequest::default()
    }
}

fn publish_request(stage: &Stage) -> NodePublishVolumeRequest {
    NodePublishVolumeRequest {
        volume_id: stage.volume.to_string(),
        publish_context: stage.attachment.encode().unwrap(),
        staging_target_path: stage.staging.to_string(),
        target_path: "/pods/p1/mount".to_owned(),
        volume_capability: mount("ext4", &["noatime"], Mode::SingleNodeWriter),
        ..NodePublishVolumeRequest::default()
    }
}

/// Own and waiting time, and the steps of the timeline.
fn times(metadata: &MetadataMap) -> (u64, u64, Vec<String>) {
    let number = |key| metadata.get(key).unwrap().to_str().unwrap().parse::<u64>().unwrap();
    let timeline = metadata.get("x-tine-timeline").unwrap().to_str().unwrap();
    assert!(timeline.len() <= 7 * 1024);
    let entries: Vec<serde_json::Value> = serde_json::from_str(timeline).unwrap();
    let steps = entries.iter().map(|entry| {
        assert!(entry["own_us"].is_u64() && entry["wait_us"].is_u64(), "{entry}");
        entry["step"].as_str().unwrap().to_owned()
    });
    (number("x-tine-own-us"), number("x-tine-wait-us"), steps.collect())
}

#[tokio::test]
async fn a_volume_lives_and_every_answer_says_where_its_time_went() {
    let node = Node::default();
    let stage = lun_volume(&node, 1, Data::Zeros);
    let mut door = open(node).await;
    let staged = door.client.node_stage_volume(stage_request(&stage)).await.unwrap();
    let (own, _, steps) = times(staged.metadata());
    assert!(own > 0);
    assert!(steps.iter().any(|step| step.starts_with("MakeFilesystem ext4")), "{steps:?}");
    let published = door.client.node_publish_volume(publish_request(&stage)).await.unwrap();
    times(published.metadata());
    let unpublish = NodeUnpublishVolumeRequest {
        volume_id: stage.volume.to_string(),
        target_path: "/pods/p1/mount".into(),
    };
    door.client.node_unpublish_volume(unpublish.clone()).await.unwrap();
    door.client.node_unpublish_volume(unpublish).await.unwrap();
    let unstage = NodeUnstageVolumeRequest {
        volume_id: stage.volume.to_string(),
        staging_target_path: format!("{}/", stage.staging),
    };
    door.client.node_unstage_volume(unstage.clone()).await.unwrap();
    door.client.node_unstage_volume(unstage).await.unwrap();
    assert!(door.node.world.lock().is_clean());
}

#[tokio::test]
async fn a_refusal_names_hazard_and_cure_and_says_where_its_time_went() {
    let node = Node::default();
    let stage = lun_volume(&node, 1, Data::Foreign("a GPT at 512"));
    let mut door = open(node).await;
    let refused = door.client.node_stage_volume(stage_request(&stage)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().starts_with("H01: "), "{refused:?}");
    assert!(refused.message().contains("a GPT at 512") && refused.message().contains("nothing was written"));
    times(refused.metadata());
    let unreadable = lun_volume(&door.node, 2, Data::Unreadable);
    let failed = door.client.node_stage_volume(stage_request(&unreadable)).await.unwrap_err();
    assert_eq!(failed.code(), Code::Internal);
}

#[tokio::test]
async fn a_request_that_lacks_or_abuses_a_field_is_invalid_and_changes_nothing() {
    let node = Node::default();
    let stage = lun_volume(&node, 1, Data::Zeros);
    let mut door = open(node).await;
    let good = stage_request(&stage);
    let writer = Mode::SingleNodeWriter;
    let bad: Vec<(&str, NodeStageVolumeRequest)> = vec![
        ("volume_id", NodeStageVolumeRequest { volume_id: String::new(), ..good.clone() }),
        ("volume_id", NodeStageVolumeRequest { volume_id: "../etc".into(), ..good.clone() }),
        (
            "staging_target_path",
            NodeStageVolumeRequest { staging_target_path: String::new(), ..good.clone() },
        ),
        ("staging_target_path", NodeStageVolumeRequest { staging_target_path: "a/b".into(), ..good.clone() }),
        (
            "staging_target_path",
            NodeStageVolumeRequest { staging_target_path: "/a/../b".into(), ..good.clone() },
        ),
        ("volume_capability", NodeStageVolumeRequest { volume_capability: None, ..good.clone() }),
        ("fs_type", NodeStageVolumeRequest { volume_capability: mount("ntfs", &[], writer), ..good.clone() }),
        (
            "mount_flags",
            NodeStageVolumeRequest { volume_capability: mount("", &["a,b"], writer), ..good.clone() },
        ),
        (
            "access_mode",
            NodeStageVolumeRequest { volume_capability: mount("", &[], Mode::Unknown), ..good.clone() },
        ),
        (
            "access_mode",
            NodeStageVolumeRequest {
                volume_capability: mount("", &[], Mode::MultiNodeMultiWriter),
                ..good.clone()
            },
        ),
        ("publish_context", NodeStageVolumeRequest { publish_context: HashMap::new(), ..good.clone() }),
        (
            "publish_context",
            NodeStageVolumeRequest { publish_context: [("a".into(), "b".into())].into(), ..good.clone() },
        ),
    ];
    for (field, request) in bad {
        let status = door.client.node_stage_volume(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(status.message().contains(field), "{field}: {status:?}");
    }
    let publish = NodePublishVolumeRequest { target_path: String::new(), ..publish_request(&stage) };
    assert_eq!(code(door.client.node_publish_volume(publish).await), Code::InvalidArgument);
    assert_eq!(
        code(door.client.node_unstage_volume(NodeUnstageVolumeRequest::default()).await),
        Code::InvalidArgument
    );
    assert_eq!(
        code(door.client.node_unpublish_volume(NodeUnpublishVolumeRequest::default()).await),
        Code::InvalidArgument
    );
    assert_eq!(door.node.world.lock().applied, Vec::<String>::new());
}

fn code<T>(result: Result<T, Status>) -> Code {
    result.err().map_or(Code::Ok, |status| status.code())
}

#[tokio::test]
async fn conflicts_and_wrong_order_have_the_codes_csi_names() {
    let node = Node::default();
    let stage = lun_volume(&node, 1, Data::Zeros);
    let mut door = open(node).await;
    assert_eq!(
        code(door.client.node_publish_volume(publish_request(&stage)).await),
        Code::FailedPrecondition
    );
    door.client.node_stage_volume(stage_request(&stage)).await.unwrap();
    let block = Some(VolumeCapability {
        access_type: Some(AccessType::Block(BlockVolume {})),
        access_mode: Some(AccessMode { mode: Mode::SingleNodeWriter.into() }),
    });
    let other = NodeStageVolumeRequest { volume_capability: block, ..stage_request(&stage) };
    assert_eq!(code(door.client.node_stage_volume(other).await), Code::AlreadyExists);
    door.client.node_publish_volume(publish_request(&stage)).await.unwrap();
    let read_only = NodePublishVolumeRequest { readonly: true, ..publish_request(&stage) };
    assert_eq!(code(door.client.node_publish_volume(read_only).await), Code::AlreadyExists);
    let early = NodeUnstageVolumeRequest {
        volume_id: "vol-1".into(),
        staging_target_path: stage.staging.to_string(),
    };
    assert_eq!(code(door.client.node_unstage_volume(early).await), Code::FailedPrecondition);
}

#[tokio::test]
async fn the_socket_tells_who_it_is_and_only_what_works() {
    let mut door = open(Node::default()).await;
    let info = door.identity.get_plugin_info(GetPluginInfoRequest {}).await.unwrap().into_inner();
    assert_eq!(info.name, "csi.tine.dev");
    assert_eq!(door.identity.probe(ProbeRequest {}).await.unwrap().into_inner().ready, Some(true));
    let node = door.client.node_get_info(NodeGetInfoRequest {}).await.unwrap().into_inner();
    assert_eq!((node.node_id.as_str(), node.max_volumes_per_node), ("w1", 0));
    let capabilities = door.client.node_get_capabilities(NodeGetCapabilitiesRequest {}).await.unwrap();
    assert_eq!(capabilities.into_inner().capabilities.len(), 1);
    let expand = door.client.node_expand_volume(NodeExpandVolumeRequest::default()).await;
    assert_eq!(code(expand), Code::Unimplemented);
}
