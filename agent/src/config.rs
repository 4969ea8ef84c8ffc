//! Every flag, parsed once.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Parser;
use contract::NodeId;
use url::Url;

/// Makes published volumes directories and devices of this node.
#[derive(Debug, Clone, Parser)]
#[command(name = "tine-agent", version)]
pub struct Config {
    /// Unix socket on which CSI is served.
    #[arg(long, value_name = "unix:///PATH", value_parser = socket_path)]
    pub csi: PathBuf,
    /// Name of this node, unique in the cluster.
    #[arg(long)]
    pub node_id: NodeId,
    /// Directory for the records of staged volumes; it must outlive the process and its container.
    #[arg(long, default_value = "/var/lib/tine")]
    pub state_dir: PathBuf,
    /// The controller. Without it, only volumes that need no credentials are served.
    #[arg(long, value_name = "URL", requires_all = ["controller_ca", "join_token_file"])]
    pub controller: Option<Url>,
    /// PEM file with the authority of the controller's certificate.
    #[arg(long, value_name = "FILE", requires = "controller")]
    pub controller_ca: Option<PathBuf>,
    /// File whose first line is the secret that lets this agent join the controller.
    #[arg(long, value_name = "FILE", requires = "controller")]
    pub join_token_file: Option<PathBuf>,
    /// Name of the driver, as storage classes spell it in `provisioner`.
    #[arg(long, default_value = "csi.tine.dev")]
    pub driver_name: String,
    /// Address this node reaches storage from; may be repeated. Default: all its global ones.
    #[arg(long = "address", value_name = "IP")]
    pub addresses: Vec<IpAddr>,
}

fn socket_path(value: &str) -> Result<PathBuf, String> {
    let path = value.strip_prefix("unix://").unwrap_or(value);
    if path.starts_with('/') {
        return Ok(PathBuf::from(path));
    }
    Err(format!("`{value}` is not unix:// and an absolute path"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Config, clap::Error> {
        Config::try_parse_from([&["tine-agent", "--node-id", "w1"], arguments].concat())
    }

    #[test]
    fn a_controller_needs_its_authority_and_a_join_token() {
        let csi = ["--csi", "unix:///run/tine/csi.sock"];
        assert_eq!(parse(&csi).unwrap().csi, PathBuf::from("/run/tine/csi.sock"));
        let half = [&csi[..], &["--controller", "https://192.168.49.1:9443"]].concat();
        assert!(parse(&half).unwrap_err().to_string().contains("--controller-ca"));
        assert!(parse(&["--csi", "tcp://1.2.3.4"]).is_err());
    }
}
