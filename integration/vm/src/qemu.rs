//! A QEMU process: started in the network's namespace, watched to its end, killed on drop.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::watch;

use crate::machine::{MachineError, io_error};
use crate::network::Network;

pub(crate) const QEMU: &str = "/usr/bin/qemu-system-x86_64";
const SETPRIV: &str = "/usr/bin/setpriv";

/// A running process; dropping it kills it and waits for its end, which takes milliseconds.
#[derive(Debug)]
pub(crate) struct Qemu {
    /// Names this process for ever, where a process id may become another's.
    pidfd: OwnedFd,
    ended: watch::Receiver<bool>,
    waiter: Option<JoinHandle<()>>,
}

impl Qemu {
    /// Starts QEMU with its output in `log`. It dies with the network's thread, and so with this
    /// process, however that ends.
    pub(crate) async fn launch(
        network: &Network,
        log: &Path,
        arguments: Vec<String>,
    ) -> Result<Self, MachineError> {
        let log = log.to_owned();
        let launched = network.within(move || launch(&log, arguments)).await?;
        launched.map_err(io_error(format!("start {QEMU} by {SETPRIV}")))
    }

    /// Waits for the end.
    pub(crate) async fn await_end(&self) {
        // An error says that the waiting thread is gone, and so is the process.
        let mut ended = self.ended.clone();
        let _gone = ended.wait_for(|ended| *ended).await;
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(&self) {
        // ESRCH: it has ended already.
        let _ended = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        self.kill();
        if let Some(waiter) = self.waiter.take() {
            // A panic there is impossible to tell from an end.
            let _ended = waiter.join();
        }
    }
}

fn launch(log: &Path, arguments: Vec<String>) -> io::Result<Qemu> {
    let log = fs::File::create(log)?;
    let mut child = Command::new(SETPRIV)
        .args(["--pdeathsig", "KILL", "--", QEMU])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()?;
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    let (end, ended) = watch::channel(false);
    let waiter = std::thread::Builder::new().name("qemu".to_owned()).spawn(move || {
        if let Err(error) = child.wait() {
            tracing::warn!(%error, "QEMU could not be waited for");
        }
        end.send_replace(true);
    })?;
    Ok(Qemu { pidfd, ended, waiter: Some(waiter) })
}
