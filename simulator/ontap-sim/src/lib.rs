//! A NetApp ONTAP array in one process: REST API, NFS and iSCSI, no privileges, no kernel modules.
//!
//! ```text
//! HTTPS ─ http ─ rest ─ state ──┐ DataPlaneChange
//!                    │          └─ dataplane ─ iscsi-target, nfs-server ─ the node's kernel
//!                    └ RowWrite ─ records::DataDir
//! HTTP on loopback ─ control (sim-front) ─ event log, state, digests, faults
//! ```
//!
//! [`state`] decides, without IO; [`rest`] is the skin a client knows; [`dataplane`] makes it true
//! on the wire before the client is answered. [`OntapSim::start`] runs the whole in this process,
//! which is what tests do; the program `ontap-sim` is [`arguments`] around it.

pub mod arguments;
pub mod array;
mod certificate;
pub mod dataplane;
pub mod declaration;
mod door;
mod http;
mod management;
mod mishap;
mod replication;
pub mod rest;

mod shell;
mod simulator;
mod skin;
pub mod state;
mod status;
mod zapi;

pub use shell::service::SshError;
pub use simulator::{Configuration, OntapSim, StartError};
