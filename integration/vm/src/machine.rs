//! One machine: QEMU's argument vector, and what is plugged into it.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast;
use vm_guest::protocol::PORT_NAME;

use crate::accelerator::Accelerator;
use crate::channel::{Channel, Start};
use crate::guest::GuestError;
use crate::image::Image;
use crate::network::{Fabric, Network, NetworkError};
use crate::qemu::Qemu;
use crate::qmp::{Qmp, QmpError};

/// QEMU itself starts within this time or not at all.
const START_WITHIN: Duration = Duration::from_secs(30);

/// Memory of a node, MiB.
const MEMORY: u32 = 512;

/// The kernel's command line. No mitigations, audit or LSM: they cost time and guard nothing
/// here. `net.ifnames=0` keeps `eth0` under the stock udev rules; `panic=-1` turns a panic into a
/// reset, which the host sees.
const KERNEL_LINE: &str = "console=ttyS0 quiet loglevel=4 mitigations=off nokaslr panic=-1 audit=0 \
    apparmor=0 selinux=0 random.trust_cpu=on no_timer_check tsc=reliable net.ifnames=0";

/// Why there is no machine.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The network cannot be had.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A file, socket or process operation failed.
    #[error("{action}")]
    Io {
        /// What was tried.
        action: String,
        /// The cause.
        source: io::Error,
    },
    /// QEMU ended or hung before it was up.
    #[error("QEMU did not start, {how}: {log}")]
    NotStarted {
        /// How it failed.
        how: &'static str,
        /// What it wrote.
        log: String,
    },
    /// QEMU refused a command.
    #[error(transparent)]
    Qmp(#[from] QmpError),
    /// The node did not answer.
    #[error("{error}\nlast lines of its console:\n{console}")]
    Guest {
        /// What went wrong.
        error: GuestError,
        /// The end of the node's console.
        console: String,
    },
}

pub(crate) fn io_error(action: impl Into<String>) -> impl FnOnce(io::Error) -> MachineError {
    |source| MachineError::Io { action: action.into(), source }
}

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) image: &'a Image,
    pub(crate) accelerator: Accelerator,
    /// Last byte of addresses and MACs, and name of the taps.
    pub(crate) index: u8,
    /// A saved machine to go on from.
    pub(crate) saved: Option<&'a Path>,
}

/// Hardware address of one of a node's interfaces. The second half of the first byte marks it as
/// locally administered (IEEE 802).
pub(crate) fn mac(fabric: Fabric, index: u8) -> String {
    format!("52:54:00:74:{:02x}:{index:02x}", fabric.at(0).octets()[2])
}

impl Plan<'_> {
    /// QEMU's arguments. What stands here is part of a saved machine's key, so that a saved
    /// machine is only ever continued by the hardware it was saved on.
    pub(crate) fn arguments(&self, directory: &Path) -> Vec<String> {
        let at = |name: &str| escape(&directory.join(name));
        let mut arguments: Vec<String> = Vec::new();
        let mut add = |parts: &[&str]| arguments.extend(parts.iter().map(|part| (*part).to_owned()));
        add(&["-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-smp", "1"]);
        add(&["-m", &MEMORY.to_string()]);
        add(self.accelerator.arguments());
        add(&["-kernel", &self.image.kernel.to_string_lossy(), "-append", KERNEL_LINE]);
        add(&["-initrd", &self.image.initrd.to_string_lossy()]);
        let disk = format!("file={},if=none,id=root,format=raw,readonly=on", escape(&self.image.root));
        add(&["-drive", &disk, "-device", "virtio-blk-pci,drive=root"]);
        // Tells the kernel that it was restored, so that two nodes draw different random numbers.
        add(&["-device", "vmgenid,guid=auto"]);
        add(&["-chardev", &format!("file,id=console,path={}", at("console"))]);
        add(&["-serial", "chardev:console"]);
        add(&["-chardev", &format!("socket,id=qmp,path={},server=off", at("qmp"))]);
        add(&["-mon", "chardev=qmp,mode=control"]);
        add(&["-chardev", &format!("socket,id=control,path={},server=off", at("control"))]);
        add(&["-device", "virtio-serial-pci"]);
        add(&["-device", &format!("virtserialport,chardev=control,name={PORT_NAME}")]);
        for fabric in Fabric::ALL {
            let (name, tap) = (fabric.name(), fabric.tap(self.index));
            add(&["-netdev", &format!("tap,id=net-{name},ifname={tap},script=no,downscript=no")]);
            let mac = mac(fabric, self.index);
            add(&["-device", &format!("virtio-net-pci,netdev=net-{name},id={name},mac={mac},romfile=")]);
        }
        if let Some(saved) = self.saved {
            let quoted = saved.to_string_lossy().replace('\'', r"'\''");
            add(&["-incoming", &format!("exec:exec /bin/cat '{quoted}'")]);
        }
        arguments
    }
}

