//! Our own programs on this side of the network: started, awaited, stopped by pid.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Nobody's uid and gid: the simulators need no privilege, so they get none.
pub(super) const NOBODY: u32 = 65534;

const READY_WITHIN: Duration = Duration::from_secs(30);

/// As whom a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// As this process.
    Inherited,
    /// uid and gid 65534, no supplementary groups, empty capability bounding set.
    None,
}

/// A running program; dropped, it is killed.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
    ready: Value,
}

impl Program {
    /// Starts `path` and waits for the one line of JSON with which it says that it serves.
    ///
    /// It dies with this process (`setpriv --pdeathsig`). Its stderr goes to `<dir>/<name>.log`.
    ///
    /// # Errors
    /// When it cannot be started, ends early, or is silent for 30 s; the log's end is shown.
    pub async fn start(path: &Path, arguments: &[String], dir: &Path, privilege: Privilege) -> Result<Self> {
        let name = path.file_name().context("a program has a name")?.to_string_lossy().into_owned();
        let log = dir.join(format!("{name}.log"));
        let file = std::fs::File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let mut command = Command::new("/usr/bin/setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if privilege == Privilege::None {
            let nobody = NOBODY.to_string();
            command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"]);
            command.args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]);
        }
        let mut child = command
            .arg(path)
            .args(arguments)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", path.display()))?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = match tokio::time::timeout(READY_WITHIN, lines.next_line()).await {
            Ok(Ok(Some(line))) => serde_json::from_str(&line)
                .with_context(|| format!("{name} printed `{line}` where it says that it serves"))?,
            Ok(_) => bail!("{name} ended before it served:\n{}", tail(&log)),
            Err(_) => bail!("{name} did not serve within {READY_WITHIN:?}:\n{}", tail(&log)),
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { name, child, log, ready })
    }

    /// What it said when it began to serve.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// Its log so far.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn log(&self) -> Result<String> {
        std::fs::read_to_string(&self.log).with_context(|| format!("read {}", self.log.display()))
    }

    /// The last lines of its log, for an error report.
    pub fn log_tail(&self) -> String {
        format!("--- {}\n{}", self.name, tail(&self.log))
    }

    /// Asks it to stop (SIGTERM) and waits for its end.
    ///
    /// # Errors
    /// When it does not end within 10 s or ends with an error.
    pub async fn stop(mut self) -> Result<()> {
        let pid = self.child.id().context("it runs")?;
        let pid = nix::unistd::Pid::from_raw(i32::try_from(pid)?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        let status = tokio::time::timeout(Duration::from_secs(10), self.child.wait())
            .await
            .with_context(|| format!("{} ignores SIGTERM:\n{}", self.name, tail(&self.log)))??;
        if !status.success() {
            bail!("{} ended with {status}:\n{}", self.name, tail(&self.log));
        }
        Ok(())
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines.get(lines.len().saturating_sub(25)..).unwrap_or_default().join("\n")
}

/// The directory cargo put our programs into: that of this executable, or its parent for a test.
///
/// # Errors
/// When this executable's path is unknown.
pub fn programs() -> Result<PathBuf> {
    let me = std::env::current_exe().context("find this program")?;
    let dir = me.parent().context("a program is in a directory")?;
    let dir = if dir.ends_with("deps") { dir.parent().context("deps is in a directory")? } else { dir };
    Ok(dir.to_path_buf())
}

/// Path of the built program `name`.
///
/// # Errors
/// When it is not built.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = programs()?.join(name);
    if !path.exists() {
        bail!(
            "{} is not built: run `cargo build --workspace --bins` (`cargo xtask test` does)",
            path.display()
        );
    }
    Ok(path)
}
