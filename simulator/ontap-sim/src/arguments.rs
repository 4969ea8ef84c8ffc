//! The command line of `ontap-sim`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;
use jiff::Timestamp;
use sim_front::{ArgumentError, FrontArguments};

use crate::dataplane::Ports;
use crate::declaration::{Declaration, DeclarationError};
use crate::simulator::Configuration;
use crate::state::{Blueprint, LifBlueprint, Version};

/// The administrator's password when none is given.
pub const DEFAULT_PASSWORD: &str = "Netapp1!";

/// A NetApp ONTAP array in one process: REST API over HTTPS, NFS and iSCSI from user space.
///
/// Without flags everything listens on loopback at free ports; the first line of output says where.
#[derive(Debug, Parser)]
#[command(name = "ontap-sim", version)]
pub struct Arguments {
    /// Management API, users, control endpoint.
    #[command(flatten)]
    pub front: FrontArguments,
    /// Release of ONTAP that the array says it runs [default: 9.15.1]
    #[arg(long, value_name = "9.N.N")]
    pub ontap_version: Option<Version>,
    /// Model that its nodes say they are [default: SIMBOX]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// YAML file that declares the array: SVMs, LIFs, users, export policies, volumes, LUNs and more
    #[arg(long, value_name = "FILE", conflicts_with_all = ["svm", "nfs_lifs", "iscsi_lifs", "default_export_rules"])]
    pub config: Option<PathBuf>,
    /// Name of the data SVM [default: svm1]
    #[arg(long, value_name = "NAME")]
    pub svm: Option<String>,
    /// Address that serves NFS, on a node; repeatable
    #[arg(long = "nfs-lif", value_name = "ADDRESS[@NODE]")]
    pub nfs_lifs: Vec<LifArgument>,
    /// Port of the NFS LIFs (0: a free one; default 2049 when LIFs are given)
    #[arg(long, value_name = "PORT")]
    pub nfs_port: Option<u16>,
    /// Answer as port mapper on port 111 of every NFS LIF
    #[arg(long)]
    pub portmap: bool,
    /// Address that serves iSCSI, on a node; repeatable
    #[arg(long = "iscsi-lif", value_name = "ADDRESS[@NODE]")]
    pub iscsi_lifs: Vec<LifArgument>,
    /// Port of the iSCSI LIFs (0: a free one; default 3260 when LIFs are given)
    #[arg(long, value_name = "PORT")]
    pub iscsi_port: Option<u16>,
    /// Where the ONTAP shell listens for SSH
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub ssh: Option<SocketAddr>,
    /// Public keys that let the administrator in over SSH, as in authorized_keys
    #[arg(long, value_name = "FILE", requires = "ssh")]
    pub ssh_keys: Option<PathBuf>,
    /// Client match that the default export policy admits to everything; repeatable
    #[arg(long = "default-export-rule", value_name = "CLIENTS")]
    pub default_export_rules: Vec<String>,
    /// Directory that keeps the array over restarts; it is made, or goes on from what is in it
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// `ADDRESS[@NODE]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifArgument(LifBlueprint);

/// Flags that ask for what cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// A flag.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// The file of `--config`.
    #[error(transparent)]
    Declaration(#[from] DeclarationError),
}

/// A LIF that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write it as ADDRESS or ADDRESS@NODE, such as 192.168.0.131@sim-01")]
pub struct LifArgumentError;

impl FromStr for LifArgument {
    type Err = LifArgumentError;

