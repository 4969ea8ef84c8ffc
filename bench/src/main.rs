//! The clock: drives any CSI driver through the life of volumes, over its two sockets, and prints
//! the latency distribution of each phase.
//!
//! It knows nothing of the driver behind the sockets: names, paths and parameters are arguments.

mod cycle;
mod report;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Parser;
use tonic::transport::{Channel, Endpoint};

use crate::cycle::{Driver, Volume, life};
use crate::report::Report;

#[derive(Debug, Parser)]
#[command(name = "tine-bench", version, about = "Attach and mount latency of any CSI driver")]
struct Arguments {
    /// CSI Controller endpoint: unix:///path or http://address:port
    #[arg(long)]
    controller: String,
    /// CSI Node endpoint: unix:///path or http://address:port
    #[arg(long)]
    node: String,
    /// Volumes to take through their whole life
    #[arg(long, default_value_t = 10)]
    volumes: u32,
    /// How many of them at the same time
    #[arg(long, default_value_t = 1)]
    concurrency: usize,
    /// Size of a volume in MiB
    #[arg(long, default_value_t = 1024)]
    size_mib: u32,
    /// Filesystem to ask for; empty lets the driver choose
    #[arg(long, default_value = "")]
    fs_type: String,
    /// StorageClass parameter, NAME=VALUE; repeatable
    #[arg(long = "parameter", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// Directory on the node under which staging and target paths are given out; they must be
    /// creatable by the driver
    #[arg(long, default_value = "/var/lib/kubelet/plugins/tine-bench")]
    directory: String,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tine-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    if arguments.concurrency == 0 || arguments.volumes == 0 {
        bail!("--volumes and --concurrency are at least 1");
    }
    let driver = Arc::new(
        Driver::connect(
            channel("--controller", &arguments.controller).await?,
            channel("--node", &arguments.node).await?,
        )
        .await?,
    );
    let mut report = Report::new(driver.name.clone());
    let mut running = tokio::task::JoinSet::new();
    let mut started = 0;
    while started < arguments.volumes || !running.is_empty() {
        if started < arguments.volumes && running.len() < arguments.concurrency {
            let volume = Volume {
                name: format!("tine-bench-{}-{started}", std::process::id()),
                size: i64::from(arguments.size_mib) << 20,
                fs_type: arguments.fs_type.clone(),
                parameters: arguments.parameters.iter().cloned().collect(),
                directory: arguments.directory.clone(),
            };
            let driver = Arc::clone(&driver);
            running.spawn(async move { life(&driver, &volume).await });
            started += 1;
            continue;
        }
        if let Some(ended) = running.join_next().await {
            report.add(&ended.context("a volume's life panicked")?)?;
        }
    }
    report.print(arguments.json)?;
    if report.failures() > 0 {
        bail!("{} calls failed", report.failures());
    }
    Ok(())
}

async fn channel(flag: &str, endpoint: &str) -> Result<Channel> {
    Endpoint::from_shared(endpoint.to_owned())
        .with_context(|| format!("{flag} `{endpoint}`: write unix:///path or http://address:port"))?
        .connect()
        .await
        .with_context(|| format!("{flag} `{endpoint}`: nobody serves there"))
}
