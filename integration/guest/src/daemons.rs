//! The daemons of a worker node: udevd, multipathd, iscsid.
//!
//! Each runs in the foreground with its output in `/var/log`, and says that it is ready by the
//! notification protocol of sd_notify(3): the node waits for that instead of guessing.

use std::fs::OpenOptions;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// Ready under an emulated and busy CPU.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A daemon by the name of its log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Daemon {
    name: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
}

pub(crate) const UDEVD: Daemon =
    Daemon { name: "udevd", program: "/usr/lib/systemd/systemd-udevd", arguments: &[] };
pub(crate) const MULTIPATHD: Daemon =
    Daemon { name: "multipathd", program: "/usr/sbin/multipathd", arguments: &["-d"] };
pub(crate) const ISCSID: Daemon = Daemon { name: "iscsid", program: "/usr/sbin/iscsid", arguments: &["-f"] };

impl Daemon {
    /// Starts the daemon and waits until it is ready.
    pub(crate) fn start(self) -> anyhow::Result<Child> {
        let path = format!("/run/notify-{}", self.name);
        let _absent = std::fs::remove_file(&path);
        let ready = UnixDatagram::bind(&path).with_context(|| path.clone())?;
        let log = OpenOptions::new().create(true).append(true).open(format!("/var/log/{}.log", self.name))?;
        let child = Command::new(self.program)
            .args(self.arguments)
            .env("NOTIFY_SOCKET", &path)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", self.program))?;
        await_ready(&ready).with_context(|| format!("starting {}", self.name))?;
        Ok(child)
    }
}

fn await_ready(ready: &UnixDatagram) -> anyhow::Result<()> {
    let until = Instant::now() + READY_WITHIN;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("not ready within {READY_WITHIN:?}");
        }
        ready.set_read_timeout(Some(left))?;
        let mut message = [0; 4096];
        let length = ready.recv(&mut message).context("no word of readiness")?;
        let text = String::from_utf8_lossy(message.get(..length).unwrap_or_default());
        if text.lines().any(|line| line == "READY=1") {
            return Ok(());
        }
    }
}
