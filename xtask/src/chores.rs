//! The chores themselves.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::command::{cargo, has_cargo_subcommand, run, workspace};
use crate::fuzz;
use crate::packages::{FOR_NODES, FOR_TESTS, ensure};
use crate::report::Report;
use crate::strangers::{self, Strangers};

/// Packages whose tests start worker nodes.
const NODE_LEVEL: &[&str] = &["integration", "vm"];

/// `cargo xtask demo`.
pub(crate) fn demo(yes: bool, json: bool) -> Result<()> {
    require_root("the demo makes network namespaces and taps for its worker nodes")?;
    ensure(&[FOR_NODES], yes)?;
    let mut lab = lab()?;
    lab.arg("demo");
    if json {
        lab.arg("--json");
    }
    run(&mut lab)
}

/// `cargo xtask test`.
pub(crate) fn test(yes: bool, fast: bool) -> Result<()> {
    ensure(if fast { &[FOR_TESTS] } else { &[FOR_TESTS, FOR_NODES] }, yes)?;
    if !fast {
        require_root("tests on worker nodes make network namespaces and taps")?;
    }
    build()?;
    let strangers = strangers::prepare()?;
    let skipped = |command: &mut Command| {
        for package in NODE_LEVEL {
            command.args(["--exclude", package]);
        }
    };
    let mut report = None;
    if has_cargo_subcommand("nextest") {
        let mut nextest = cargo();
        nextest.args(["nextest", "run", "--workspace"]);
        if let Strangers::Ready(venv) = &strangers {
            nextest.args(["--run-ignored", "all"]).env(strangers::VENV, venv);
        }
        if fast {
            skipped(&mut nextest);
        }
        let started = SystemTime::now();
        let outcome = run(&mut nextest);
        report = Some(Report::since(started)?);
        if let (Err(_), Some(report)) = (&outcome, &report) {
            println!("{report}");
        }
        outcome?;
    } else {
        // Without nextest all tests of a file share a process: worker nodes one at a time.
        let mut plain = cargo();
        plain.args(["test", "--workspace", "--lib", "--bins", "--tests"]);
        NODE_LEVEL.iter().for_each(|package| {
            plain.args(["--exclude", package]);
        });
        if let Strangers::Ready(venv) = &strangers {
            plain.args(["--", "--include-ignored"]).env(strangers::VENV, venv);
        }
        run(&mut plain)?;
        if !fast {
            let mut nodes = cargo();
            nodes.arg("test");
            NODE_LEVEL.iter().for_each(|package| {
                nodes.args(["--package", package]);
            });
            run(nodes.args(["--", "--test-threads=1"]))?;
        }
    }
    run(cargo().args(["test", "--workspace", "--doc", "--quiet"]))?;
    match report {
        Some(report) => println!("{report}\nand the examples in the documentation: all as they say"),
        None => println!("counts stand after each file above; with cargo-nextest they are added up here"),
    }
    if let Strangers::Missing(reason) = strangers {
        let tests = strangers::count()?;
        println!("not run: {tests} tests by clients that could not be downloaded: {reason}");
    }
    if fast {
        println!("not run: the tests on worker nodes ({}); run without --fast", NODE_LEVEL.join(", "));
        println!("not run: the fuzz targets; run without --fast, or `cargo xtask fuzz`");
        return Ok(());
    }
    fuzz::fuzz(yes, fuzz::WITHIN_TESTS, None)
}

/// `cargo xtask soak`.
pub(crate) fn soak(yes: bool, minutes: u64, seed: Option<u64>) -> Result<()> {
    require_root("worker nodes need network namespaces and taps")?;
    ensure(&[FOR_NODES], yes)?;
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seed = seed.unwrap_or_else(clock);
    eprintln!(
        "Soaking for {minutes} minutes; the same again: cargo xtask soak --minutes {minutes} --seed {seed}"
    );
    run(lab()?.args(["soak", "--minutes", &minutes.to_string(), "--seed", &seed.to_string()]))
}

/// `cargo xtask lint`.
pub(crate) fn lint() -> Result<()> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))?;
    run(cargo().args(["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    if !has_cargo_subcommand("deny") {
        eprintln!("cargo-deny is not installed: building it from the crate registry");
        run(cargo()
            .args(["install", "--locked", "--quiet", "cargo-deny", "--version", "0.20.2"])
            // It is a tool of this machine, not a program of ours: plain linking, its own directory.
            .args(["--target-dir", "target/tools"])
            .env("CARGO_ENCODED_RUSTFLAGS", ""))?;
    }
    run(cargo().args(["deny", "--workspace", "check", "licenses", "bans", "sources"]))
}

/// `cargo xtask vm`.
pub(crate) fn vm(yes: bool, rest: &[OsString]) -> Result<()> {
    require_root("worker nodes need network namespaces and taps")?;
    ensure(&[FOR_NODES], yes)?;
    run(lab()?.arg("vm").args(rest))
}

/// Every program, as the tests, the demo and the worker nodes run it.
fn build() -> Result<()> {
    eprintln!("Building the programs");
    run(cargo().args(["build", "--workspace", "--bins", "--examples", "--quiet"]))
}

fn lab() -> Result<Command> {
    build()?;
    let program = programs()?.join("tine-lab");
    if !program.exists() {
        bail!("{} was not built", program.display());
    }
    Ok(Command::new(program))
}

/// Where cargo puts programs: beside this one.
fn programs() -> Result<PathBuf> {
    let me = std::env::current_exe().context("find the directory of built programs")?;
    Ok(me.parent().map_or_else(workspace, PathBuf::from))
}

pub(crate) fn require_root(why: &str) -> Result<()> {
    let output = Command::new("/usr/bin/id").arg("--user").output().context("start /usr/bin/id")?;
    if output.stdout.trim_ascii() != b"0" {
        bail!("run this as root: {why}");
    }
    Ok(())
}
