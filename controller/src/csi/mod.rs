//! The CSI Identity and Controller services: parse, call the use case, answer. One screen an RPC;
//! `status_of` is the only place where a refusal becomes a gRPC code.

mod controller_service;
mod identity;
mod parse;
mod status;

pub use controller_service::ControllerService;
pub use identity::IdentityService;
pub(crate) use status::status_of;
