//! One volume's life through a driver's two sockets, each call timed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use csi_proto::v1;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// The longest any call may take.
const CALL: Duration = Duration::from_secs(120);

/// The phases of a life, in their order.
pub(crate) const PHASES: [&str; 8] = [
    "create",
    "controller publish",
    "stage",
    "publish",
    "unpublish",
    "unstage",
    "controller unpublish",
    "delete",
];

/// What each call took, or with which code it failed.
pub(crate) type Life = Vec<(&'static str, Result<Duration, tonic::Code>)>;

/// A driver under the clock.
#[derive(Debug)]
pub(crate) struct Driver {
    controller: v1::controller_client::ControllerClient<Channel>,
    node: v1::node_client::NodeClient<Channel>,
    node_id: String,
    /// What it calls itself.
    pub(crate) name: String,
}

/// A volume to be.
#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) size: i64,
    pub(crate) fs_type: String,
    pub(crate) parameters: HashMap<String, String>,
    pub(crate) directory: String,
}

impl Driver {
    /// Asks the driver for its name and the node for its identifier.
    pub(crate) async fn connect(controller: Channel, node: Channel) -> Result<Self> {
        let info = v1::identity_client::IdentityClient::new(controller.clone())
            .get_plugin_info(v1::GetPluginInfoRequest {})
            .await
            .context("GetPluginInfo")?
            .into_inner();
        let mut node = v1::node_client::NodeClient::new(node);
        let node_id =
            node.node_get_info(v1::NodeGetInfoRequest {}).await.context("NodeGetInfo")?.into_inner().node_id;
        let controller = v1::controller_client::ControllerClient::new(controller);
        Ok(Self { controller, node, node_id, name: format!("{} {}", info.name, info.vendor_version) })
    }
}

/// Times the calls of a life; after a failure the way back is still walked, so that nothing is left.
#[derive(Debug, Default)]
struct Clock {
    life: Life,
}

impl Clock {
    async fn time<T>(
        &mut self,
        phase: &'static str,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Option<T> {
        let since = Instant::now();
        let answer = call.await;
        let took = since.elapsed();
        match answer {
            Ok(response) => {
                self.life.push((phase, Ok(took)));
                Some(response.into_inner())
            }
            Err(status) => {
                eprintln!("{phase}: {}: {}", status.code(), status.message());
                self.life.push((phase, Err(status.code())));
                None
            }
        }
    }
}

/// Create, publish, stage, use, and all the way back.
pub(crate) async fn life(driver: &Driver, volume: &Volume) -> Life {
    let mut clock = Clock::default();
    let [create, grant, .., revoke, delete] = PHASES;
    let (mut controller, node_id) = (driver.controller.clone(), driver.node_id.clone());
    let request = timed(v1::CreateVolumeRequest {
        name: volume.name.clone(),
        capacity_range: Some(v1::CapacityRange { required_bytes: volume.size, limit_bytes: 0 }),
        volume_capabilities: vec![capability(volume)],
        parameters: volume.parameters.clone(),
        ..Default::default()
    });
    let created = clock.time(create, controller.create_volume(request)).await;
    let Some(made) = created.and_then(|response| response.volume) else { return clock.life };
    let volume_id = made.volume_id.clone();
    let request = timed(v1::ControllerPublishVolumeRequest {
        volume_id: volume_id.clone(),
        node_id: node_id.clone(),
        volume_capability: Some(capability(volume)),
        volume_context: made.volume_context.clone(),
        ..Default::default()
    });
    if let Some(granted) = clock.time(grant, controller.controller_publish_volume(request)).await {
        on_node(&mut clock, driver, volume, &made, granted.publish_context).await;
    }
    let request = timed(v1::ControllerUnpublishVolumeRequest {
        volume_id: volume_id.clone(),
        node_id,
        ..Default::default()
    });
    clock.time(revoke, controller.controller_unpublish_volume(request)).await;
    let request = timed(v1::DeleteVolumeRequest { volume_id, ..Default::default() });
    clock.time(delete, controller.delete_volume(request)).await;
    clock.life
}

async fn on_node(
    clock: &mut Clock,
    driver: &Driver,
    volume: &Volume,
    made: &v1::Volume,
    publish_context: HashMap<String, String>,
) {
    let [_, _, stage, publish, unpublish, unstage, ..] = PHASES;
    let mut node = driver.node.clone();
    let volume_id = made.volume_id.clone();
    let staging = format!("{}/{}/staging", volume.directory, volume.name);
    let target = format!("{}/{}/target", volume.directory, volume.name);
    let request = timed(v1::NodeStageVolumeRequest {
        volume_id: volume_id.clone(),
        publish_context: publish_context.clone(),
        staging_target_path: staging.clone(),
        volume_capability: Some(capability(volume)),
        volume_context: made.volume_context.clone(),
        ..Default::default()
    });
    if clock.time(stage, node.node_stage_volume(request)).await.is_some() {
        let request = timed(v1::NodePublishVolumeRequest {
            volume_id: volume_id.clone(),
            publish_context,
            staging_target_path: staging.clone(),
            target_path: target.clone(),
            volume_capability: Some(capability(volume)),
            volume_context: made.volume_context.clone(),
            ..Default::default()
        });
        clock.time(publish, node.node_publish_volume(request)).await;
    }
    let request = timed(v1::NodeUnpublishVolumeRequest { volume_id: volume_id.clone(), target_path: target });
    clock.time(unpublish, node.node_unpublish_volume(request)).await;
    let request = timed(v1::NodeUnstageVolumeRequest { volume_id, staging_target_path: staging });
    clock.time(unstage, node.node_unstage_volume(request)).await;
}

fn capability(volume: &Volume) -> v1::VolumeCapability {
    use v1::volume_capability::{AccessMode, AccessType, MountVolume, access_mode::Mode};
    v1::VolumeCapability {
        access_type: Some(AccessType::Mount(MountVolume {
            fs_type: volume.fs_type.clone(),
            ..MountVolume::default()
        })),
        access_mode: Some(AccessMode { mode: Mode::SingleNodeWriter.into() }),
    }
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL);
    request
}
