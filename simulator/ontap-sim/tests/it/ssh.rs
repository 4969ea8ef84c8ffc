//! The shell judged by the OpenSSH client, unmodified, with keys and with the host key checked.

use crate::support::configuration;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use ontap_sim::{Configuration, OntapSim};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const SSH: &str = "/usr/bin/ssh";
const KEYGEN: &str = "/usr/bin/ssh-keygen";

/// An array with a shell, and a directory with a client's key and the host's.
async fn start() -> (OntapSim, tempfile::TempDir) {
    start_with(configuration()).await
}

/// The same, of such an array.
pub(crate) async fn start_with(configuration: Configuration) -> (OntapSim, tempfile::TempDir) {
    let _already = rustls::crypto::ring::default_provider().install_default();
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("id");
    let made = Command::new(KEYGEN).args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().await;
    assert!(made.expect("openssh-client is installed").success());
    let sim = OntapSim::start(Configuration {
        ssh: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        ssh_keys: Some(directory.path().join("id.pub")),
        ..configuration
    })
    .await
    .unwrap();
    let ssh = sim.ssh().unwrap();
    let known = format!("[{}]:{} {}\n", ssh.ip(), ssh.port(), sim.ssh_host_key().unwrap());
    std::fs::write(directory.path().join("known_hosts"), known).unwrap();
    (sim, directory)
}

fn client(sim: &OntapSim, directory: &Path, user: &str) -> Command {
    let mut command = Command::new(SSH);
    let known = format!("UserKnownHostsFile={}", directory.join("known_hosts").display());
    command.args(["-F", "none", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=30", "-o", &known]);
    command.arg("-p").arg(sim.ssh().unwrap().port().to_string());
    command.arg(format!("{user}@127.0.0.1")).kill_on_drop(true);
    command.env_remove("SSH_AUTH_SOCK").env("SSH_ASKPASS_REQUIRE", "never");
    command
}

/// What a command printed, and its exit status.
async fn run(mut command: Command, input: &str) -> (String, Option<i32>) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&said).into_owned(), output.status.code())
}

/// What a command of the cluster's administrator prints; it has to succeed.
pub(crate) async fn typed(sim: &OntapSim, directory: &Path, line: String, input: &str) -> String {
    let mut command = client(sim, directory, "admin");
    command.args(["-o", "BatchMode=yes", "-i"]).arg(directory.join("id")).arg(&line);
    let (said, status) = run(command, input).await;
    assert_eq!(status, Some(0), "{line}: {said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_over_ssh_is_answered_with_its_output_and_status() {
    let (sim, directory) = start().await;
    let key = directory.path().join("id");
    let ssh = |line: &str| {
        let mut command = client(&sim, directory.path(), "admin");
        command.args(["-o", "BatchMode=yes", "-i"]).arg(&key).arg(line);
        run(command, "")
    };
    let create = "volume create -vserver svm1 -volume v1 -aggregate aggr1 -size 1g -junction-path /v1";
    let (said, status) = ssh(create).await;
    assert!(status == Some(0) && said.contains("Job succeeded"), "{said}");
    let (said, status) = ssh("set -rows 0; vol show -volume v1 -fields size").await;
    assert!(status == Some(0) && said.contains("svm1    v1     1GB"), "{said}");
    let (said, status) = ssh("volume frobnicate").await;
    assert!(status == Some(1) && said.contains("is not a recognized command"), "{said}");
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interactive_session_has_a_prompt_and_ends_with_exit() {
    let (sim, directory) = start().await;
    let mut command = client(&sim, directory.path(), "admin");
    command.args(["-tt", "-o", "BatchMode=yes", "-i"]).arg(directory.path().join("id"));
    let (said, status) = run(command, "vserver show\rversion\rexit\r").await;
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("sim::> vserver show\r\n") && said.contains("NetApp Release"), "{said}");
    assert!(said.contains("Goodbye"), "{said}");
    sim.stop().await;
}

/// What a command prints for a user with this password, and its exit status.
async fn with_password(
    sim: &OntapSim,
    directory: &Path,
    (user, password): (&str, &str),
    line: &str,
    input: &str,
) -> (String, Option<i32>) {
    let ask = directory.join("askpass");
    std::fs::write(&ask, format!("#!/bin/sh\necho '{password}'\n")).unwrap();
    std::fs::set_permissions(&ask, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let mut command = client(sim, directory, user);
    command.env("SSH_ASKPASS", &ask).env("SSH_ASKPASS_REQUIRE", "force");
    command.args(["-o", "PreferredAuthentications=password", "-o", "NumberOfPasswordPrompts=1", line]);
    run(command, input).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_administrators_password_lets_in_and_another_does_not() {
    let (sim, directory) = start().await;
    for (password, good) in [("Netapp1!", true), ("wrong", false)] {
        let (said, status) = with_password(&sim, directory.path(), ("admin", password), "version", "").await;
        assert_eq!(status == Some(0) && said.contains("NetApp Release"), good, "{said}");
    }
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_svms_administrator_gets_a_password_comes_in_and_sees_that_svm_alone() {
    let (sim, directory) = start().await;
    let admin = ("admin", "Netapp1!");
    let path = directory.path();
    let (said, status) =
        with_password(&sim, path, admin, "vserver create -vserver other -aggregate aggr1", "").await;
    assert_eq!(status, Some(0), "{said}");
    let password = "security login password -username vsadmin -vserver svm1";
    let (said, status) = with_password(&sim, path, admin, password, "Fresh1pass\nFresh1pass\n").await;
    assert!(status == Some(0) && said.contains("Enter it again"), "{said}");
    let vsadmin = ("vsadmin", "Fresh1pass");
    let (said, status) = with_password(&sim, path, vsadmin, "vserver show", "").await;
    assert_eq!(status, Some(255), "a locked account is not let in: {said}");
    let unlock = "security login unlock -username vsadmin -vserver svm1";
    let (said, status) = with_password(&sim, path, admin, unlock, "").await;
    assert_eq!(status, Some(0), "{said}");
    let lines = "vserver show; volume create -volume own -aggregate aggr1 -size 1g; volume show -fields size";
    let (said, status) = with_password(&sim, path, vsadmin, lines, "").await;
    assert!(status == Some(0) && said.contains("own       1GB") && !said.contains("sim::"), "{said}");
    assert!(!said.contains("other"), "{said}");
    for line in ["volume show -vserver other -volume *", "vserver create -vserver third -aggregate aggr1"] {
        let (said, _) = with_password(&sim, path, vsadmin, line, "").await;
        assert!(said.contains("no entries") || said.contains("not authorized"), "{said}");
    }
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_known_does_not_let_in() {
    let (sim, directory) = start().await;
    let other = directory.path().join("other");
    let made = Command::new(KEYGEN).args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&other).status().await;
    assert!(made.unwrap().success());
    let mut command = client(&sim, directory.path(), "admin");
    command.args(["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i"]).arg(&other).arg("version");
    let (said, status) = run(command, "").await;
    assert!(status == Some(255) && said.contains("Permission denied"), "{said}");
    sim.stop().await;
}
