//! The NFS server on stage, and calls with a good header.

use std::net::SocketAddr;
use std::sync::Arc;

use levers::EventLog;
use nfs_server::{AuthRule, Export, ExportPolicy, ExportRule, FileTree, NfsServer, RootAttributes};
use tokio::runtime::Runtime;

use crate::Connection;
use crate::wire::u32_at;

/// The export.
pub const EXPORT: &str = "/v";
const CAPACITY: u64 = 8 << 20;

/// A server with one export that lets everybody in.
pub fn build(runtime: &Runtime) -> (SocketAddr, NfsServer) {
    runtime.block_on(async {
        let server = NfsServer::new(EventLog::new());
        let rule = ExportRule {
            index: 1,
            clients: vec!["0.0.0.0/0".parse().expect("a network")],
            ro: AuthRule::Any,
            rw: AuthRule::Any,
            superuser: AuthRule::Any,
            anonymous_uid: 65534,
        };
        let policy = Arc::new(ExportPolicy { name: "everyone".into(), rules: vec![rule] });
        let tree = FileTree::new(CAPACITY, RootAttributes { mode: 0o777, uid: 0, gid: 0 });
        server.put_export(Export { path: EXPORT.into(), tree, policy });
        let lif = server.bind_lif(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a LIF");
        (lif, server)
    })
}

/// Variable-length opaque data (RFC 4506 §4.10).
pub fn opaque(data: &[u8]) -> Vec<u8> {
    let mut bytes = (data.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Words in network order.
pub fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

impl Connection {
    /// A call as root with AUTH_SYS; answers its results from `accept_stat` on, `None` when the
    /// server closed.
    pub async fn call(
        &mut self,
        xid: u32,
        program: u32,
        version: u32,
        procedure: u32,
        arguments: &[u8],
    ) -> Option<Vec<u8>> {
        let mut record = words(&[xid, 0, 2, program, version, procedure, 1]);
        record.extend(opaque(&[words(&[0]), opaque(b"fuzz"), words(&[0, 0, 0])].concat()));
        record.extend(words(&[0, 0]));
        record.extend_from_slice(arguments);
        let mut bytes = words(&[record.len() as u32 | 1 << 31]);
        bytes.append(&mut record);
        self.send(&bytes).await;
        let mark = self.receive(4).await?;
        let reply = self.receive(u32_at(&mark, 0) as usize & 0x7fff_ffff).await?;
        assert_eq!(u32_at(&reply, 0), xid, "the reply to another call");
        // xid, REPLY, MSG_ACCEPTED, AUTH_NONE of length 0.
        reply.get(20..).map(<[u8]>::to_vec)
    }

    /// The handle of the export's root, by MOUNT.
    pub async fn root(&mut self) -> Option<Vec<u8>> {
        let reply = self.call(1, 100_005, 3, 1, &opaque(EXPORT.as_bytes())).await?;
        let length = u32_at(&reply, 8) as usize;
        reply.get(12..12 + length).map(<[u8]>::to_vec)
    }
}
