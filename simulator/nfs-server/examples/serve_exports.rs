//! Serves one tree to everyone, for a try with foreign clients:
//! `serve_exports 127.0.0.1:2049 /vol1 1073741824 [portmap address]`.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use nfs_server::{AuthRule, Export, ExportPolicy, ExportRule, FileTree, NfsServer, RootAttributes};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).init();
    let mut arguments = std::env::args().skip(1);
    let mut argument = |default: &str| arguments.next().unwrap_or_else(|| default.to_owned());
    let address: SocketAddr =
        argument("127.0.0.1:2049").parse().context("the first argument: ADDRESS:PORT")?;
    let path = argument("/vol1");
    let capacity = argument("1073741824").parse().context("the third argument: bytes")?;
    let portmap = argument("");

    let server = NfsServer::new(levers::EventLog::new());
    let everyone = ExportRule {
        index: 1,
        clients: vec!["0.0.0.0/0".parse()?, "::/0".parse()?],
        ro: AuthRule::Any,
        rw: AuthRule::Any,
        superuser: AuthRule::Any,
        anonymous_uid: 65534,
    };
    let policy = Arc::new(ExportPolicy { name: "everyone".into(), rules: vec![everyone] });
    let tree = FileTree::new(capacity, RootAttributes { mode: 0o777, uid: 0, gid: 0 });
    server.put_export(Export { path, tree, policy });
    let bound = server.bind_lif(address).await?;
    if !portmap.is_empty() {
        let portmap = portmap.parse().context("the fourth argument: ADDRESS:PORT of the port mapper")?;
        server.bind_portmap(portmap, bound.port()).await?;
    }
    tokio::signal::ctrl_c().await.context("waiting for the interrupt")
}
