//! Kubelet and the CSI sidecars, reduced to what they say to a driver: the same calls, in the same
//! order, with the same paths, and every step timed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use csi_proto::v1;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::lab::{DRIVER_NAME, Worker};
use crate::timeline::{AgentTimes, Timeline};

/// How long the sidecars and kubelet wait for one call (kubelet: 2 minutes).
const CALL: Duration = Duration::from_secs(120);

/// How a claim wants to see its volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// A directory, with the filesystem of that name; empty lets the driver choose.
    Directory(&'static str),
    /// A block device.
    Device,
}

/// A claim as an administrator's class and a developer's PVC make it.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Name the provisioner gives the volume: `pvc-<uid of the claim>`.
    pub name: &'static str,
    /// StorageClass parameters.
    pub parameters: &'static [(&'static str, &'static str)],
    /// Bytes.
    pub size: i64,
    /// Directory or device.
    pub view: View,
    /// Access mode.
    pub mode: v1::volume_capability::access_mode::Mode,
}

impl Claim {
    /// The capability that every call about this claim carries.
    pub fn capability(&self) -> v1::VolumeCapability {
        use v1::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
        let access_type = match self.view {
            View::Directory(fs_type) => {
                AccessType::Mount(MountVolume { fs_type: fs_type.to_owned(), ..MountVolume::default() })
            }
            View::Device => AccessType::Block(BlockVolume {}),
        };
        v1::VolumeCapability {
            access_type: Some(access_type),
            access_mode: Some(AccessMode { mode: self.mode.into() }),
        }
    }
}

/// A bound claim.
#[derive(Debug, Clone)]
pub struct Bound {
    /// What was asked for.
    pub claim: Claim,
    /// What there is.
    pub volume: v1::Volume,
}

/// A volume in use on a node.
#[derive(Debug)]
pub struct InUse {
    /// Its identifier.
    pub volume_id: String,
    /// What the controller handed to the node.
    pub publish_context: HashMap<String, String>,
    /// Kubelet's staging directory.
    pub staging: String,
    /// What the pod sees.
    pub target: String,
}

/// Drives one controller and its agents.
#[derive(Debug, Clone)]
pub struct Orchestrator<'a> {
    controller: v1::controller_client::ControllerClient<Channel>,
    timeline: &'a Timeline,
}

impl<'a> Orchestrator<'a> {
    /// Over a connection to the controller's CSI socket.
    pub fn new(controller: Channel, timeline: &'a Timeline) -> Self {
        Self { controller: v1::controller_client::ControllerClient::new(controller), timeline }
    }

    /// The controller's CSI Controller service, for calls no sidecar makes.
    pub fn controller(&self) -> v1::controller_client::ControllerClient<Channel> {
        self.controller.clone()
    }

    /// external-provisioner: CreateVolume.
    ///
    /// # Errors
    /// When the driver refuses, or answers without a volume.
    pub async fn provision(&self, claim: &Claim) -> Result<Bound> {
        let since = self.begin("CreateVolume", "controller");
        let request = v1::CreateVolumeRequest {
            name: claim.name.to_owned(),
            capacity_range: Some(v1::CapacityRange { required_bytes: claim.size, limit_bytes: 0 }),
            volume_capabilities: vec![claim.capability()],
            parameters: claim
                .parameters
                .iter()
                .map(|(key, value)| ((*key).into(), (*value).into()))
                .collect(),
            ..Default::default()
        };
        let answer = self.controller.clone().create_volume(timed(request)).await;
        let volume = answer
            .with_context(|| format!("CreateVolume {}", claim.name))?
            .into_inner()
            .volume
            .context("CreateVolume answers with a volume")?;
        ensure!(volume.capacity_bytes >= claim.size, "CreateVolume gave less than was asked for: {volume:?}");
        self.timeline.row("CreateVolume", "controller", since, claim.name);
        Ok(Bound { claim: claim.clone(), volume })
    }

    /// external-provisioner: DeleteVolume.
    ///
    /// # Errors
    /// When the driver refuses.
    pub async fn delete(&self, bound: &Bound) -> Result<()> {
        let since = self.begin("DeleteVolume", "controller");
        let request =
            v1::DeleteVolumeRequest { volume_id: bound.volume.volume_id.clone(), ..Default::default() };
        self.controller
            .clone()
            .delete_volume(timed(request))
            .await
            .with_context(|| format!("DeleteVolume {}", bound.claim.name))?;
        self.timeline.row("DeleteVolume", "controller", since, bound.claim.name);
        Ok(())
    }

