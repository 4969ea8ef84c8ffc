//! The control program inside a worker node.
//!
//! The kernel starts it as `/init` of the initial RAM disk: it makes the node's root filesystem,
//! starts itself again as `vm-guest serve` and from then on only reaps orphans ([`init`]). The
//! second one starts the daemons of a worker node and answers the host ([`serve`]).
#![forbid(unsafe_code)]

mod await_path;
mod daemons;
mod files;
mod identity;
mod init;
mod port;
mod processes;
mod relay;
mod serve;
mod state;

use std::process::ExitCode;

fn main() -> ExitCode {
    let done = match std::env::args().nth(1).as_deref() {
        Some("serve") => serve::run(),
        _ if std::process::id() == 1 => init::run(),
        _ => Err(anyhow::anyhow!("this program is PID 1 of a worker node; it is not run by hand")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is the node's console, which the host shows when a boot fails.
            eprintln!("vm-guest: {error:#}");
            ExitCode::FAILURE
        }
    }
}
