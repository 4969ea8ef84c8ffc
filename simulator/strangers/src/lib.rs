//! How tests of the simulators play clients that others wrote, unmodified and from the Python package
//! index.
//!
//! `cargo xtask test` and `cargo xtask strangers` install them into a venv (`requirements.txt` and
//! `bundle.txt` beside this crate) and say where it is; what they are to do is beside each
//! simulator's tests, in `tests/strangers`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helper fails the test")]

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

/// Variable that names the venv.
const VENV: &str = "STRANGERS_VENV";

/// What a playbook's last line counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recap {
    /// Tasks that went well, those that changed something included.
    pub ok: u32,
    /// Tasks that changed something.
    pub changed: u32,
    /// Tasks that failed.
    pub failed: u32,
}

/// Where clients play: a directory of their own, which goes away with this.
#[derive(Debug)]
pub struct Stage {
    scripts: PathBuf,
    directory: TempDir,
}

impl Stage {
    /// A stage for what is in `tests/strangers` of the package in `manifest`, which is
    /// `env!("CARGO_MANIFEST_DIR")`.
    ///
    /// # Panics
    /// When no directory can be made.
    pub fn new(manifest: &str) -> Self {
        let scripts = Path::new(manifest).join("tests/strangers");
        Self { scripts, directory: tempfile::tempdir().unwrap() }
    }

    /// Where the simulator must write its CA certificate, in PEM, for clients that verify.
    pub fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Runs a program of the venv; answers whether it succeeded and what it printed. It finds the
    /// array's address in the variable `SIM_MANAGEMENT`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn client(
        &self,
        program: &str,
        arguments: &[impl AsRef<OsStr>],
        management: SocketAddr,
    ) -> (bool, String) {
        let directory = self.directory.path();
        let named = std::env::var_os(VENV);
        let venv = PathBuf::from(
            named.expect("STRANGERS_VENV names the venv; `cargo xtask strangers` makes it and runs this"),
        );
        let mut command = Command::new(venv.join("bin").join(program));
        command.args(arguments).current_dir(directory).kill_on_drop(true);
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("HOME", directory).env("TMPDIR", directory);
        command.env("PATH", format!("{}:/usr/bin:/bin", venv.join("bin").display()));
        command.env("SIM_MANAGEMENT", management.to_string());
        // An array on loopback is not reached through a proxy, nor judged by the machine's own list of CAs.
        for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C.UTF-8").env("ANSIBLE_COLLECTIONS_PATH", venv.join("collections"));
        command.env("ANSIBLE_PIPELINING", "true").env("ANSIBLE_PYTHON_INTERPRETER", venv.join("bin/python"));
        command.env("REQUESTS_CA_BUNDLE", self.ca()).env("SSL_CERT_FILE", self.ca());
        let output = command.output().await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Plays the cases of a library, told the array's address and `more`; answers what the last line of
    /// its output counts.
    ///
    /// # Panics
    /// When a case fails.
    pub async fn counts(&self, run: &str, more: &[&str], management: SocketAddr) -> Value {
        let mut arguments = vec![self.scripts.join(run).into_os_string(), management.to_string().into()];
        arguments.extend(more.iter().map(Into::into));
        let (good, said) = self.client("python", &arguments, management).await;
        println!("{said}");
        assert!(good, "a case failed");
        let counts: Value = serde_json::from_str(said.trim_end().lines().last().unwrap()).unwrap();
        assert_eq!(counts["failed"], 0);
        counts
    }

    /// Plays a playbook of `ansible/` on this machine.
    ///
    /// # Panics
    /// When a task fails.
    pub async fn play(&self, playbook: &str, management: SocketAddr) -> Recap {
        let playbook = self.scripts.join("ansible").join(playbook).into_os_string();
        let options = ["--inventory", "localhost,", "--connection", "local"];
        let arguments: Vec<_> = options.iter().map(Into::into).chain([playbook]).collect();
        let (good, said) = self.client("ansible-playbook", &arguments, management).await;
        println!("{said}");
        assert!(good, "a task failed");
        let recap = said.lines().rfind(|line| line.starts_with("localhost ")).unwrap();
        let count = |name: &str| {
            let mut words = recap.split_whitespace();
            words.find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok()).unwrap()
        };
        Recap { ok: count("ok"), changed: count("changed"), failed: count("failed") }
    }
}
