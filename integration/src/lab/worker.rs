//! A worker node with our agent in it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use csi_proto::v1::node_client::NodeClient;
use tonic::transport::{Channel, Endpoint};
use vm::{Ended, Fabric, Guest, Network, Node, NodeSpec, NodeState, Process, Template};

use super::{FLEET, program};
use crate::timeline::Timeline;

const AGENT: &str = "/usr/local/bin/tine-agent";
const AGENT_LOG: &str = "/var/log/tine-agent.log";
const AGENT_SOCKET: &str = "/run/tine/csi.sock";
/// A command of a scene; bounds a hang, measures nothing.
const COMMAND: Duration = Duration::from_secs(120);

/// A node, its agent, and a connection to the agent's CSI socket.
#[derive(Debug)]
pub struct Worker {
    node: Node,
    guest: Guest,
    agent: Mutex<Process>,
    csi: NodeClient<Channel>,
    csi_address: std::net::SocketAddr,
}

impl Worker {
    pub(super) async fn start(
        template: &Template,
        network: &Network,
        name: &str,
        index: u8,
        lab: &Path,
        timeline: &Arc<Timeline>,
    ) -> Result<Self> {
        let since = Instant::now();
        let node = Node::restore(template, network, NodeSpec::new(name, index)).await?;
        let guest = node.guest();
        guest.ping(COMMAND).await?;
        timeline.row("worker node restored, first answer", name, since, "");
        let since = Instant::now();
        install_agent(&guest, lab).await?;
        let agent = Mutex::new(launch_agent(&guest, name).await?);
        let relay = std::net::SocketAddr::from((node.address(Fabric::Management), 10_000));
        let address = guest.relay(relay, AGENT_SOCKET).await?;
        let channel = Endpoint::from_shared(format!("http://{address}"))?
            .connect()
            .await
            .with_context(|| format!("connect to the agent's CSI socket through {address}"))?;
        timeline.row("tine-agent installed, serves CSI", name, since, "");
        Ok(Self { node, guest, agent, csi: NodeClient::new(channel), csi_address: address })
    }

    /// The node's name, which is its CSI node id.
    pub fn name(&self) -> &str {
        self.node.name()
    }

    /// The CSI Node service of its agent.
    pub fn csi(&self) -> NodeClient<Channel> {
        self.csi.clone()
    }

    /// Where a program on the host's side reaches that service.
    pub fn csi_address(&self) -> std::net::SocketAddr {
        self.csi_address
    }

    /// Runs a script; anything but success is an error that shows its output. Answers stdout.
    ///
    /// # Errors
    /// When it fails or takes two minutes.
    pub async fn shell(&self, script: &str) -> Result<String> {
        let output = self.guest.shell(script, COMMAND).await?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Repeats a script inside the node until it succeeds.
    ///
    /// # Errors
    /// When it did not within `deadline`.
    pub async fn await_shell(&self, script: &str, deadline: Duration) -> Result<()> {
        let looped = format!("until {script}; do sleep 0.2; done");
        let output = self.guest.run(["/bin/sh", "-c", &looped], deadline).await?;
        match output.ended {
            Ended::Deadline { .. } => bail!("on {}, not within {deadline:?}: {script}", self.name()),
            ended if ended.is_success() => Ok(()),
            ended => bail!("on {}, `{script}`: {ended:?}", self.name()),
        }
    }

    /// Starts a script that goes on while the scene does; `name` names its log.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn spawn_shell(&self, name: &str, script: &str) -> Result<Background<'_>> {
        let log = format!("/run/{name}.log");
        let process = self.guest.spawn(["/bin/sh", "-c", script], &[], &log).await?;
        Ok(Background { worker: self, process, log })
    }

    /// What storage the kernel shows.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn state(&self) -> Result<NodeState> {
        Ok(self.guest.observe_state().await?)
    }

    /// Pulls the cable of a fabric.
    ///
    /// # Errors
    /// When the emulator is gone.
    pub async fn cut(&self, fabric: Fabric) -> Result<()> {
        Ok(self.node.set_link(fabric, false).await?)
    }

    /// Plugs it again.
    ///
    /// # Errors
    /// When the emulator is gone.
    pub async fn restore(&self, fabric: Fabric) -> Result<()> {
        Ok(self.node.set_link(fabric, true).await?)
    }

    /// Kills the agent at once (SIGKILL), wherever it is in its work, and waits for its end. What
    /// it had started (mkfs, iscsiadm) lives on, as after a crash of the container.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn kill_agent(&self) -> Result<()> {
        let agent = self.agent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        agent.kill().await?;
        Ok(())
    }

    /// Starts the agent again, with the state directory of the one before, and waits until it serves.
    ///
    /// # Errors
    /// When it does not serve.
    pub async fn start_agent(&self) -> Result<()> {
        let agent = launch_agent(&self.guest, self.name()).await?;
        *self.agent.lock().unwrap_or_else(PoisonError::into_inner) = agent;
        Ok(())
    }

    /// All the agent said so far.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn agent_log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.guest.get(AGENT_LOG).await?).into_owned())
    }

    /// Names of the files under `directory` that contain `needle`; the needle is no argument of any
    /// program, so that a search of command lines does not find the search.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn search(&self, directory: &str, needle: &str) -> Result<String> {
        self.guest.put("/run/needle", 0o600, needle.as_bytes()).await?;
        self.shell(&format!(
            "test -d '{directory}' && {{ grep -rlF -f /run/needle '{directory}' || true; }}; rm /run/needle"
        ))
        .await
    }

    /// Whether a target lets this node's initiator in without authentication. Leaves nothing.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn is_let_in_without_chap(&self, target: &str, portal: &str) -> Result<bool> {
        let node = format!("iscsiadm -m node -T '{target}' -p '{portal},1'");
        self.shell(&format!("{node} -o new")).await?;
        let login = self.guest.run(["/bin/sh", "-c", &format!("{node} --login")], COMMAND).await?;
        if login.ended.is_success() {
            self.shell(&format!("{node} --logout")).await?;
        }
        self.shell(&format!("{node} -o delete")).await?;
        Ok(login.ended.is_success())
    }
}

