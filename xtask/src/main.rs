//! One door for chores.
//!
//! `cargo xtask` installs what a chore needs from Debian, builds the programs, and hands over: the
//! scenes of the demo are played by `tine-lab`, the tests are run by cargo.

mod chores;
mod command;
mod packages;

use std::ffi::OsString;
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
    /// What continuous integration runs besides the tests: format, lints, documentation, licences
    Lint,
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

fn main() -> ExitCode {
    let outcome = match Arguments::parse().chore {
        Chore::Demo { yes, json } => chores::demo(yes, json),
        Chore::Test { yes, fast } => chores::test(yes, fast),
        Chore::Lint => chores::lint(),
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
