//! Everything, started: networks, two arrays, a controller, two worker nodes with an agent each.
//!
//! ```text
//! network namespace of the lab
//!   bridges ── fabric A 192.168.0.1 (.101 management, .121 NFS, .131 iSCSI; .239 MVIP, .240 SVIP)
//!          ├── fabric B 192.168.1.1 (.131 iSCSI)
//!          └── management 192.168.49.1 (the controller's fleet port)
//!   ontap-sim, solidfire-sim (as nobody) · tine-controller · QEMU × 2 (tine-agent inside)
//! ```

mod arrays;
mod process;
mod worker;

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use vm::{Image, LifAddresses, Network, Template};

pub use arrays::{Ontap, Solidfire};
pub use process::{Privilege, Program, program, programs};
pub use worker::{Background, Worker};

use crate::orchestrator::Orchestrator;
use crate::timeline::Timeline;

/// The driver's name in this lab: the default.
pub const DRIVER_NAME: &str = "csi.tine.dev";

/// Where the controller listens for agents.
const FLEET: &str = "192.168.49.1:9443";

/// The backend files of the journeys, as users write them (deploy/examples).
const BACKENDS: [&str; 3] =
    ["backend-ontap-nas.json", "backend-ontap-san.json", "backend-solidfire-san.json"];

/// A running lab. Dropped, everything in it is killed and its directory removed.
#[derive(Debug)]
pub struct Lab {
    // Dropped in this order: nodes before the arrays they use.
    workers: [Worker; 2],
    controller: Program,
    csi: Channel,
    ontap: Ontap,
    solidfire: Solidfire,
    timeline: Arc<Timeline>,
    dir: TempDir,
}

impl Lab {
    /// Plays `story` in a new lab, on a thread and in a network namespace of its own, and takes
    /// the lab down. When the story fails, the error carries the logs of all programs.
    ///
    /// # Errors
    /// When the lab cannot be built or the story fails.
    pub fn play(timeline: Arc<Timeline>, story: impl AsyncFnOnce(&Lab) -> Result<()> + Send) -> Result<()> {
        // The image and the template are made outside the lab's network: apt needs the real one.
        let since = Instant::now();
        let image = Image::ensure(&Image::default_guest_program()?)?;
        let template = Template::ensure(&image)?;
        timeline.row("worker image and booted template", "host", since, "");
        let lifs = LifAddresses {
            a: [101, 121, 131, 239, 240].map(|last| Ipv4Addr::new(192, 168, 0, last)).into(),
            b: vec![Ipv4Addr::new(192, 168, 1, 131)],
        };
        vm::in_network(&lifs, async move |network| {
            let lab = Self::start(timeline, &template, &network).await?;
            let told = story(&lab).await;
            if told.is_err() { told.with_context(|| lab.logs_hint()) } else { told }
        })?
    }

    async fn start(timeline: Arc<Timeline>, template: &Template, network: &Network) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("tine-lab-").tempdir()?;
        // The simulators run as nobody and must be able to enter.
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        timeline.heading("The lab: two arrays, a controller, two worker nodes");
        let since = Instant::now();
        let ontap = Ontap::start(dir.path()).await?;
        timeline.row("ontap-sim serves REST, NFS and iSCSI", "host, as nobody", since, "");
        let since = Instant::now();
        let solidfire = Solidfire::start(dir.path()).await?;
        timeline.row("solidfire-sim serves JSON-RPC and iSCSI", "host, as nobody", since, "");
        let since = Instant::now();
        let controller = start_controller(dir.path()).await?;
        timeline.row("tine-controller serves CSI and Fleet", "host", since, "3 backends of J4");
        let csi = Endpoint::from_shared(format!("unix://{}", dir.path().join("csi.sock").display()))?
            .connect()
            .await
            .context("connect to the controller's CSI socket")?;
        let (first, second) = tokio::try_join!(
            Worker::start(template, network, "w1", 1, dir.path(), &timeline),
            Worker::start(template, network, "w2", 2, dir.path(), &timeline),
        )?;
        Ok(Self { workers: [first, second], controller, csi, ontap, solidfire, timeline, dir })
    }

    /// What the demo prints.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Both nodes.
    pub fn workers(&self) -> (&Worker, &Worker) {
        let [first, second] = &self.workers;
        (first, second)
    }

    /// Kubelet and the sidecars.
    pub fn orchestrator(&self) -> Orchestrator<'_> {
        Orchestrator::new(self.csi.clone(), &self.timeline)
    }

    /// The simulated ONTAP.
    pub fn ontap(&self) -> &Ontap {
        &self.ontap
    }

    /// The simulated SolidFire.
    pub fn solidfire(&self) -> &Solidfire {
        &self.solidfire
    }

    /// The lab's own directory: sockets, logs, the controller's state.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs `tinectl` against this lab's controller, as an administrator types it.
    ///
    /// # Errors
    /// When it cannot be started or does not end within 60 s. How it ended is in the output.
    pub async fn tinectl(&self, arguments: &[&str]) -> Result<std::process::Output> {
        let mut command = tokio::process::Command::new(program("tinectl")?);
        command.env("TINE_CONTROLLER", format!("unix://{}", self.dir.path().join("admin.sock").display()));
        command
            .args(arguments)
            .current_dir(self.dir.path())
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        let ended = tokio::time::timeout(std::time::Duration::from_secs(60), command.output()).await;
        ended.context("tinectl does not end")?.context("start tinectl")
    }

    /// All the controller said so far.
    ///
    /// # Errors
    /// When its log cannot be read.
    pub fn controller_log(&self) -> Result<String> {
        self.controller.log()
    }

    fn logs_hint(&self) -> String {
        let mut text = String::from("logs of the lab:\n");
        for log in [self.controller.log_tail(), self.ontap.log_tail(), self.solidfire.log_tail()] {
            text.push_str(&log);
            text.push('\n');
        }
        text
    }
}

async fn start_controller(dir: &Path) -> Result<Program> {
    let token = dir.join("join-token");
    std::fs::write(&token, "a-token-for-this-lab-only\n")?;
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let path = |name: &str| dir.join(name).display().to_string();
    let mut arguments: Vec<String> = [
        ("--csi", format!("unix://{}", path("csi.sock"))),
        ("--admin", format!("unix://{}", path("admin.sock"))),
        ("--fleet", FLEET.to_owned()),
        ("--state", path("controller.redb")),
        ("--join-token-file", path("join-token")),
        ("--fleet-ca-out", path("fleet-ca.pem")),
        ("--driver-name", DRIVER_NAME.to_owned()),
    ]
    .into_iter()
    .flat_map(|(flag, value)| [flag.to_owned(), value])
    .collect();
    for backend in BACKENDS {
        let content = example(backend)?;
        std::fs::write(dir.join(backend), content)?;
        arguments.extend(["--backend".to_owned(), path(backend)]);
    }
    Program::start(&program("tine-controller")?, &arguments, dir, Privilege::Inherited).await
}

/// A file of deploy/examples, as it is in the repository.
fn example(name: &str) -> Result<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples").join(name);
    std::fs::read(&path).with_context(|| format!("read {}", path.display()))
}
