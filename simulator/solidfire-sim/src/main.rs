//! The `solidfire-sim` program: reads its command line, starts the cluster, says that it is ready, and
//! stops at SIGTERM or SIGINT.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use sim_front::{announce_ready, await_stop_signal};
use solidfire_sim::{Arguments, start};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Standard output belongs to the ready line.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("solidfire-sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let running = start(arguments.clone()).await?;
    eprintln!("{}", arguments.usage_hint(&running));
    announce_ready("solidfire-sim", running.ready_fields())?;
    await_stop_signal().await.context("while waiting for the stop")?;
    running.stop().await;
    Ok(())
}
