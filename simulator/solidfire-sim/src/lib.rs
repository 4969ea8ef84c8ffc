//! A NetApp SolidFire (Element) cluster in one process: JSON-RPC API and iSCSI.
//!
//! ```text
//! client -HTTPS-> rpc: decode -> state: (State, Request) -> Reply + changes -> rpc: render -> client
//!                                                              | dataplane: carry out
//! initiator -iSCSI-> target of the volume <--------------------+
//! ```
//!
//! [`start`] brings one up in this process, for tests; the `solidfire-sim` program is a thin wrapper.

mod clock;
mod cluster;
mod contents;
mod control;
mod dataplane;
mod declaration;
mod launch;
mod nodes;
mod pace;
mod rpc;
mod skin;
pub mod state;
mod status;
pub mod traffic;
mod veil;

pub use cluster::{CarryOutError, Cluster};
pub use contents::{ContentError, Contents};
pub use dataplane::DataPlane;
pub use declaration::{Declaration, DeclarationError};
pub use launch::{Arguments, LaunchError, Running, start};
pub use nodes::NodeError;
