//! CSI Controller: exactly what works is advertised, the rest answers UNIMPLEMENTED.

use std::sync::Arc;

use csi_proto::v1;
use csi_proto::v1::controller_server::Controller as CsiController;
use csi_proto::v1::controller_service_capability::rpc::Type as RpcType;
use csi_proto::v1::controller_service_capability::{Rpc, Type};
use csi_proto::v1::validate_volume_capabilities_response::Confirmed;
use tonic::{Request, Response, Status};

use super::{parse, status_of};
use crate::controller::Controller;
use crate::rpc::traced;
use crate::store::VolumeRecord;

/// RPCs that work.
const CAPABILITIES: [RpcType; 3] =
    [RpcType::CreateDeleteVolume, RpcType::PublishUnpublishVolume, RpcType::SingleNodeMultiWriter];

/// See `csi.proto`.
#[derive(Debug)]
pub struct ControllerService {
    controller: Arc<Controller>,
}

impl ControllerService {
    /// Serves the use cases of `controller`.
    pub fn new(controller: Arc<Controller>) -> Self {
        Self { controller }
    }
}

fn volume_answer(record: &VolumeRecord) -> v1::Volume {
    v1::Volume {
        capacity_bytes: i64::try_from(record.size).unwrap_or(i64::MAX),
        volume_id: record.id.to_string(),
        // For people who look at the orchestrator's object; nothing reads it back.
        volume_context: [
            ("tine.dev/backend".to_owned(), record.backend.clone()),
            ("tine.dev/internal-name".to_owned(), record.internal_name.clone()),
        ]
        .into(),
        content_source: None,
        accessible_topology: Vec::new(),
    }
}

fn unimplemented<T>(rpc: &str) -> Result<Response<T>, Status> {
    Err(Status::unimplemented(format!("{rpc} is not among the capabilities of this driver")))
}

#[tonic::async_trait]
impl CsiController for ControllerService {
    async fn create_volume(
        &self,
        request: Request<v1::CreateVolumeRequest>,
    ) -> Result<Response<v1::CreateVolumeResponse>, Status> {
        let request = request.into_inner();
        let subject = request.name.clone();
        traced("CreateVolume", &subject, async {
            let intent = parse::create(request)?;
            let id = intent.id.clone();
            let created =
                self.controller.run(&id, |controller| async move { controller.create_volume(intent).await });
            let record = created.await.map_err(|error| status_of(&error))?;
            Ok(v1::CreateVolumeResponse { volume: Some(volume_answer(&record)) })
        })
        .await
    }

    async fn delete_volume(
        &self,
        request: Request<v1::DeleteVolumeRequest>,
    ) -> Result<Response<v1::DeleteVolumeResponse>, Status> {
        let request = request.into_inner();
        traced("DeleteVolume", &request.volume_id, async {
            let Some(id) = parse::volume_id(&request.volume_id)? else {
                return Ok(v1::DeleteVolumeResponse {});
            };
            let volume = id.clone();
            let deleted =
                self.controller.run(&id, |controller| async move { controller.delete_volume(volume).await });
            deleted.await.map_err(|error| status_of(&error))?;
            Ok(v1::DeleteVolumeResponse {})
        })
        .await
    }

    async fn controller_publish_volume(
        &self,
        request: Request<v1::ControllerPublishVolumeRequest>,
    ) -> Result<Response<v1::ControllerPublishVolumeResponse>, Status> {
        let request = request.into_inner();
        let subject = request.volume_id.clone();
        traced("ControllerPublishVolume", &subject, async {
            let intent = parse::publish(request)?;
            let id = intent.volume.clone();
            let published =
                self.controller.run(&id, |controller| async move { controller.publish_volume(intent).await });
            let context = published.await.map_err(|error| status_of(&error))?;
            let publish_context = context.encode().map_err(|error| status_of(&error.into()))?;
            Ok(v1::ControllerPublishVolumeResponse { publish_context })
        })
        .await
    }

