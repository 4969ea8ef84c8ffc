//! The `solidfire-sim` program.

use anyhow::Context as _;
use clap::Parser as _;
use sim_front::{announce_ready, await_stop_signal};
use solidfire_sim::{Arguments, start};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Standard output belongs to the ready line.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let running = start(Arguments::parse()).await.context("solidfire-sim did not start")?;
    announce_ready("solidfire-sim", running.ready_fields())?;
    await_stop_signal().await?;
    running.stop().await;
    Ok(())
}
