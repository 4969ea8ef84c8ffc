//! An NFS server in user space: the NAS data plane of a simulated array.
//!
//! No privileges are needed and no kernel module: ONC-RPC over TCP (RFC 5531), MOUNT v3 and NFS v3
//! (RFC 1813), NFS v4.0 to v4.2 (RFC 7530, RFC 8881, RFC 7862) and a port mapper (RFC 1833), over file
//! trees with snapshots, in memory or in directories.
//!
//! One [`NfsServer`] is the NFS service of one SVM. A LIF is bound to it with
//! [`NfsServer::bind_lif`], a junction appears with [`NfsServer::put_export`]. A call flows
//!
//! ```text
//! TCP → rpc (record, call header, credential) → mount3 | nfs3 | nfs4 | portmap → export policy → tree
//! ```
//!
//! and is judged against the export policy of its volume every time, by the address it came from:
//! a rule removed cuts a mounted client off at once, as on the array.

mod export;
#[doc(hidden)]
pub mod fuzzing;
mod handle;
mod mount3;
mod nfs3;
mod nfs4;
mod policy;
mod portmap;
mod rpc;
mod server;
mod tree;
mod versions;
mod xdr;

pub use export::{Export, MountedClient};
pub use policy::{AuthRule, ClientMatch, ClientMatchError, ExportPolicy, ExportRule};
pub use server::{LifError, NfsServer};
pub use tree::{
    AdminError, Durability, FileRange, FileTree, Incoming, Quota, RootAttributes, SnapshotInfo, StoreError,
};
pub use versions::NfsVersions;