    async fn controller_unpublish_volume(
        &self,
        request: Request<v1::ControllerUnpublishVolumeRequest>,
    ) -> Result<Response<v1::ControllerUnpublishVolumeResponse>, Status> {
        let request = request.into_inner();
        traced("ControllerUnpublishVolume", &request.volume_id, async {
            let id = parse::volume_id(&request.volume_id)?;
            let node = match request.node_id.as_str() {
                // CSI: from every node.
                "" => Some(None),
                // A node that cannot exist has nothing.
                text => text.parse().ok().map(Some),
            };
            let (Some(id), Some(node)) = (id, node) else {
                return Ok(v1::ControllerUnpublishVolumeResponse {});
            };
            let volume = id.clone();
            let unpublished = self
                .controller
                .run(&id, |controller| async move { controller.unpublish_volume(volume, node).await });
            unpublished.await.map_err(|error| status_of(&error))?;
            Ok(v1::ControllerUnpublishVolumeResponse {})
        })
        .await
    }

    async fn validate_volume_capabilities(
        &self,
        request: Request<v1::ValidateVolumeCapabilitiesRequest>,
    ) -> Result<Response<v1::ValidateVolumeCapabilitiesResponse>, Status> {
        let request = request.into_inner();
        let subject = request.volume_id.clone();
        traced("ValidateVolumeCapabilities", &subject, async {
            parse::volume_id(&request.volume_id)?;
            let (uses, _) = parse::capabilities(&request.volume_capabilities)?;
            let id = parse::known_volume_id(&request.volume_id)?;
            let parameters = parse::parameters(request.parameters.clone());
            let why_not = self.controller.validate_volume(&id, &uses, &parameters).await;
            Ok(match why_not.map_err(|error| status_of(&error))? {
                Some(message) => v1::ValidateVolumeCapabilitiesResponse { confirmed: None, message },
                None => v1::ValidateVolumeCapabilitiesResponse {
                    confirmed: Some(Confirmed {
                        volume_context: request.volume_context,
                        volume_capabilities: request.volume_capabilities,
                        parameters: request.parameters,
                        mutable_parameters: request.mutable_parameters,
                    }),
                    message: String::new(),
                },
            })
        })
        .await
    }

    async fn controller_get_capabilities(
        &self,
        _: Request<v1::ControllerGetCapabilitiesRequest>,
    ) -> Result<Response<v1::ControllerGetCapabilitiesResponse>, Status> {
        let capability = |rpc: RpcType| v1::ControllerServiceCapability {
            r#type: Some(Type::Rpc(Rpc { r#type: rpc.into() })),
        };
        let capabilities = CAPABILITIES.into_iter().map(capability).collect();
        Ok(Response::new(v1::ControllerGetCapabilitiesResponse { capabilities }))
    }

    async fn list_volumes(
        &self,
        _: Request<v1::ListVolumesRequest>,
    ) -> Result<Response<v1::ListVolumesResponse>, Status> {
        unimplemented("ListVolumes")
    }

    async fn get_capacity(
        &self,
        _: Request<v1::GetCapacityRequest>,
    ) -> Result<Response<v1::GetCapacityResponse>, Status> {
        unimplemented("GetCapacity")
    }

    async fn create_snapshot(
        &self,
        _: Request<v1::CreateSnapshotRequest>,
    ) -> Result<Response<v1::CreateSnapshotResponse>, Status> {
        unimplemented("CreateSnapshot")
    }

    async fn delete_snapshot(
        &self,
        _: Request<v1::DeleteSnapshotRequest>,
    ) -> Result<Response<v1::DeleteSnapshotResponse>, Status> {
        unimplemented("DeleteSnapshot")
    }

    async fn list_snapshots(
        &self,
        _: Request<v1::ListSnapshotsRequest>,
    ) -> Result<Response<v1::ListSnapshotsResponse>, Status> {
        unimplemented("ListSnapshots")
    }

    async fn get_snapshot(
        &self,
        _: Request<v1::GetSnapshotRequest>,
    ) -> Result<Response<v1::GetSnapshotResponse>, Status> {
        unimplemented("GetSnapshot")
    }

    async fn controller_expand_volume(
        &self,
        _: Request<v1::ControllerExpandVolumeRequest>,
    ) -> Result<Response<v1::ControllerExpandVolumeResponse>, Status> {
        unimplemented("ControllerExpandVolume")
    }

    async fn controller_get_volume(
        &self,
        _: Request<v1::ControllerGetVolumeRequest>,
    ) -> Result<Response<v1::ControllerGetVolumeResponse>, Status> {
        unimplemented("ControllerGetVolume")
    }

    async fn controller_modify_volume(
        &self,
        _: Request<v1::ControllerModifyVolumeRequest>,
    ) -> Result<Response<v1::ControllerModifyVolumeResponse>, Status> {
        unimplemented("ControllerModifyVolume")
    }
}
