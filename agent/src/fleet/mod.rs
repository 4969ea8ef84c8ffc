//! The agent's side of the fleet protocol: who this node is, credentials on demand, what is staged.
//!
//! One task keeps the agent registered and a `Sync` stream open, and begins again with growing
//! pauses when the controller is away. Nothing on the path of a volume waits for it but
//! [`Credentials::chap`].

mod client;
mod key;
mod sync;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use contract::{ChapCredentials, VolumeId};

pub use client::{FleetClient, FleetConfig, FleetConfigError};
pub use key::{KeyError, ensure_key};
pub use sync::{NodeIdentity, keep_in_sync};

/// Where a flight gets its credentials.
pub trait Credentials: fmt::Debug + Send + Sync {
    /// Credentials for the target of `volume`, which must be published to this node.
    fn chap<'a>(
        &'a self,
        volume: &'a VolumeId,
    ) -> Pin<Box<dyn Future<Output = Result<ChapCredentials, AccessError>> + Send + 'a>>;
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The agent was started without a controller.
    #[error(
        "the target of volume {0} asks for CHAP, and this agent has no controller to get credentials from: \
         start it with --controller"
    )]
    NoController(VolumeId),
    /// The controller cannot be reached, now.
    #[error("cannot reach the controller for the credentials of volume {volume}")]
    Unreachable {
        /// For which volume.
        volume: VolumeId,
        /// What gRPC said.
        #[source]
        source: Box<tonic::Status>,
    },
    /// The controller says no.
    #[error(
        "the controller gives this node no credentials for volume {volume}: is it published to this node?"
    )]
    Denied {
        /// For which volume.
        volume: VolumeId,
        /// What gRPC said.
        #[source]
        source: Box<tonic::Status>,
    },
    /// The target asks for CHAP and the controller knows no credentials.
    #[error("the target of volume {0} asks for CHAP, but the controller has no credentials for it")]
    NoCredentials(VolumeId),
}

/// An agent without a controller: it serves volumes that need no credentials.
#[derive(Debug, Clone, Copy)]
pub struct NoController;

impl Credentials for NoController {
    fn chap<'a>(
        &'a self,
        volume: &'a VolumeId,
    ) -> Pin<Box<dyn Future<Output = Result<ChapCredentials, AccessError>> + Send + 'a>> {
        Box::pin(async move { Err(AccessError::NoController(volume.clone())) })
    }
}
