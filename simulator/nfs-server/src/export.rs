//! Exports: which tree stands at which junction, under which policy, and who has it mounted.

use std::net::IpAddr;
use std::sync::Arc;

use crate::policy::ExportPolicy;
use crate::tree::FileTree;

/// A tree at a junction.
#[derive(Debug, Clone)]
pub struct Export {
    /// The absolute junction path, such as `/vol_17`.
    pub path: String,
    /// What is mounted there. Its handles stay good when the same tree moves to another path.
    pub tree: FileTree,
    /// Who may reach it; asked at every operation.
    pub policy: Arc<ExportPolicy>,
}

/// A line of the mount table (RFC 1813 §5.2.2): advisory, since clients may go without a word.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MountedClient {
    /// The client's address.
    pub client: IpAddr,
    /// The host name it gave in its AUTH_SYS credential; empty where it gave none.
    pub machine: String,
    /// The path it mounted.
    pub path: String,
}
