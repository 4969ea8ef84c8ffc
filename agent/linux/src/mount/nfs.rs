//! Mounting an export: the options the kernel needs, which mount.nfs(8) otherwise finds.

use std::net::IpAddr;
use std::path::Path;

use super::attach::{self, MountError, NewMount};
use super::options::{self, Options};
use crate::blocking::Claim;

/// The versions asked for, in this order, unless an option names one: first those whose locks and
/// recovery are part of the protocol, with one port and no helpers on the node. mount.nfs(8)
/// negotiates the same way; the kernel alone does not.
const VERSIONS: [&str; 3] = ["4.2", "4.1", "3"];

/// An export, and how to mount it.
#[derive(Debug, Clone)]
pub struct NfsMount {
    /// Data LIF.
    pub server: IpAddr,
    /// Export path.
    pub export: String,
    /// Options in order; the last of a kind wins.
    pub options: Vec<String>,
}

impl NfsMount {
    /// What the mount table shows as its source.
    pub fn source(&self) -> String {
        match self.server {
            IpAddr::V4(address) => format!("{address}:{}", self.export),
            IpAddr::V6(address) => format!("[{address}]:{}", self.export),
        }
    }

    /// Mounts it at a directory.
    ///
    /// # Errors
    /// [`MountError`]. Blocks while the server is silent: run it in a bulkhead.
    pub fn mount(&self, at: &Path, claim: &Claim) -> Result<(), MountError> {
        let versions: &[&str] = if self.names_a_version() { &["as named"] } else { &VERSIONS };
        let source = self.source();
        let mut outcome = Ok(());
        for version in versions {
            let options = self.kernel_options(version);
            outcome =
                attach::mount(&NewMount { fs_type: "nfs", source: &source, options: &options, at }, claim);
            let refused = |error: &MountError| error.errno() == Some(libc::EPROTONOSUPPORT);
            if !outcome.as_ref().is_err_and(refused) {
                break;
            }
        }
        outcome
    }

    fn names_a_version(&self) -> bool {
        let parted = options::part(self.options.iter().map(String::as_str));
        parted.filesystem.into_iter().any(|(key, value)| canonical(key, value).0 == "vers")
    }

    /// The options given, of each kind the last, with what the kernel cannot do without: the
    /// server's address, `version` unless they name one, and for version 3 TCP (its own first choice is UDP) and no
    /// locking through a statd that nobody started (hazard H04; `lock` asks for it).
    fn kernel_options(&self, version: &str) -> Options {
        let mut parted = options::part(self.options.iter().map(String::as_str));
        let mut kept: Vec<(String, Option<String>)> = Vec::new();
        for (key, value) in parted.filesystem.drain(..) {
            let (key, value) = canonical(key, value);
            kept.retain(|(earlier, _)| kind(earlier) != kind(&key));
            kept.push((key, value));
        }
        let family = if self.server.is_ipv6() { "tcp6" } else { "tcp" };
        let address = self.server.to_string();
        default_to(&mut kept, "vers", Some(version));
        default_to(&mut kept, "addr", Some(&address));
        default_to(&mut kept, "proto", Some(family));
        if kept.iter().any(|(key, value)| key == "vers" && value.as_deref().is_some_and(is_version_3)) {
            default_to(&mut kept, "mountproto", Some(family));
            default_to(&mut kept, "mountaddr", Some(&address));
            default_to(&mut kept, "nolock", None);
        }
        parted.filesystem = kept;
        parted
    }
}

/// Adds an option unless one of its kind is there.
fn default_to(options: &mut Vec<(String, Option<String>)>, key: &str, value: Option<&str>) {
    if !options.iter().any(|(present, _)| kind(present) == kind(key)) {
        options.push((key.to_owned(), value.map(str::to_owned)));
    }
}

fn is_version_3(version: &str) -> bool {
    version == "3" || version.starts_with("3.")
}

/// nfs(5) has several spellings of a version.
fn canonical(key: String, value: Option<String>) -> (String, Option<String>) {
    match (key.as_str(), &value) {
        ("nfsvers", _) => ("vers".to_owned(), value),
        ("v2" | "v3" | "v4" | "v4.0" | "v4.1" | "v4.2", None) => {
            ("vers".to_owned(), Some(key.trim_start_matches('v').to_owned()))
        }
        ("tcp", None) => ("proto".to_owned(), Some("tcp".to_owned())),
        _ => (key, value),
    }
}

/// Options that contradict each other are of one kind.
fn kind(key: &str) -> &str {
    match key {
        "rw" => "ro",
        "soft" | "softerr" => "hard",
        _ => key
            .strip_prefix("no")
            .filter(|rest| {
                matches!(
                    *rest,
                    "lock" | "cto" | "ac" | "acl" | "rdirplus" | "sharecache" | "resvport" | "fsc"
                )
            })
            .unwrap_or(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(server: &str, given: &[&str]) -> String {
        let mount = NfsMount {
            server: server.parse().unwrap(),
            export: "/vol".into(),
            options: given.iter().map(|option| (*option).to_owned()).collect(),
        };
        let words = mount.kernel_options("4.2").filesystem.into_iter().map(|(key, value)| match value {
            Some(value) => format!("{key}={value}"),
            None => key,
        });
        words.collect::<Vec<_>>().join(",")
    }

    #[test]
    fn without_a_word_it_is_the_version_offered_over_tcp() {
        assert_eq!(of("192.168.0.121", &[]), "vers=4.2,addr=192.168.0.121,proto=tcp");
        assert_eq!(of("fd00::1", &[]), "vers=4.2,addr=fd00::1,proto=tcp6");
    }

    #[test]
    fn only_an_option_that_names_a_version_ends_the_negotiation() {
        let named = |options: &[&str]| {
            let options = options.iter().map(|option| (*option).to_owned()).collect();
            NfsMount { server: IpAddr::from([10, 0, 0, 1]), export: "/v".into(), options }.names_a_version()
        };
        assert!(named(&["vers=3"]) && named(&["hard", "nfsvers=4"]) && named(&["nconnect=4,v4.1"]));
        assert!(!named(&[]) && !named(&["hard", "nconnect=4", "proto=tcp"]));
    }

    #[test]
    fn version_3_goes_over_tcp_and_without_a_lock_daemon() {
        let wanted = "vers=3,mountport=635,addr=10.0.0.1,proto=tcp,mountproto=tcp,mountaddr=10.0.0.1,nolock";
        assert_eq!(of("10.0.0.1", &["nfsvers=3", "mountport=635"]), wanted);
        assert!(of("10.0.0.1", &["v3,lock"]).ends_with("mountaddr=10.0.0.1"));
    }

    #[test]
    fn the_last_option_of_a_kind_wins() {
        assert_eq!(
            of("10.0.0.1", &["vers=3", "soft", "nfsvers=4.2", "hard"]),
            "vers=4.2,hard,addr=10.0.0.1,proto=tcp"
        );
    }
}