/// A comma inside one of QEMU's options is written twice.
fn escape(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

/// A running node's machine; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) channel: Arc<Channel>,
    pub(crate) qmp: Qmp,
    // Dropped in this order: QEMU ends before its taps and its directory go.
    qemu: Qemu,
    _taps: Taps,
    directory: TempDir,
}

impl Machine {
    /// Starts QEMU and takes up its sockets; the node itself may still be booting.
    pub(crate) async fn start(network: &Network, plan: &Plan<'_>) -> Result<Self, MachineError> {
        let directory = TempDir::with_prefix("node-").map_err(io_error("make a directory for QEMU"))?;
        // QEMU connects to us, not we to it: the sockets are there before it is, and their
        // acceptance is the event to wait for.
        let listen = |name| {
            UnixListener::bind(directory.path().join(name)).map_err(io_error(format!("listen on {name}")))
        };
        let (qmp, control) = (listen("qmp")?, listen("control")?);
        let taps = Taps::plug(network, plan.index).await?;
        let log = directory.path().join("log");
        let qemu = Qemu::launch(network, &log, plan.arguments(directory.path())).await?;
        let sockets = async { tokio::try_join!(accept(&control), accept(&qmp)) };
        let not_started = |how| MachineError::NotStarted { how, log: read_lossy(&log) };
        let (control, qmp) = tokio::select! {
            sockets = tokio::time::timeout(START_WITHIN, sockets) => {
                sockets.map_err(|_| not_started("it does not connect"))??
            }
            () = qemu.await_end() => return Err(not_started("it ended")),
        };
        let start = if plan.saved.is_some() { Start::Restored } else { Start::Boot };
        let channel = Channel::start(control, start);
        // What QEMU wrote says more than that its socket closed.
        let qmp = Qmp::start(qmp).await.map_err(|error| {
            tracing::debug!(%error, "no machine protocol");
            not_started("it does not speak")
        })?;
        tokio::spawn(watch_resets(qmp.events(), Arc::clone(&channel)));
        Ok(Self { channel, qmp, qemu, _taps: taps, directory })
    }

    /// All that the node wrote to its console since it was started or restored.
    pub(crate) fn console(&self) -> String {
        read_lossy(&self.directory.path().join("console"))
    }

    /// An error of the node, with the end of its console, and QEMU's own words if it has any.
    pub(crate) fn explain(&self, error: GuestError) -> MachineError {
        let text = self.console() + &read_lossy(&self.directory.path().join("log"));
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(30)..).unwrap_or_default();
        MachineError::Guest { error, console: tail.join("\n") }
    }

    /// Waits until QEMU has ended.
    pub(crate) async fn await_end(&self) {
        self.qemu.await_end().await;
    }

    /// Kills QEMU and waits until it is gone: what the node had not written out is lost.
    pub(crate) async fn kill(&self) {
        self.qemu.kill();
        self.qemu.await_end().await;
    }
}

/// A node's taps, for as long as this lives.
#[derive(Debug)]
struct Taps {
    network: Network,
    index: u8,
}

impl Taps {
    async fn plug(network: &Network, index: u8) -> Result<Self, MachineError> {
        network.plug(index).await?;
        Ok(Self { network: network.clone(), index })
    }
}

impl Drop for Taps {
    fn drop(&mut self) {
        self.network.unplug(self.index);
    }
}

async fn accept(listener: &UnixListener) -> Result<UnixStream, MachineError> {
    listener.accept().await.map(|(socket, _)| socket).map_err(io_error("accept QEMU's connection"))
}

fn read_lossy(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Tells the channel of every reset, whoever caused it: the host, the node, a panic.
async fn watch_resets(mut events: broadcast::Receiver<serde_json::Value>, channel: Arc<Channel>) {
    loop {
        match events.recv().await {
            Ok(event) if event.get("event").and_then(serde_json::Value::as_str) == Some("RESET") => {
                channel.note_reset();
            }
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}
