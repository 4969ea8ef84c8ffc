//! CSI Identity.

use csi_proto::v1;
use csi_proto::v1::identity_server::Identity;
use csi_proto::v1::plugin_capability::service::Type as ServiceType;
use csi_proto::v1::plugin_capability::{Service, Type};
use tonic::{Request, Response, Status};

/// See `csi.proto`.
#[derive(Debug)]
pub struct IdentityService {
    driver_name: String,
}

impl IdentityService {
    /// Answers as the driver of that name.
    pub fn new(driver_name: String) -> Self {
        Self { driver_name }
    }
}

#[tonic::async_trait]
impl Identity for IdentityService {
    async fn get_plugin_info(
        &self,
        _: Request<v1::GetPluginInfoRequest>,
    ) -> Result<Response<v1::GetPluginInfoResponse>, Status> {
        Ok(Response::new(v1::GetPluginInfoResponse {
            name: self.driver_name.clone(),
            vendor_version: env!("CARGO_PKG_VERSION").to_owned(),
            manifest: [("component".to_owned(), "controller".to_owned())].into(),
        }))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<v1::GetPluginCapabilitiesRequest>,
    ) -> Result<Response<v1::GetPluginCapabilitiesResponse>, Status> {
        let service = Service { r#type: ServiceType::ControllerService.into() };
        let capability = v1::PluginCapability { r#type: Some(Type::Service(service)) };
        Ok(Response::new(v1::GetPluginCapabilitiesResponse { capabilities: vec![capability] }))
    }

    /// Ready as soon as it serves: an array that is away is a matter of its backend, not of the
    /// controller, which must still unpublish and delete on the others.
    async fn probe(&self, _: Request<v1::ProbeRequest>) -> Result<Response<v1::ProbeResponse>, Status> {
        Ok(Response::new(v1::ProbeResponse { ready: Some(true) }))
    }
}
