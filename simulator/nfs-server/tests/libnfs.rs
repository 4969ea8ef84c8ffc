//! The server judged by libnfs, the client that programs link instead of mounting (Debian
//! `libnfs-utils`).

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use levers::EventLog;
use nfs_server::{AuthRule, Export, ExportPolicy, ExportRule, FileTree, NfsServer, RootAttributes};
use tokio::process::Command;

/// For one program; bounds a hang, measures nothing.
const SOON: Duration = Duration::from_secs(60);
const VERSIONS: [u8; 2] = [3, 4];

/// An SVM with the volume `/v`, open to these clients.
struct Svm {
    _server: NfsServer,
    lif: SocketAddr,
}

impl Svm {
    async fn start(clients: &str, rw: AuthRule) -> Self {
        let server = NfsServer::new(EventLog::new());
        let rule = ExportRule {
            index: 1,
            clients: vec![clients.parse().unwrap()],
            ro: AuthRule::Any,
            rw,
            superuser: AuthRule::Any,
            anonymous_uid: 65534,
        };
        let policy = Arc::new(ExportPolicy { name: "p".into(), rules: vec![rule] });
        let tree = FileTree::new(64 << 20, RootAttributes { mode: 0o777, uid: 0, gid: 0 });
        server.put_export(Export { path: "/v".into(), tree, policy });
        let lif = server.bind_lif("127.0.0.1:0".parse().unwrap()).await.unwrap();
        Self { _server: server, lif }
    }

    /// The URL of a path in the volume, for one version of the protocol.
    fn url(&self, path: &str, version: u8) -> String {
        let port = self.lif.port();
        format!("nfs://127.0.0.1/v{path}?version={version}&nfsport={port}&mountport={port}")
    }
}

/// What a program of libnfs-utils said.
struct Said {
    success: bool,
    stdout: Vec<u8>,
    stderr: String,
}

async fn run(program: &str, arguments: &[&str]) -> Said {
    let path = Path::new("/usr/bin").join(program);
    assert!(path.exists(), "{} is missing: install Debian's libnfs-utils", path.display());
    let mut command = Command::new(&path);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(SOON, command.output()).await.expect("an end in time").unwrap();
    Said {
        success: output.status.success(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Bytes that tell a lost, doubled or displaced block.
fn content(length: usize) -> Vec<u8> {
    (0_u32..).flat_map(u32::to_le_bytes).take(length).collect()
}

#[tokio::test]
async fn a_file_copied_in_is_listed_and_comes_out_as_it_went_in() {
    let svm = Svm::start("127.0.0.1", AuthRule::Any).await;
    let scratch = tempfile::tempdir().unwrap();
    let original = scratch.path().join("original");
    // Several transfers, and an odd end. With version 4, `nfs-cp` of libnfs 4.0 refuses to send a
    // write of more than its 4 KiB of call buffer; it reads files of any length.
    for (version, length) in VERSIONS.into_iter().zip([(5 << 20) + 4097, 3001]) {
        let bytes = content(length);
        std::fs::write(&original, &bytes).unwrap();
        let name = format!("/file-{version}");
        let url = svm.url(&name, version);
        let copied = run("nfs-cp", &[original.to_str().unwrap(), &url]).await;
        assert!(copied.success, "nfs-cp with version {version}: {}", copied.stderr);
        let listed = run("nfs-ls", &[&svm.url("", version)]).await;
        assert!(listed.success, "nfs-ls with version {version}: {}", listed.stderr);
        let listing = String::from_utf8(listed.stdout).unwrap();
        let line = listing.lines().find(|line| line.ends_with(&name[1..])).expect("a line for the file");
        assert!(line.split_whitespace().any(|word| word == bytes.len().to_string()), "{listing}");
        for reader in VERSIONS {
            let read = run("nfs-cat", &[&svm.url(&name, reader)]).await;
            assert!(read.success, "nfs-cat with version {reader}: {}", read.stderr);
            assert!(read.stdout == bytes, "written by version {version}, read by {reader}: other bytes");
        }
    }
}

#[tokio::test]
async fn a_client_outside_the_export_policy_gets_nothing() {
    let svm = Svm::start("10.0.0.0/8", AuthRule::Any).await;
    for version in VERSIONS {
        let listed = run("nfs-ls", &[&svm.url("", version)]).await;
        assert!(!listed.success, "version {version} lists: {}", String::from_utf8_lossy(&listed.stdout));
    }
}

#[tokio::test]
async fn an_export_that_is_read_only_is_listed_and_takes_no_file() {
    let svm = Svm::start("127.0.0.1", AuthRule::Never).await;
    let scratch = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(scratch.path(), b"x").unwrap();
    for version in VERSIONS {
        let copied = run("nfs-cp", &[scratch.path().to_str().unwrap(), &svm.url("/file", version)]).await;
        assert!(!copied.success, "version {version} copied into a read-only export");
        let listed = run("nfs-ls", &[&svm.url("", version)]).await;
        assert!(listed.success, "nfs-ls with version {version}: {}", listed.stderr);
        assert!(!String::from_utf8_lossy(&listed.stdout).contains("file"), "something was created");
    }
}
