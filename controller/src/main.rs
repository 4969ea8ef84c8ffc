//! The controller: claims become volumes, nodes are granted access.

use std::process::ExitCode;

use clap::Parser as _;
use telemetry::LogFormat;
use tine_controller::serve::{Arguments, serve};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    telemetry::init(LogFormat::Json);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&error),
    };
    match runtime.block_on(serve(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&error),
    }
}

/// One line for the person at the terminal.
fn refuse(error: &dyn std::error::Error) -> ExitCode {
    let line = format!("tine-controller: {}", one_chain(error));
    eprintln!("{}", line.lines().collect::<Vec<_>>().join(" "));
    ExitCode::FAILURE
}

fn one_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