    fn from_str(text: &str) -> Result<Self, LifArgumentError> {
        let (address, node) = match text.split_once('@') {
            Some((address, node)) if !node.is_empty() => (address, Some(node.to_owned())),
            Some(_) => return Err(LifArgumentError),
            None => (text, None),
        };
        let address = address.parse().map_err(|_| LifArgumentError)?;
        Ok(Self(LifBlueprint { address, node }))
    }
}

impl Arguments {
    /// What the flags ask for.
    ///
    /// # Errors
    /// [`ConfigurationError`] when the password file or the declaration cannot be used.
    pub fn configuration(&self) -> Result<Configuration, ConfigurationError> {
        let declaration = self.config.as_deref().map(Declaration::read).transpose()?;
        let administrator = self.front.administrator(DEFAULT_PASSWORD)?;
        let now = Timestamp::now();
        // Lower half of the clock: different at every start, which is all that is asked of it.
        let random = u64::try_from(now.as_nanosecond() & i128::from(u32::MAX)).unwrap_or(0);
        let loopback = |last, node: &str| LifBlueprint {
            address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)),
            node: Some(node.to_owned()),
        };
        let chosen = |lifs: &[LifArgument]| lifs.iter().map(|lif| lif.0.clone()).collect::<Vec<_>>();
        let none_given = self.nfs_lifs.is_empty() && self.iscsi_lifs.is_empty() && declaration.is_none();
        let front = &self.front;
        let password_given = front.password.is_some() || front.password_file.is_some();
        let declared =
            |name: &str| declaration.as_ref().is_some_and(|file| file.declares_administrator(name));
        // A password that was typed counts before the one in the file.
        let users = if declared(&front.user) && !password_given { vec![] } else { vec![administrator] };
        let of_file = |declaration: &Declaration| declaration.model().map(str::to_owned);
        let model = self.model.clone().or_else(|| declaration.as_ref().and_then(of_file));
        let version = self.ontap_version.or_else(|| declaration.as_ref().and_then(Declaration::version));
        let (nfs, iscsi) = if none_given {
            (vec![loopback(1, "sim-01")], vec![loopback(1, "sim-01"), loopback(2, "sim-02")])
        } else {
            (chosen(&self.nfs_lifs), chosen(&self.iscsi_lifs))
        };
        let usual = |port: u16| if none_given { 0 } else { port };
        Ok(Configuration {
            blueprint: Blueprint {
                seed: self.front.seed.unwrap_or(random),
                svm: self.svm.clone().unwrap_or_else(|| "svm1".into()),
                nfs,
                iscsi,
                management: self.front.management.ip(),
                default_export_clients: self.default_export_rules.clone(),
                addressed: !none_given && self.config.is_none(),
                now,
            },
            ports: Ports {
                nfs: self.nfs_port.unwrap_or(usual(2049)),
                portmap: self.portmap,
                iscsi: self.iscsi_port.unwrap_or(usual(3260)),
            },
            management: self.front.management,
            control: self.front.control,
            users,
            version: version.unwrap_or_default(),
            model: model.unwrap_or_else(|| "SIMBOX".into()),
            ca_out: self.front.ca_out.clone(),
            data_dir: self.data_dir.clone(),
            ssh: self.ssh,
            ssh_keys: self.ssh_keys.clone(),
            declaration,
        })
    }

    /// Two lines that a person can paste, for standard error.
    pub fn usage_hint(&self, management: SocketAddr, control: SocketAddr) -> String {
        let password = match (&self.front.password, &self.front.password_file) {
            (None, None) => DEFAULT_PASSWORD,
            _ => "<password>",
        };
        let user = &self.front.user;
        format!(
            "try:  curl -sku '{user}:{password}' https://{management}/api/cluster\n      \
             curl -s http://{control}/sim/v1/state    (stop with Ctrl-C; --help for addresses and ports)"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(flags: &[&str]) -> Result<Arguments, String> {
        let words = std::iter::once("ontap-sim").chain(flags.iter().copied());
        Arguments::try_parse_from(words).map_err(|error| error.to_string())
    }

    #[test]
    fn the_administrators_flags_make_the_array_of_the_journeys() {
        let arguments = parsed(&[
            "--management",
            "192.168.0.101:443",
            "--svm",
            "svm1",
            "--nfs-lif",
            "192.168.0.121",
            "--iscsi-lif",
            "192.168.0.131@sim-01",
            "--iscsi-lif",
            "192.168.1.131@sim-02",
            "--seed",
            "7",
        ]);
        let configuration = arguments.unwrap().configuration().unwrap();
        assert_eq!((configuration.ports.nfs, configuration.ports.iscsi), (2049, 3260));
        assert_eq!(configuration.blueprint.seed, 7);
        let nodes: Vec<_> = configuration.blueprint.iscsi.iter().map(|lif| lif.node.as_deref()).collect();
        assert_eq!(nodes, [Some("sim-01"), Some("sim-02")]);
    }

    #[test]
    fn without_flags_everything_is_on_loopback_at_free_ports() {
        let configuration = parsed(&[]).unwrap().configuration().unwrap();
        assert!(configuration.management.ip().is_loopback() && configuration.management.port() == 0);
        assert!(configuration.blueprint.iscsi.iter().all(|lif| lif.address.is_loopback()));
        assert_eq!((configuration.ports.nfs, configuration.ports.iscsi), (0, 0));
    }

    #[test]
    fn a_lif_that_cannot_be_read_is_refused_with_flag_value_and_cure() {
        for bad in ["nonsense", "10.0.0.1@", "10.0.0.1:3260"] {
            let error = parsed(&["--iscsi-lif", bad]).unwrap_err();
            assert!(
                error.contains("--iscsi-lif") && error.contains(bad) && error.contains("ADDRESS@NODE"),
                "{error}"
            );
        }
    }
}
