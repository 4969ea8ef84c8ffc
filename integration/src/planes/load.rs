//! Verified load in a node: `fio` with checksums in every block, in rounds until told to stop.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use vm::{Guest, Process};

use crate::bare::{SOON, script};
use crate::lab::program;

/// A round under emulation, with a path that has to be given up in the middle; a bound, no measure.
const ROUND_ENDS: Duration = Duration::from_secs(240);
/// Where the helper lies in a node.
pub const EXERCISE: &str = "/opt/tine-exercise";

/// What `fio` does in one round: writes, then reads back and compares (`verify=crc32c`).
#[derive(Clone, Copy, Debug)]
pub struct Fio {
    /// fio's name of how it does I/O: `libaio`, `mmap`, `psync`.
    pub engine: &'static str,
    /// Around the page cache.
    pub direct: bool,
    /// MiB written a round.
    pub size: u32,
}

impl Fio {
    /// Asynchronous and direct, as a database does.
    pub const DATABASE: Self = Self { engine: "libaio", direct: true, size: 12 };

    fn command(self, file: &str, report: &str) -> String {
        let Self { engine, size, .. } = self;
        let direct = u8::from(self.direct);
        format!(
            "fio --name=load --filename={file} --size={size}m --rw=randwrite --bsrange=4k-64k --ioengine={engine} \
             --direct={direct} --iodepth=8 --verify=crc32c --verify_fatal=1 --do_verify=1 --invalidate=1 \
             --randrepeat=0 --end_fsync=1 --output-format=json --output={report}"
        )
    }

    /// One round on `file` in the node.
    ///
    /// # Errors
    /// An I/O error, or a block that is not what was written.
    pub async fn once(self, guest: &Guest, file: &str) -> Result<Verified> {
        let run = format!("{}; cat /run/fio.json", self.command(file, "/run/fio.json"));
        let output = guest.shell(&format!("set -eu\n{run}"), ROUND_ENDS).await?;
        Verified::parse(&output.stdout)
    }

    /// Writes to `file` and never reads, flushes or ends: for a node that is about to lose its power.
    /// Returns when the file is laid out and the first write is about to go.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn writes(self, guest: &Guest, name: &str, file: &str) -> Result<()> {
        let Self { engine, size, .. } = self;
        let direct = u8::from(self.direct);
        script(guest, &format!("mkfifo /run/{name}.writing")).await?;
        let arguments = [
            "/usr/bin/fio",
            "--name=writes",
            "--rw=randwrite",
            "--bsrange=4k-64k",
            "--iodepth=8",
            "--time_based",
            "--runtime=3600",
            &format!("--exec_prerun=echo begun | tee /run/{name}.writing"),
            &format!("--filename={file}"),
            &format!("--size={size}m"),
            &format!("--ioengine={engine}"),
            &format!("--direct={direct}"),
        ];
        guest.spawn(arguments, &[], &format!("/run/{name}.writes.log")).await?;
        script(guest, &format!("read begun </run/{name}.writing")).await?;
        Ok(())
    }

    /// Rounds on `file` until [`Rounds::finish`]; returns when the first is about to begin.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn rounds(self, guest: &Guest, name: &str, file: &str) -> Result<Rounds> {
        let loop_until_told = format!(
            "set -eu; n=0; echo begun >/run/{name}.begun
            while [ ! -e /run/{name}.stop ]; do {}; n=$((n+1)); echo $n >/run/{name}.rounds; done",
            self.command(file, &format!("/run/{name}.$n.json"))
        );
        script(guest, &format!("rm -f /run/{name}.*; mkfifo /run/{name}.begun")).await?;
        let log = format!("/run/{name}.log");
        let process = guest.spawn(["/bin/sh", "-c", &loop_until_told], &[], &log).await?;
        script(guest, &format!("read begun </run/{name}.begun")).await?;
        Ok(Rounds { guest: guest.clone(), name: name.to_owned(), process })
    }
}

/// Rounds under way.
#[derive(Debug)]
pub struct Rounds {
    guest: Guest,
    name: String,
    process: Process,
}

impl Rounds {
    /// Lets the round under way end, and tells what all of them did.
    ///
    /// # Errors
    /// When one of them saw an I/O error or a wrong block.
    pub async fn finish(self) -> Result<Verified> {
        let name = &self.name;
        script(&self.guest, &format!("touch /run/{name}.stop")).await?;
        let ended = self.process.await_exit(ROUND_ENDS).await?;
        if !ended.is_success() {
            let shown =
                script(&self.guest, &format!("tail -n 20 /run/{name}.log; dmesg | tail -n 20")).await?;
            bail!("fio ended with {ended:?}:\n{shown}");
        }
        let count = script(&self.guest, &format!("cat /run/{name}.rounds")).await?;
        let mut all = Verified::default();
        for round in 0..count.trim().parse::<u32>().context("a count of rounds")? {
            let report = self.guest.get(&format!("/run/{name}.{round}.json")).await?;
            let one = Verified::parse(&report)?;
            all.rounds += one.rounds;
            all.written += one.written;
            all.verified += one.verified;
        }
        Ok(all)
    }
}

/// What was written, read back and found equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Rounds of fio.
    pub rounds: u64,
    /// Blocks written.
    pub written: u64,
    /// Blocks read back and compared.
    pub verified: u64,
}

impl Verified {
    /// Reads fio's report. An error makes fio itself fail; here it is made sure that something was
    /// verified at all.
    fn parse(report: &[u8]) -> Result<Self> {
        // Warnings stand before the document.
        let start = report.iter().position(|byte| *byte == b'{').context("fio reported nothing")?;
        let report: Value = serde_json::from_slice(report.get(start..).unwrap_or_default())?;
        let count = |what: &str| {
            report
                .pointer(&format!("/jobs/0/{what}"))
                .and_then(Value::as_u64)
                .with_context(|| format!("fio's report has no {what}"))
        };
        ensure!(count("error")? == 0, "fio saw an error");
        let (written, verified) = (count("write/total_ios")?, count("read/total_ios")?);
        ensure!(written > 0 && verified == written, "{written} blocks written, {verified} verified");
        Ok(Self { rounds: 1, written, verified })
    }
}

/// Puts the helper into the node.
///
/// # Errors
/// When it was not built.
pub async fn install(guest: &Guest) -> Result<()> {
    let content = std::fs::read(program("tine-exercise")?)?;
    Ok(guest.put(EXERCISE, 0o755, &content).await?)
}

/// Runs the helper to its end; what it printed.
///
/// # Errors
/// When it saw an error or something wrong: its words are shown.
pub async fn exercise(guest: &Guest, words: &str) -> Result<String> {
    let output = guest.shell(&format!("exec {EXERCISE} {words}"), SOON.saturating_mul(6)).await?;
    let text = output.stdout_text().trim().to_owned();
    println!("{words}: {text} ({:.1} s)", output.duration.as_secs_f64());
    Ok(text)
}
