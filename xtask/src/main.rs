//! One door for chores.
//!
//! `cargo xtask` installs what a chore needs from Debian, builds the programs, and hands over: the
//! scenes of the demo are played by `tine-lab`, the tests are run by cargo.

mod bench;
mod chores;
mod command;
mod fuzz;
mod image;
mod packages;
mod report;
mod strangers;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Chores of this repository, each one command")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Play the whole system: two worker nodes, two arrays, three claims; ends with what was proven
    Demo {
        /// Install missing Debian packages without asking
        #[arg(long)]
        yes: bool,
        /// Print one JSON document instead of the timeline table
        #[arg(long)]
        json: bool,
    },
    /// Run the tests: all of them, or with --fast those that need no worker node
    Test {
        /// Install missing Debian packages without asking
        #[arg(long)]
        yes: bool,
        /// Only tests that need no worker node: the inner loop
        #[arg(long)]
        fast: bool,
    },
    /// Verified load on worker nodes while portals, cables and services fail; ends with the counts
    Soak {
        /// Install missing Debian packages without asking
        #[arg(long)]
        yes: bool,
        /// About how long, with a minute or two before and after
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=720))]
        minutes: u64,
        /// Decides the order of what fails; without it the clock does
        #[arg(long)]
        seed: Option<u64>,
    },
    /// What continuous integration runs besides the tests: format, lints, documentation, licences
    Lint,
    /// Measure the data planes: against tgt and NFS-Ganesha, or what many volumes cost
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
    /// Feed the servers' parsers what a fuzzer makes up
    Fuzz {
        /// Install missing Debian packages without asking
        #[arg(long)]
        yes: bool,
        /// Seconds for each target
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// One of `fuzz/fuzz_targets`; all of them if not given
        target: Option<String>,
    },
    /// Only the tests by clients that others wrote, with all that they say
    Strangers {
        /// Install missing Debian packages without asking
        #[arg(long)]
        yes: bool,
    },
    /// A container image of one simulator, without a daemon: an archive for `docker load`
    Image {
        /// Which
        #[arg(value_parser = ["ontap-sim", "solidfire-sim"])]
        program: String,
        /// The archive (default: PROGRAM.tar in the target directory)
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Start it too, as nobody and without capabilities: by docker, and in a bare root
        #[arg(long = "try")]
        tried: bool,
    },
    /// Worker nodes by hand: `vm image`, `vm run -- COMMAND`
    Vm {
        /// Install missing Debian packages without asking
        #[arg(long)]
        yes: bool,
        /// Arguments of `tine-lab vm`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Ratios of our iSCSI target to tgt and of our NFS server to NFS-Ganesha, on this machine
    Dataplane {
        /// Install missing Debian packages without asking
        #[arg(long)]
        yes: bool,
        /// Arguments of `dataplane-bench compare`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
    /// What calls of ontap-sim's management API take, from 100 to 100 000 volumes
    Api {
        /// Arguments of `api-bench`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
    /// Memory of a thousand LUNs and exports, time of a clone of 1 TiB
    Scale {
        /// Arguments of `dataplane-bench scale`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().chore {
        Chore::Demo { yes, json } => chores::demo(yes, json),
        Chore::Test { yes, fast } => chores::test(yes, fast),
        Chore::Soak { yes, minutes, seed } => chores::soak(yes, minutes, seed),
        Chore::Lint => chores::lint(),
        Chore::Bench { what: Bench::Dataplane { yes, rest } } => bench::dataplane(yes, &rest),
        Chore::Bench { what: Bench::Scale { rest } } => bench::scale(&rest),
        Chore::Bench { what: Bench::Api { rest } } => bench::api(&rest),
        Chore::Fuzz { yes, seconds, target } => {
            fuzz::fuzz(yes, std::time::Duration::from_secs(seconds), target.as_deref())
        }
        Chore::Strangers { yes } => strangers::strangers(yes),
        Chore::Image { program, out, tried } => image::image(&program, out, tried),
        Chore::Vm { yes, rest } => chores::vm(yes, &rest),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
