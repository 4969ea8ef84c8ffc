//! The stories. Each is played by the demo and asserted by a test of the same name in `tests/`.

pub mod foreign;
pub mod leftovers;
pub mod nas;
pub mod san;
pub mod solidfire;

use anyhow::{Context, Result, ensure};

use crate::lab::Worker;

/// Where inside the volume a scene writes its data.
const FILE: &str = "data.bin";

/// Where on a worker what a scene writes comes from: in memory, not on the volume.
const SOURCE: &str = "/run/source.bin";

/// Makes `mib` MiB of random data at [`SOURCE`] and answers their SHA-256: what was meant to be
/// written. A digest read back from the volume would agree with whatever the array made of it.
async fn random_source(worker: &Worker, mib: u32) -> Result<String> {
    worker.shell(&format!("dd if=/dev/urandom of={SOURCE} bs=1M count={mib} 2>&1")).await?;
    digest(worker, SOURCE).await
}

/// SHA-256 of a file on a worker, read from the medium and not from the page cache.
async fn digest(worker: &Worker, path: &str) -> Result<String> {
    let command = format!("echo 3 > /proc/sys/vm/drop_caches && sha256sum '{path}'");
    let output = worker.shell(&command).await?;
    let digest = output.split_whitespace().next().context("sha256sum prints a digest")?;
    ensure!(digest.len() == 64, "sha256sum printed `{output}`");
    Ok(digest.to_owned())
}
