//! What the controller remembers: records, each written before the first effect it answers for.
//!
//! ```text
//! volume/*, backend/*, fleet/* ── put, find, all, remove ──► Store ──► embedded database file
//! ```
//!
//! Every call is asynchronous, keyed by text and moves one whole record: the shape of an object in
//! a Kubernetes API server, so that a second implementation needs no other door.

mod embedded;
mod records;

pub use embedded::{Store, StoreError};
pub use records::{
    Authority, BackendRecord, Identity, NodeRecord, PublicationRecord, Record, SnapshotRecord, SourceRecord,
    UseRecord, VolumePhase, VolumeRecord,
};
