//! Scene a: one file volume, two nodes, one truth (journey J6, RWX).

use std::time::Instant;

use anyhow::{Result, ensure};
use csi_proto::v1::volume_capability::access_mode::Mode;

use super::{FILE, SOURCE, digest, random_source};
use crate::lab::Lab;
use crate::orchestrator::{Claim, View};

const CLAIM: Claim = Claim {
    name: "pvc-0a11ce00-0000-4000-8000-00000000000a",
    parameters: &[("backendType", "ontap-nas")],
    size: 1 << 30,
    view: View::Directory(""),
    mode: Mode::MultiNodeMultiWriter,
};

/// Mounted on both nodes; written on one, read on the other; gone from both.
///
/// # Errors
/// When a call fails or the second node reads something else.
pub async fn play(lab: &Lab) -> Result<()> {
    let (first, second) = lab.workers();
    lab.timeline()
        .heading("a. ontap-nas, ReadWriteMany: mounted on both nodes, written on one, read on the other");
    let calls = lab.orchestrator();
    let bound = calls.provision(&CLAIM).await?;
    let on_first = calls.attach(&bound, first).await?;
    let on_second = calls.attach(&bound, second).await?;

    let expected = random_source(first, 8).await?;
    let since = Instant::now();
    let (written, read) = (format!("{}/{FILE}", on_first.target), format!("{}/{FILE}", on_second.target));
    first.shell(&format!("dd if={SOURCE} of='{written}' bs=1M conv=fsync 2>&1")).await?;
    lab.timeline().row("write 8 MiB of random data", first.name(), since, "");
    let since = Instant::now();
    let seen = digest(second, &read).await?;
    lab.timeline().row("read them", second.name(), since, "");
    ensure!(seen == expected, "{} wrote {expected}, {} reads {seen}", first.name(), second.name());

    calls.detach(&bound, &on_second, second).await?;
    ensure!(digest(first, &written).await? == expected, "the data changed when the other node left");
    calls.detach(&bound, &on_first, first).await?;
    calls.delete(&bound).await?;
    lab.timeline().prove(
        "a",
        format!("{} read what {} wrote over NFS: sha256 {}", second.name(), first.name(), short(&expected)),
    );
    Ok(())
}

fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}
