//! The controller: claims become volumes on a chosen pool of a chosen backend, and nodes are
//! granted access to them.
//!
//! ```text
//! csi/     CSI over a Unix socket ─┐
//! admin    tinectl's door         ─┼─► Controller ─► volume/  one use case a file
//! fleet/   agents, over TLS       ─┘        │          │
//!                                       store/     backend/ ─► array/{ontap,element}
//! ```
//!
//! Invariants: a record is written before the first effect; names on the array follow from the
//! claim's name alone, so that a retry after a crash converges; what another made on the array is
//! neither used nor removed; no secret leaves but by `Fleet.GetAccess`; every wait has a deadline.

mod admin;
pub mod array;
pub mod backend;
pub mod controller;
pub mod csi;
pub mod fleet;
pub mod locks;
pub mod naming;
mod rpc;
pub mod scheduling;
pub mod serve;
pub mod store;
pub mod uses;
pub mod volume;
