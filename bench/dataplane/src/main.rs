//! The simulators' data planes against other user-space servers: tgt for iSCSI, NFS-Ganesha for
//! NFS. One run, one machine, loopback, the same client, memory behind every server; what counts
//! is the ratio of rounds that follow each other.
//!
//! ```text
//! dataplane-bench ─ unshare ─► dataplane-bench inside ─┬─► dataplane-bench serve   (ours)
//!  (namespaces: whatever is started ends with it)      ├─► tgtd, rpcbind, ganesha.nfsd
//!                                                      └─ initiator, nfs: the client
//! ```

mod initiator;
mod input;
mod load;
mod nfs;
mod placement;
mod process;
mod report;
mod rivals;
mod rounds;
mod scale;
mod serve;

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "dataplane-bench", version, about = "Data planes against tgt and NFS-Ganesha, as ratios")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Compare; needs root, tgt, nfs-ganesha-vfs and rpcbind
    Compare(Comparison),
    /// The same, inside namespaces of its own
    #[command(hide = true)]
    Inside(Comparison),
    /// Serve one unit and one export, as the comparison does
    #[command(hide = true)]
    Serve,
    /// What a thousand units, a thousand exports and a clone of 1 TiB cost
    Scale {
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Debug, clap::Args)]
struct Comparison {
    /// Alternating rounds of each load on each server
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Milliseconds of each load on each server in a round
    #[arg(long, default_value_t = 300)]
    milliseconds: u64,
    /// Only these loads: those whose name contains one of the words
    #[arg(long)]
    only: Vec<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

impl Comparison {
    fn time(&self) -> Duration {
        Duration::from_millis(self.milliseconds)
    }

    fn includes(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| name.contains(word.as_str()))
    }
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().what {
        What::Compare(comparison) => in_namespaces(&comparison),
        What::Inside(comparison) => rounds::play(&comparison),
        What::Serve => serve::run(),
        What::Scale { json } => scale::run(json),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dataplane-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Network, mounts and processes of its own: no port is taken, no file is left, and with the first
/// process every other ends.
fn in_namespaces(comparison: &Comparison) -> Result<()> {
    let me = std::env::current_exe().context("find this program")?;
    let mut unshare = Command::new("/usr/bin/unshare");
    unshare.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    unshare.arg(me).arg("inside");
    unshare.args(["--rounds", &comparison.rounds.to_string()]);
    unshare.args(["--milliseconds", &comparison.milliseconds.to_string()]);
    for word in &comparison.only {
        unshare.args(["--only", word]);
    }
    if comparison.json {
        unshare.arg("--json");
    }
    let status = unshare.status().context("start /usr/bin/unshare")?;
    if !status.success() {
        bail!("the comparison ended with {status}");
    }
    Ok(())
}
