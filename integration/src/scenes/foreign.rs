//! Scene d: a LUN that carries a foreign filesystem where a blank one is expected (hazard H01).

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use csi_proto::v1::volume_capability::access_mode::Mode;
use tonic::Code;

use crate::lab::Lab;
use crate::orchestrator::{Claim, View, paths_of, prepare_paths};

const RAW: Claim = Claim {
    name: "pvc-0df04e16-0000-4000-8000-00000000000d",
    parameters: &[("backendType", "ontap-san")],
    size: 512 << 20,
    view: View::Device,
    mode: Mode::SingleNodeWriter,
};

/// Somebody's filesystem is put on the LUN; staging it as ext4 is refused, and the array shows the
/// same bytes afterwards.
///
/// # Errors
/// When the stage succeeds, fails for another reason, or a byte changed.
pub async fn play(lab: &Lab) -> Result<()> {
    let (worker, _) = lab.workers();
    lab.timeline().heading("d. a foreign filesystem where a blank LUN is expected: refused, bytes unchanged");
    let calls = lab.orchestrator();
    let bound = calls.provision(&RAW).await?;
    let device = calls.attach(&bound, worker).await?;
    lab.timeline().working("mkfs.xfs", worker.name());
    let blank = lab.ontap().lun_digest().await?;
    let since = Instant::now();
    worker.shell(&format!("mkfs.xfs -q -L somebodys '{}' && sync", device.target)).await?;
    lab.timeline().row("somebody makes an xfs of their own on it", worker.name(), since, "");
    calls.detach(&bound, &device, worker).await?;
    let before = lab.ontap().lun_digest().await?;
    ensure!(before != blank, "the array's digest does not show that somebody wrote: {before}");

    let mut as_ext4 = bound.clone();
    as_ext4.claim.view = View::Directory("ext4");
    let context = calls.grant(&bound, worker).await?;
    let in_use = paths_of(&as_ext4, context);
    prepare_paths(worker, &in_use).await?;
    let status =
        calls.stage(&as_ext4, &in_use, worker).await.err().context("staging it as ext4 must be refused")?;
    ensure!(
        status.code() == Code::FailedPrecondition,
        "refused with {:?}: {}",
        status.code(),
        status.message()
    );
    ensure!(status.message().contains("xfs"), "the refusal does not say what it found: {}", status.message());
    calls.unstage(&in_use, worker).await?;
    calls.revoke(&bound, worker).await?;

    let after = lab.ontap().lun_digest().await?;
    ensure!(after == before, "the LUN's bytes changed: {before} -> {after}");
    calls.delete(&bound).await?;
    lab.timeline().prove(
        "d",
        format!("refused ({}), and the array holds the same bytes", first_line(status.message())),
    );
    Ok(())
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or(text)
}
