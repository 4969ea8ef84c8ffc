//! An SVM with one LIF and one volume, whose NFS service is started anew at will.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Result;
use levers::EventLog;
use nfs_server::{AuthRule, Export, ExportPolicy, ExportRule, FileTree, NfsServer, RootAttributes};
use vm::{Fabric, Guest};

use crate::bare::script;

/// Mount options of version 3, without the lock manager that a node does not run.
pub const V3: &str = "vers=3,nolock";

const PATH: &str = "/vol1";
const NFS_PORT: u16 = 2049;
const PORTMAP_PORT: u16 = 111;

fn lif() -> Ipv4Addr {
    Fabric::A.at(101)
}

/// The SVM. Its volume outlives the service.
#[derive(Debug)]
pub struct Nas {
    server: RwLock<NfsServer>,
    /// The volume.
    pub tree: FileTree,
}

impl Nas {
    /// Starts the service at `.101` of fabric A, with a volume of so many bytes that every node
    /// may write.
    ///
    /// # Errors
    /// When an address is taken.
    pub async fn start(capacity: u64) -> Result<Self> {
        let tree = FileTree::new(capacity, RootAttributes { mode: 0o777, uid: 0, gid: 0 });
        let server = serve(&tree).await?;
        Ok(Self { server: RwLock::new(server), tree })
    }

    /// The service as it is now.
    pub fn server(&self) -> NfsServer {
        self.server.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the service with all it holds in memory and starts another at the same address, over
    /// the same volume: a takeover, or a restart of the array's NFS.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn restart(&self) -> Result<()> {
        let old = self.server();
        for port in [NFS_PORT, PORTMAP_PORT] {
            old.retire(SocketAddr::from((lif(), port))).await;
        }
        let new = serve(&self.tree).await?;
        *self.server.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// Restarts the service in good order: what was called is answered, and all state of version 4 is forgotten, so that
    /// clients reclaim what they had open and locked in the grace that follows.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn restart_in_place(&self) -> Result<()> {
        let server = self.server();
        let address = SocketAddr::from((lif(), NFS_PORT));
        server.retire(address).await;
        server.restart();
        server.bind_lif(address).await?;
        Ok(())
    }
}

async fn serve(tree: &FileTree) -> Result<NfsServer> {
    let server = NfsServer::new(EventLog::new());
    let rule = ExportRule {
        index: 1,
        clients: vec!["192.168.0.0/24".parse()?],
        ro: AuthRule::Any,
        rw: AuthRule::Any,
        superuser: AuthRule::Any,
        anonymous_uid: 65534,
    };
    let policy = Arc::new(ExportPolicy { name: "nodes".into(), rules: vec![rule] });
    server.put_export(Export { path: PATH.into(), tree: tree.clone(), policy });
    // Exports first: a client that comes back at once must find its volume.
    server.bind_portmap((lif(), PORTMAP_PORT).into(), NFS_PORT).await?;
    server.bind_lif((lif(), NFS_PORT).into()).await?;
    Ok(server)
}

/// Mounts the volume at `/mnt/v`, hard (the default), with these options.
///
/// # Errors
/// When the mount fails.
pub async fn mount(guest: &Guest, options: &str) -> Result<()> {
    script(guest, &format!("mkdir -p /mnt/v; mount -t nfs -o {options} 192.168.0.101:{PATH} /mnt/v")).await?;
    Ok(())
}