/// A script that runs while the scene does.
#[derive(Debug)]
pub struct Background<'a> {
    worker: &'a Worker,
    process: Process,
    log: String,
}

impl Background<'_> {
    /// Waits until it has printed a line that is exactly `line`.
    ///
    /// # Errors
    /// When it has not within `deadline`.
    pub async fn await_line(&self, line: &str, deadline: Duration) -> Result<()> {
        self.worker.await_shell(&format!("grep -qx '{line}' '{}'", self.log), deadline).await
    }

    /// How many lines it has printed.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn lines(&self) -> Result<usize> {
        let content = self.worker.guest.get(&self.log).await?;
        Ok(content.iter().filter(|byte| **byte == b'\n').count())
    }

    /// Waits for its successful end.
    ///
    /// # Errors
    /// When it fails or does not end within `deadline`; the end of its output is shown.
    pub async fn await_success(&self, deadline: Duration) -> Result<()> {
        let ended = self.process.await_exit(deadline).await?;
        if ended.is_success() {
            return Ok(());
        }
        let output = self.worker.shell(&format!("tail -n 5 '{}'; dmesg | tail -n 15", self.log)).await?;
        bail!("on {}, the script ended with {ended:?}:\n{output}", self.worker.name())
    }
}

async fn install_agent(guest: &Guest, lab: &Path) -> Result<()> {
    let binary = std::fs::read(program("tine-agent")?)?;
    guest.put(AGENT, 0o755, &binary).await?;
    guest.put("/etc/tine/fleet-ca.pem", 0o644, &std::fs::read(lab.join("fleet-ca.pem"))?).await?;
    guest.put("/etc/tine/join-token", 0o600, &std::fs::read(lab.join("join-token"))?).await?;
    guest.shell("mkdir -p /run/tine /var/lib/tine", COMMAND).await?;
    Ok(())
}

/// What the agent writes when it serves CSI, and when the controller knows its node.
const SIGNS_OF_LIFE: [&str; 2] = ["\"ready\":true", "registered with the controller"];

/// Starts the installed agent and waits until it serves and the controller knows its node: before
/// that, ControllerPublishVolume to it is refused. The log is appended to: what an earlier agent
/// wrote does not count.
async fn launch_agent(guest: &Guest, name: &str) -> Result<Process> {
    let mut signs = Vec::new();
    for sign in SIGNS_OF_LIFE {
        let count = format!("grep -c '{sign}' {AGENT_LOG} 2>/dev/null || true");
        let counted = guest.shell(&count, COMMAND).await?;
        let earlier: u64 = counted.stdout_text().trim().parse().unwrap_or(0);
        signs.push(format!("[ \"$({count})\" -gt {earlier} ]"));
    }
    let controller = format!("https://{FLEET}");
    let arguments = [
        AGENT,
        "--csi",
        &format!("unix://{AGENT_SOCKET}"),
        "--node-id",
        name,
        "--state-dir",
        "/var/lib/tine",
        "--controller",
        &controller,
        "--controller-ca",
        "/etc/tine/fleet-ca.pem",
        "--join-token-file",
        "/etc/tine/join-token",
    ];
    // `debug` shows the argument vector of every program the agent starts: what is searched for secrets.
    let agent =
        guest.spawn(arguments, &[("TINE_LOG", "debug,h2=info,tonic=info,tower=info")], AGENT_LOG).await?;
    let alive = signs.join(" && ");
    let ready = format!("until {alive}; do kill -0 {} || exit 1; sleep 0.1; done", agent.pid());
    if let Err(error) = guest.shell(&ready, COMMAND).await {
        let log = guest.get(AGENT_LOG).await.unwrap_or_default();
        bail!("the agent on {name} does not serve: {error}\n{}", String::from_utf8_lossy(&log));
    }
    Ok(agent)
}
