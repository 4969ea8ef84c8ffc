//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

use super::SocketPath;

/// The controller of Tine: claims become volumes, nodes are granted access.
#[derive(Debug, Clone, Parser)]
#[command(name = "tine-controller", version)]
pub struct Arguments {
    /// Where CSI is served
    #[arg(long, value_name = "unix:///PATH", default_value = "unix:///run/tine/controller/csi.sock")]
    pub csi: SocketPath,
    /// Where tinectl is served
    #[arg(long, value_name = "unix:///PATH", default_value = "unix:///run/tine/controller/admin.sock")]
    pub admin: SocketPath,
    /// Where agents are served (TLS); port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub fleet: SocketAddr,
    /// Database of volumes, nodes and backends; made at the first start
    #[arg(long, value_name = "FILE", default_value = "/var/lib/tine/controller.state")]
    pub state: PathBuf,
    /// File whose first line is the secret that lets an agent join
    #[arg(long, value_name = "FILE")]
    pub join_token_file: PathBuf,
    /// Where to write the certificate agents must trust (PEM)
    #[arg(long, value_name = "FILE")]
    pub fleet_ca_out: PathBuf,
    /// Name of the CSI driver, the provisioner of storage classes
    #[arg(long, value_name = "NAME", default_value = "csi.tine.dev")]
    pub driver_name: String,
    /// Backend file to register at start; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub backend: Vec<PathBuf>,
}
