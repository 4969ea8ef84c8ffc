//! The image tried: its program starts as nobody, with a root that it cannot write and no capability,
//! and answers a call of its API. By docker where a daemon runs, and in a bare directory where this is root.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::NOBODY;
use crate::command::{run, target_directory};

/// What the program is told: everything on loopback, at free ports.
const FLAGS: [&str; 2] = ["--seed", "7"];

/// Tries the image in every way there is here, and says which were not there.
pub(super) fn trial(program: &str, name: &str, archive: &Path, binary: &Path) -> Result<()> {
    let daemon = Command::new("docker").arg("info").output();
    if daemon.is_ok_and(|output| output.status.success()) {
        run(Command::new("docker").arg("load").arg("--input").arg(archive))?;
        let mut docker = Command::new("docker");
        docker.args(["run", "--rm", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]);
        let container = format!("{program}-trial-{}", std::process::id());
        docker.args(["--network=host", "--name", &container, name]).args(FLAGS);
        let outcome = answers(&mut docker, program, "docker");
        // The client that was killed leaves its container.
        let _gone = Command::new("docker").args(["rm", "--force", &container]).output();
        outcome?;
    } else {
        println!("not run: the image under docker: no daemon answers");
    }
    if fs::metadata("/proc/self")?.uid() == 0 {
        in_bare_root(program, binary)
    } else {
        println!("not run: the program in a bare root: that needs root");
        Ok(())
    }
}

/// The program alone in a root directory that is mounted read-only, in a mount namespace of its own.
fn in_bare_root(program: &str, binary: &Path) -> Result<()> {
    let root = target_directory().join("image-root");
    fs::create_dir_all(&root)?;
    let inside = root.join(program);
    fs::copy(binary, &inside)?;
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o755))?;
    // What every container has (OCI runtime specification, default devices).
    let devices = root.join("dev");
    fs::create_dir_all(&devices)?;
    for (name, minor) in [("random", "8"), ("urandom", "9")] {
        let device = devices.join(name);
        if !device.exists() {
            run(Command::new("mknod").arg("--mode=666").arg(device).args(["c", "1", minor]))?;
        }
    }
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && root=$1 && shift && \
                  exec chroot --userspec=65534:65534 \"$root\" \"$@\"";
    let mut bare = Command::new("unshare");
    bare.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    bare.arg(&root).arg(format!("/{program}")).args(FLAGS);
    let outcome = answers(&mut bare, program, "a bare root");
    fs::remove_dir_all(&root)?;
    outcome
}

/// Starts the program by `command`, and asks its API once it is ready.
fn answers(command: &mut Command, program: &str, place: &str) -> Result<()> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("start {program} in {place}"))?;
    let outcome = asked(&mut child, program);
    child.kill()?;
    child.wait()?;
    println!("{program} in {place}: {}", outcome.with_context(|| format!("{program} in {place}"))?);
    Ok(())
}

fn asked(child: &mut Child, program: &str) -> Result<String> {
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
    let ready: Value = serde_json::from_str(&line).context("it did not start: it says so above")?;
    let at = ready["management"].as_str().context("it does not say where it listens")?;
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--insecure"]);
    if program == "solidfire-sim" {
        curl.args(["--user", "admin:admin", "--data", r#"{"method":"GetAPI","params":{}}"#]);
        curl.arg(format!("https://{at}/json-rpc/12.5"));
    } else {
        curl.args(["--user", "admin:Netapp1!"]).arg(format!("https://{at}/api/cluster?fields=version"));
    }
    let answer = curl.output().context("start curl")?;
    if !answer.status.success() {
        bail!("{}", String::from_utf8_lossy(&answer.stderr).trim());
    }
    let _: Value = serde_json::from_slice(&answer.stdout).context("the answer is no JSON")?;
    let powers = powers_of(program)?;
    Ok(format!("the API answers; {powers}"))
}

/// User and capabilities of the running program, which must be none.
fn powers_of(program: &str) -> Result<String> {
    for process in fs::read_dir("/proc")?.flatten() {
        let status = fs::read_to_string(process.path().join("status")).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map(|rest| rest.split_whitespace().next().unwrap_or_default().to_owned())
        };
        let ours = field("Name:").is_some_and(|name| program.starts_with(&name));
        if ours && field("Uid:") == Some(NOBODY.to_string()) {
            return match field("CapEff:") {
                Some(none) if none.chars().all(|digit| digit == '0') => {
                    Ok("user 65534, no capability".into())
                }
                other => bail!("it has capabilities: {other:?}"),
            };
        }
    }
    bail!("no process of user {NOBODY} has this name")
}