    /// external-attacher: ControllerPublishVolume; answers the publish context.
    ///
    /// # Errors
    /// When the driver refuses.
    pub async fn grant(&self, bound: &Bound, worker: &Worker) -> Result<HashMap<String, String>> {
        let since = self.begin("ControllerPublishVolume", "controller");
        let request = v1::ControllerPublishVolumeRequest {
            volume_id: bound.volume.volume_id.clone(),
            node_id: worker.name().to_owned(),
            volume_capability: Some(bound.claim.capability()),
            volume_context: bound.volume.volume_context.clone(),
            ..Default::default()
        };
        let answer =
            self.controller.clone().controller_publish_volume(timed(request)).await.with_context(|| {
                format!("ControllerPublishVolume {} to {}", bound.claim.name, worker.name())
            })?;
        self.timeline.row("ControllerPublishVolume", "controller", since, worker.name());
        Ok(answer.into_inner().publish_context)
    }

    /// external-attacher: ControllerUnpublishVolume.
    ///
    /// # Errors
    /// When the driver refuses.
    pub async fn revoke(&self, bound: &Bound, worker: &Worker) -> Result<()> {
        let since = self.begin("ControllerUnpublishVolume", "controller");
        let request = v1::ControllerUnpublishVolumeRequest {
            volume_id: bound.volume.volume_id.clone(),
            node_id: worker.name().to_owned(),
            ..Default::default()
        };
        self.controller.clone().controller_unpublish_volume(timed(request)).await.with_context(|| {
            format!("ControllerUnpublishVolume {} from {}", bound.claim.name, worker.name())
        })?;
        self.timeline.row("ControllerUnpublishVolume", "controller", since, worker.name());
        Ok(())
    }

