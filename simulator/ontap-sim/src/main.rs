//! The program `ontap-sim`: reads its command line, starts the array, says that it is ready, and
//! stops at SIGTERM or SIGINT.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use ontap_sim::OntapSim;
use ontap_sim::arguments::Arguments;
use sim_front::{announce_ready, await_stop_signal};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ontap-sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let simulator = OntapSim::start(arguments.configuration()?).await?;
    eprintln!("{}", arguments.usage_hint(simulator.management(), simulator.control()));
    announce_ready("ontap-sim", simulator.particulars())?;
    await_stop_signal().await.context("while waiting for the stop")?;
    simulator.stop().await;
    Ok(())
}
