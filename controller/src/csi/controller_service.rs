//! CSI Controller: exactly what works is advertised, the rest answers UNIMPLEMENTED.

use std::sync::Arc;

use contract::{NodeId, SnapshotId, VolumeId};
use csi_proto::v1;
use csi_proto::v1::controller_server::Controller as CsiController;
use csi_proto::v1::controller_service_capability::rpc::Type as RpcType;
use csi_proto::v1::controller_service_capability::{Rpc, Type};
use csi_proto::v1::validate_volume_capabilities_response::Confirmed;
use csi_proto::v1::volume_content_source::{SnapshotSource, Type as SourceType, VolumeSource};
use tonic::{Request, Response, Status};

use super::{parse, status_of};
use crate::controller::Controller;
use crate::rpc::traced;
use crate::store::{SnapshotRecord, SourceRecord, VolumePhase, VolumeRecord};
use crate::volume::Page;

/// RPCs that work. ControllerExpandVolume does, and is not told of as long as agents do not grow what
/// is on the volume: an orchestrator would wait for them.
const CAPABILITIES: [RpcType; 9] = [
    RpcType::CreateDeleteVolume,
    RpcType::PublishUnpublishVolume,
    RpcType::SingleNodeMultiWriter,
    RpcType::CreateDeleteSnapshot,
    RpcType::CloneVolume,
    RpcType::ListVolumes,
    RpcType::ListVolumesPublishedNodes,
    RpcType::ListSnapshots,
    RpcType::GetVolume,
];

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

    async fn find_snapshot(&self, id: &SnapshotId) -> Result<Option<SnapshotRecord>, Status> {
        self.controller.find_snapshot(id).await.map_err(|error| status_of(&error.into()))
    }

    /// A page of snapshots, and where the next one begins.
    async fn snapshots(
        &self,
        page: &Page,
        of: Option<&VolumeId>,
    ) -> Result<(Vec<SnapshotRecord>, String), Status> {
        let listed = self.controller.list_snapshots(page, of).await.map_err(|error| status_of(&error))?;
        Ok((listed.records, listed.next))
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
        content_source: record.source.clone().map(source_answer),
        accessible_topology: Vec::new(),
    }
}

fn source_answer(source: SourceRecord) -> v1::VolumeContentSource {
    let source = match source {
        SourceRecord::Volume(id) => SourceType::Volume(VolumeSource { volume_id: id.into() }),
        SourceRecord::Snapshot(id) => SourceType::Snapshot(SnapshotSource { snapshot_id: id.into() }),
    };
    v1::VolumeContentSource { r#type: Some(source) }
}

fn snapshot_answer(record: &SnapshotRecord) -> v1::Snapshot {
    v1::Snapshot {
        size_bytes: i64::try_from(record.size).unwrap_or(i64::MAX),
        snapshot_id: record.id.to_string(),
        source_volume_id: record.volume.to_string(),
        creation_time: record
            .taken
            .map(|at| prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }),
        ready_to_use: record.phase == VolumePhase::Ready,
        group_snapshot_id: String::new(),
    }
}

