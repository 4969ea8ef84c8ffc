//! `tine-agent`: configuration → journal → preflight → serve → stop, mounts left as they are.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent_core::facts::HostFacts;
use agent_linux::LinuxHost;
use anyhow::{Context as _, Result};
use clap::Parser as _;
use contract::Secret;
use tine_agent::config::Config;
use tine_agent::coordinator::Coordinator;
use tine_agent::csi::{IdentityService, NodeService};
use tine_agent::fleet::{
    Credentials, FleetClient, FleetConfig, NoController, NodeIdentity, ensure_key, keep_in_sync,
};
use tine_agent::journal::Journal;
use tine_agent::preflight::{self, Preflight};
use tine_agent::serve;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

/// Calls that are under way when the agent is told to stop get this long. What is not finished then
/// is finished by the next agent.
const DRAIN: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> Result<()> {
    telemetry::init(telemetry::LogFormat::Json);
    let config = Config::parse();
    let journal = Arc::new(Journal::open(&config.state_dir).context("open the journal")?);
    let preflight = Arc::new(Preflight::default());
    let host = LinuxHost::new();
    // The journal's lock says that no other agent is at work here.
    if let Err(error) = host.sweep() {
        tracing::warn!(error = %telemetry::chain(&error), "drafts of node records may be left, with secrets");
    }
    let facts = inspect(&host).await?;
    preflight.learn(&facts);

    let fleet = fleet(&config)?;
    let credentials: Arc<dyn Credentials> = match &fleet {
        Some(client) => Arc::clone(client) as _,
        None => Arc::new(NoController),
    };
    let coordinator = Coordinator::new(host, journal, credentials, Arc::clone(&preflight));
    let sync = {
        let (identity, coordinator) = (identity(&config, &facts), Arc::clone(&coordinator));
        tokio::spawn(async move {
            // First, so that the controller is told what is so.
            coordinator.review().await;
            coordinator.rehearse().await;
            if let Some(client) = fleet {
                keep_in_sync(client, identity, coordinator, preflight).await;
            }
        })
    };

    let listener = serve::bind(&config.csi)?;
    let identity = IdentityService { driver_name: config.driver_name.clone() };
    let node = NodeService { node: config.node_id.clone(), coordinator };
    let (stop, stopping) = stop_signal()?;
    announce(&config)?;
    let server = serve::serve(listener, identity, node, told(stopping.clone()));
    tokio::select! {
        served = server => served?,
        () = drained(stopping) => tracing::warn!("calls are still under way; the next agent finishes them"),
    }
    sync.abort();
    drop(stop);
    // Best effort: a socket that stays is replaced by the next agent.
    if let Err(error) = fs::remove_file(&config.csi) {
        tracing::debug!(%error, "the socket could not be removed");
    }
    tracing::info!("stopped");
    Ok(())
}

async fn inspect(host: &LinuxHost) -> Result<HostFacts> {
    let facts = host.observe(&preflight::query()).await.context("inspect this host")?;
    facts.host.context("the host did not tell what it offers")
}

fn fleet(config: &Config) -> Result<Option<Arc<FleetClient>>> {
    let (Some(controller), Some(authority), Some(token)) =
        (&config.controller, &config.controller_ca, &config.join_token_file)
    else {
        return Ok(None);
    };
    let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
    let token = String::from_utf8(read(token)?).context("the join token is not text")?;
    let client = FleetClient::new(FleetConfig {
        controller: controller.clone(),
        authority: read(authority)?,
        join_token: Secret::new(token.lines().next().unwrap_or_default().trim().to_owned()),
        node: config.node_id.clone(),
        node_key: ensure_key(&config.state_dir)?,
    })?;
    Ok(Some(Arc::new(client)))
}

fn identity(config: &Config, facts: &HostFacts) -> NodeIdentity {
    let addresses = match config.addresses.is_empty() {
        true => facts.addresses.clone(),
        false => config.addresses.clone(),
    };
    NodeIdentity { iqn: facts.initiator.present().cloned(), addresses, kernel: facts.kernel.clone() }
}

/// Becomes true at SIGTERM or SIGINT.
fn stop_signal() -> Result<(Arc<watch::Sender<bool>>, watch::Receiver<bool>)> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let (sender, receiver) = watch::channel(false);
    let sender = Arc::new(sender);
    let told = Arc::clone(&sender);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop");
        told.send_replace(true);
    });
    Ok((sender, receiver))
}

async fn told(mut stopping: watch::Receiver<bool>) {
    // An error means the sender is gone, and then it is time to stop, too.
    let _either_way = stopping.wait_for(|stop| *stop).await.is_ok();
}

async fn drained(stopping: watch::Receiver<bool>) {
    told(stopping).await;
    sleep(DRAIN).await;
}

/// One line for whoever started the agent: it serves now.
fn announce(config: &Config) -> Result<()> {
    let line = serde_json::json!({
        "ready": true,
        "csi": format!("unix://{}", config.csi.display()),
        "node_id": config.node_id.as_str(),
        "driver": config.driver_name,
        "version": env!("CARGO_PKG_VERSION"),
    });
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).context("say that the agent serves")
}