    /// All it takes until a pod on `worker` sees the volume: grant, stage, publish.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn attach(&self, bound: &Bound, worker: &Worker) -> Result<InUse> {
        let publish_context = self.grant(bound, worker).await?;
        let in_use = paths_of(bound, publish_context);
        prepare_paths(worker, &in_use).await?;
        self.stage(bound, &in_use, worker).await?;
        self.publish(bound, &in_use, worker).await?;
        Ok(in_use)
    }

    /// kubelet: NodeStageVolume.
    ///
    /// # Errors
    /// The driver's status, untouched, so that a caller can expect one.
    pub async fn stage(&self, bound: &Bound, in_use: &InUse, worker: &Worker) -> Result<(), Status> {
        let request = v1::NodeStageVolumeRequest {
            volume_id: in_use.volume_id.clone(),
            publish_context: in_use.publish_context.clone(),
            staging_target_path: in_use.staging.clone(),
            volume_capability: Some(bound.claim.capability()),
            volume_context: bound.volume.volume_context.clone(),
            ..Default::default()
        };
        let since = self.begin("NodeStageVolume", worker.name());
        let answer = worker.csi().node_stage_volume(timed(request)).await;
        self.noted("NodeStageVolume", worker, since, answer)
    }

    /// kubelet: NodePublishVolume.
    ///
    /// # Errors
    /// The driver's status.
    pub async fn publish(&self, bound: &Bound, in_use: &InUse, worker: &Worker) -> Result<(), Status> {
        let request = v1::NodePublishVolumeRequest {
            volume_id: in_use.volume_id.clone(),
            publish_context: in_use.publish_context.clone(),
            staging_target_path: in_use.staging.clone(),
            target_path: in_use.target.clone(),
            volume_capability: Some(bound.claim.capability()),
            volume_context: bound.volume.volume_context.clone(),
            ..Default::default()
        };
        let since = self.begin("NodePublishVolume", worker.name());
        let answer = worker.csi().node_publish_volume(timed(request)).await;
        self.noted("NodePublishVolume", worker, since, answer)
    }

    /// kubelet: NodeUnpublishVolume, NodeUnstageVolume; then the attacher's revoke.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn detach(&self, bound: &Bound, in_use: &InUse, worker: &Worker) -> Result<()> {
        self.unpublish(in_use, worker).await?;
        // CSI, NodeUnpublishVolume: the plugin deletes what it created at the target path.
        worker
            .shell(&format!("! ls -d '{}' 2>/dev/null", in_use.target))
            .await
            .with_context(|| format!("NodeUnpublishVolume left {}", in_use.target))?;
        self.unstage(in_use, worker).await?;
        self.revoke(bound, worker).await
    }

    /// kubelet: NodeUnpublishVolume.
    ///
    /// # Errors
    /// The driver's status.
    pub async fn unpublish(&self, in_use: &InUse, worker: &Worker) -> Result<(), Status> {
        let request = v1::NodeUnpublishVolumeRequest {
            volume_id: in_use.volume_id.clone(),
            target_path: in_use.target.clone(),
        };
        let since = self.begin("NodeUnpublishVolume", worker.name());
        let answer = worker.csi().node_unpublish_volume(timed(request)).await;
        self.noted("NodeUnpublishVolume", worker, since, answer)
    }

    /// kubelet: NodeUnstageVolume.
    ///
    /// # Errors
    /// The driver's status.
    pub async fn unstage(&self, in_use: &InUse, worker: &Worker) -> Result<(), Status> {
        let request = v1::NodeUnstageVolumeRequest {
            volume_id: in_use.volume_id.clone(),
            staging_target_path: in_use.staging.clone(),
        };
        let since = self.begin("NodeUnstageVolume", worker.name());
        let answer = worker.csi().node_unstage_volume(timed(request)).await;
        self.noted("NodeUnstageVolume", worker, since, answer)
    }

    fn begin(&self, call: &str, place: &str) -> Instant {
        self.timeline.working(call, place);
        Instant::now()
    }

    fn noted<T>(
        &self,
        call: &str,
        worker: &Worker,
        since: Instant,
        answer: Result<Response<T>, Status>,
    ) -> Result<(), Status> {
        let (metadata, note) = match &answer {
            Ok(response) => (response.metadata(), String::new()),
            Err(status) => (status.metadata(), format!("{:?}", status.code())),
        };
        self.timeline.agent_row(call, worker.name(), since, agent_times(metadata), &note);
        answer.map(drop)
    }
}

/// The paths kubelet gives a volume (pkg/volume/csi in Kubernetes: `globalmount` and the pod's own).
pub fn paths_of(bound: &Bound, publish_context: HashMap<String, String>) -> InUse {
    let id = bound.volume.volume_id.clone();
    let name = bound.claim.name;
    let plugins = format!("/var/lib/kubelet/plugins/kubernetes.io/csi/{DRIVER_NAME}");
    let pod = "/var/lib/kubelet/pods/7a1c9b1e-0000-4000-8000-000000000001";
    let (staging, target) = match bound.claim.view {
        View::Directory(_) => {
            (format!("{plugins}/{name}/globalmount"), format!("{pod}/volumes/kubernetes.io~csi/{name}/mount"))
        }
        View::Device => (
            format!("{plugins}/volumeDevices/staging/{name}"),
            format!("{pod}/volumeDevices/kubernetes.io~csi/{name}"),
        ),
    };
    InUse { volume_id: id, publish_context, staging, target }
}

/// What the orchestrator must have made before it calls: the staging directory and the target's
/// parent (CSI, NodeStageVolume and NodePublishVolume: the plugin makes only the target itself).
///
/// # Errors
/// When the node cannot make them.
pub async fn prepare_paths(worker: &Worker, in_use: &InUse) -> Result<()> {
    let parent = std::path::Path::new(&in_use.target).parent().context("a target has a parent")?;
    worker.shell(&format!("mkdir -p '{}' '{}'", in_use.staging, parent.display())).await.map(drop)
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL);
    request
}

/// What the agent tells about a call in its answer's metadata.
fn agent_times(metadata: &MetadataMap) -> AgentTimes {
    let text = |key: &str| metadata.get(key).and_then(|value| value.to_str().ok());
    AgentTimes {
        own: text("x-tine-own-us").and_then(|micros| micros.parse().ok()).map(Duration::from_micros),
        steps: text("x-tine-timeline").and_then(|steps| serde_json::from_str(steps).ok()),
    }
}