fn node_ids(nodes: Vec<NodeId>) -> Vec<String> {
    nodes.into_iter().map(String::from).collect()
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
        request: Request<v1::ListVolumesRequest>,
    ) -> Result<Response<v1::ListVolumesResponse>, Status> {
        let request = request.into_inner();
        traced("ListVolumes", "", async {
            let page = parse::page(request.max_entries, request.starting_token)?;
            let listed = self.controller.list_volumes(&page).await.map_err(|error| status_of(&error))?;
            let entries =
                listed.records.into_iter().map(|(volume, nodes)| v1::list_volumes_response::Entry {
                    volume: Some(volume_answer(&volume)),
                    status: Some(v1::list_volumes_response::VolumeStatus {
                        published_node_ids: node_ids(nodes),
                        volume_condition: None,
                    }),
                });
            Ok(v1::ListVolumesResponse { entries: entries.collect(), next_token: listed.next })
        })
        .await
    }

    async fn get_capacity(
        &self,
        _: Request<v1::GetCapacityRequest>,
    ) -> Result<Response<v1::GetCapacityResponse>, Status> {
        unimplemented("GetCapacity")
    }

    async fn create_snapshot(
        &self,
        request: Request<v1::CreateSnapshotRequest>,
    ) -> Result<Response<v1::CreateSnapshotResponse>, Status> {
        let request = request.into_inner();
        let subject = request.name.clone();
        traced("CreateSnapshot", &subject, async {
            let intent = parse::snapshot(request)?;
            let volume = intent.volume.clone();
            let taken = self
                .controller
                .run(&volume, |controller| async move { controller.create_snapshot(intent).await });
            let record = taken.await.map_err(|error| status_of(&error))?;
            Ok(v1::CreateSnapshotResponse { snapshot: Some(snapshot_answer(&record)) })
        })
        .await
    }

    async fn delete_snapshot(
        &self,
        request: Request<v1::DeleteSnapshotRequest>,
    ) -> Result<Response<v1::DeleteSnapshotResponse>, Status> {
        let request = request.into_inner();
        traced("DeleteSnapshot", &request.snapshot_id, async {
            let gone = Ok(v1::DeleteSnapshotResponse {});
            let Some(id) = parse::snapshot_id(&request.snapshot_id)? else { return gone };
            let Some(found) = self.find_snapshot(&id).await? else { return gone };
            let deleted = self
                .controller
                .run(&found.volume, |controller| async move { controller.delete_snapshot(id).await });
            deleted.await.map_err(|error| status_of(&error))?;
            gone
        })
        .await
    }

    async fn list_snapshots(
        &self,
        request: Request<v1::ListSnapshotsRequest>,
    ) -> Result<Response<v1::ListSnapshotsResponse>, Status> {
        let request = request.into_inner();
        traced("ListSnapshots", &request.snapshot_id, async {
            let page = parse::page(request.max_entries, request.starting_token)?;
            // What cannot be an id is the id of nothing: the list is empty.
            let (records, next_token) =
                match (request.snapshot_id.as_str(), request.source_volume_id.as_str()) {
                    ("", "") => self.snapshots(&page, None).await?,
                    ("", text) => match text.parse() {
                        Ok(volume) => self.snapshots(&page, Some(&volume)).await?,
                        Err(_) => (Vec::new(), String::new()),
                    },
                    (text, of) => {
                        let found = match text.parse() {
                            Ok(id) => self.find_snapshot(&id).await?,
                            Err(_) => None,
                        };
                        let shown = found
                            .filter(|found| found.phase == VolumePhase::Ready)
                            .filter(|found| of.is_empty() || of == found.volume.as_str());
                        (shown.into_iter().collect(), String::new())
                    }
                };
            let entry = |record: &SnapshotRecord| v1::list_snapshots_response::Entry {
                snapshot: Some(snapshot_answer(record)),
            };
            Ok(v1::ListSnapshotsResponse { entries: records.iter().map(entry).collect(), next_token })
        })
        .await
    }

    async fn get_snapshot(
        &self,
        _: Request<v1::GetSnapshotRequest>,
    ) -> Result<Response<v1::GetSnapshotResponse>, Status> {
        unimplemented("GetSnapshot")
    }

    async fn controller_expand_volume(
        &self,
        request: Request<v1::ControllerExpandVolumeRequest>,
    ) -> Result<Response<v1::ControllerExpandVolumeResponse>, Status> {
        let request = request.into_inner();
        let subject = request.volume_id.clone();
        traced("ControllerExpandVolume", &subject, async {
            parse::volume_id(&request.volume_id)?;
            let (required, limit) = parse::growth(request.capacity_range)?;
            let id = parse::known_volume_id(&request.volume_id)?;
            let volume = id.clone();
            let grown = self.controller.run(&id, |controller| async move {
                controller.expand_volume(&volume, required, limit).await
            });
            let (record, on_node) = grown.await.map_err(|error| status_of(&error))?;
            Ok(v1::ControllerExpandVolumeResponse {
                capacity_bytes: i64::try_from(record.size).unwrap_or(i64::MAX),
                node_expansion_required: on_node,
            })
        })
        .await
    }

    async fn controller_get_volume(
        &self,
        request: Request<v1::ControllerGetVolumeRequest>,
    ) -> Result<Response<v1::ControllerGetVolumeResponse>, Status> {
        let request = request.into_inner();
        traced("ControllerGetVolume", &request.volume_id, async {
            let id = parse::known_volume_id(&request.volume_id)?;
            let (volume, nodes) = self.controller.get_volume(&id).await.map_err(|error| status_of(&error))?;
            Ok(v1::ControllerGetVolumeResponse {
                volume: Some(volume_answer(&volume)),
                status: Some(v1::controller_get_volume_response::VolumeStatus {
                    published_node_ids: node_ids(nodes),
                    volume_condition: None,
                }),
            })
        })
        .await
    }

    async fn controller_modify_volume(
        &self,
        _: Request<v1::ControllerModifyVolumeRequest>,
    ) -> Result<Response<v1::ControllerModifyVolumeResponse>, Status> {
        unimplemented("ControllerModifyVolume")
    }
}
