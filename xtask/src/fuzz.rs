//! Fuzz targets, built with the stable compiler and run for a bounded time.
//!
//! libFuzzer needs nothing of the compiler but coverage counters, and those are an LLVM pass that
//! any rustc can be told to run. What cargo-fuzz adds (sanitizers) needs nightly; these crates have
//! no `unsafe` for a sanitizer to judge.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::command::{cargo, run, workspace};
use crate::packages::ensure;

/// Time for each target within `cargo xtask test`: what fuzzing finds, it finds over many runs.
pub(crate) const WITHIN_TESTS: Duration = Duration::from_secs(10);

/// Compiles libFuzzer.
const PACKAGES: &[&str] = &["g++"];
/// The programs in `fuzz/fuzz_targets`.
const TARGETS: &[&str] = &[
    "iscsi_pdu",
    "iscsi_login",
    "scsi_command",
    "rpc_record",
    "nfs3_call",
    "nfs4_compound",
    "rest_request",
    "zapi_request",
];
/// Counters of every edge, and the operands of comparisons, for libFuzzer to steer by.
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=3",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];

/// `cargo xtask fuzz`: each target, or the one named, for `time`.
pub(crate) fn fuzz(yes: bool, time: Duration, only: Option<&str>) -> Result<()> {
    let targets: Vec<_> = TARGETS.iter().filter(|name| only.is_none_or(|only| only == **name)).collect();
    if targets.is_empty() {
        bail!("no such fuzz target; there are {}", TARGETS.join(", "));
    }
    ensure(&[PACKAGES], yes)?;
    let directory = workspace().join("fuzz");
    let host = host()?;
    eprintln!("Building the fuzz targets");
    let mut build = cargo();
    build.current_dir(&directory).args(["build", "--release", "--quiet", "--bins"]);
    build.args(["--target", &host, "--target-dir"]).arg(directory.join("target"));
    run(build.env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\x1f")))?;
    for target in targets {
        let program = directory.join("target").join(&host).join("release").join(target);
        play(&directory, target, &program, time)?;
    }
    Ok(())
}

/// One target for `time`. What it finds new is kept under `fuzz/target` for the next run.
fn play(directory: &Path, target: &str, program: &Path, time: Duration) -> Result<()> {
    let found = directory.join("target/corpus").join(target);
    let broken = directory.join("target/artifacts").join(target);
    for place in [&found, &broken] {
        std::fs::create_dir_all(place).with_context(|| format!("create {}", place.display()))?;
    }
    let mut fuzzer = Command::new(program);
    fuzzer.arg(format!("-max_total_time={}", time.as_secs()));
    // Bytes of an input; seconds for one; MiB of memory.
    fuzzer.args(["-max_len=4096", "-timeout=25", "-rss_limit_mb=2048", "-print_final_stats=1"]);
    fuzzer.arg(format!("-artifact_prefix={}/", broken.display()));
    fuzzer.arg(&found).arg(directory.join("corpus").join(target));
    let output = fuzzer.output().with_context(|| format!("start {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let lines: Vec<_> = said.lines().collect();
        let end = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n");
        bail!("fuzz target {target} broke ({}); the input is named below\n{end}", output.status);
    }
    let executed = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    println!("fuzz {target}: {} inputs, none broke it", executed.unwrap_or("?").trim());
    Ok(())
}

/// This machine's target triple, as rustc calls it.
fn host() -> Result<String> {
    let output = Command::new("rustc").args(["--print", "host-tuple"]).output().context("start rustc")?;
    Ok(String::from_utf8(output.stdout).context("rustc's answer is text")?.trim().to_owned())
}
