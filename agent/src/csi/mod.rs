//! The front door: CSI Identity and Node over a Unix socket.
//!
//! One screen an RPC: parse → submit → respond. `parse` is the only reader of protocol fields,
//! `status` the only writer of gRPC codes.

mod identity;
mod node;
mod parse;
mod status;

pub use identity::IdentityService;
pub use node::NodeService;
