//! The first hazards on a real kernel: a dead portal (H08), an agent that is killed (H06), calls
//! that come again and things in the way (H12, H13).

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use csi_proto::v1::volume_capability::access_mode::Mode;
use integration::lab::{Lab, Worker};
use integration::orchestrator::{Bound, Claim, InUse, View, paths_of, prepare_paths};
use integration::scenes::leftovers;
use integration::timeline::{Display, Timeline};
use tonic::{Code, Status};

const SECOND_PORTAL: &str = "192.168.1.131";

const fn san(name: &'static str) -> Claim {
    Claim {
        name,
        parameters: &[("backendType", "ontap-san")],
        size: 256 << 20,
        view: View::Directory("ext4"),
        mode: Mode::SingleNodeWriter,
    }
}

const NAS: Claim = Claim {
    name: "pvc-0a2a2d00-0000-4000-8000-0000000000aa",
    parameters: &[("backendType", "ontap-nas")],
    size: 256 << 20,
    view: View::Directory(""),
    mode: Mode::MultiNodeMultiWriter,
};

/// Plays a story, then looks whether both nodes are what they were before it.
fn play(story: impl AsyncFnOnce(&Lab) -> Result<()> + Send) -> Result<()> {
    Lab::play(Arc::new(Timeline::new(Display::Quiet)), async |lab: &Lab| {
        let before = leftovers::before(lab).await?;
        story(lab).await?;
        leftovers::compare(lab, &before).await
    })
}

/// Provisioned and granted to `worker`, its directories made; nothing staged.
async fn granted(lab: &Lab, claim: &Claim, worker: &Worker) -> Result<(Bound, InUse)> {
    let calls = lab.orchestrator();
    let bound = calls.provision(claim).await?;
    let in_use = paths_of(&bound, calls.grant(&bound, worker).await?);
    prepare_paths(worker, &in_use).await?;
    Ok((bound, in_use))
}

/// How long a first stage takes.
async fn staged(lab: &Lab, bound: &Bound, in_use: &InUse, worker: &Worker) -> Result<Duration> {
    let since = Instant::now();
    lab.orchestrator().stage(bound, in_use, worker).await?;
    Ok(since.elapsed())
}

/// How long a first stage takes on a node that has staged before: the very first one also loads
/// modules and fills caches.
async fn warm_stage(lab: &Lab, claim: &Claim, worker: &Worker) -> Result<Duration> {
    let mut took = Duration::ZERO;
    for _ in 0..2 {
        let (bound, in_use) = granted(lab, claim, worker).await?;
        took = staged(lab, &bound, &in_use, worker).await?;
        lab.orchestrator().publish(&bound, &in_use, worker).await?;
        gone(lab, &bound, &in_use, worker).await?;
    }
    Ok(took)
}

async fn gone(lab: &Lab, bound: &Bound, in_use: &InUse, worker: &Worker) -> Result<()> {
    lab.orchestrator().detach(bound, in_use, worker).await?;
    lab.orchestrator().delete(bound).await
}

/// What is written through the published volume is on its medium.
async fn written_is_read(in_use: &InUse, worker: &Worker) -> Result<()> {
    let file = format!("{}/file", in_use.target);
    let script = format!(
        "dd if=/dev/urandom of=/run/data bs=1M count=4 2>/dev/null && cp /run/data '{file}' && sync && \
         echo 3 > /proc/sys/vm/drop_caches && cmp /run/data '{file}'"
    );
    worker.shell(&script).await.map(drop)
}

/// Asserts a refusal with this code; answers its message.
fn refused(answer: Result<(), Status>, code: Code, what: &str) -> Result<String> {
    let status = answer.err().with_context(|| format!("{what} was not refused"))?;
    ensure!(status.code() == code, "{what}: expected {code:?}, answered {status}");
    Ok(status.message().to_owned())
}

#[test]
fn a_dead_portal_costs_a_stage_little_and_its_map_goes_on_the_living_path() -> Result<()> {
    play(async |lab: &Lab| {
        let (worker, _) = lab.workers();
        let calls = lab.orchestrator();
        let claim = san("pvc-0a2a2d08-0000-4000-8000-000000000001");
        let healthy = warm_stage(lab, &claim, worker).await?;
        for (fault, paths) in [("none", 2), ("refuse", 1), ("blackhole", 1)] {
            let (bound, in_use) = granted(lab, &claim, worker).await?;
            lab.ontap().set_portal_fault(SECOND_PORTAL, fault).await?;
            let took = staged(lab, &bound, &in_use, worker).await.with_context(|| fault.to_owned())?;
            calls.publish(&bound, &in_use, worker).await?;
            let map = worker.shell("multipathd show paths raw format '%m %t'").await?;
            let active = map.lines().filter(|line| line.contains(" active")).count();
            ensure!(active == paths, "with fault {fault}, {active} active paths instead of {paths}:\n{map}");
            written_is_read(&in_use, worker).await?;
            // A login that is waited for to its end takes 15 s (node.conn[0].timeo.login_timeout).
            ensure!(took < healthy * 5, "a portal with fault {fault}: {took:?}, healthy {healthy:?}");
            // Unstaged while the portal is still dead.
            gone(lab, &bound, &in_use, worker).await?;
        }
        lab.ontap().set_portal_fault(SECOND_PORTAL, "none").await
    })
}

#[test]
fn a_stage_whose_agent_is_killed_is_completed_or_undone_by_the_next_agent() -> Result<()> {
    play(async |lab: &Lab| {
        let (worker, _) = lab.workers();
        let before = leftovers::before(lab).await?;
        let claim = san("pvc-0a2a2d06-0000-4000-8000-000000000001");
        let whole = warm_stage(lab, &claim, worker).await?;
        let mut interrupted = 0;
        let ends = [End::Completed, End::Undone].into_iter().cycle();
        for (eighth, end) in [1_u32, 2, 3, 4, 5, 6].into_iter().zip(ends) {
            // A blank volume each time, so that the filesystem is made each time.
            let (bound, in_use) = granted(lab, &claim, worker).await?;
            interrupted += u32::from(killed_stage(lab, &bound, &in_use, worker, whole * eighth / 8).await?);
            let when = format!("killed at {eighth} eighths of {whole:?}");
            match end {
                End::Completed => completed(lab, &bound, &in_use, worker).await.context(when.clone())?,
                End::Undone => lab.orchestrator().unstage(&in_use, worker).await.context(when.clone())?,
            }
            leftovers::compare_nodes(lab, &before).await.context(when)?;
            lab.orchestrator().revoke(&bound, worker).await?;
            lab.orchestrator().delete(&bound).await?;
        }
        ensure!(interrupted >= 4, "only {interrupted} of 6 stages were interrupted: little was proven");
        Ok(())
    })
}

#[derive(Clone, Copy)]
enum End {
    Completed,
    Undone,
}

/// Kills the agent `after` the stage began, waits for the broken call, starts the agent again.
/// Answers whether the call broke.
async fn killed_stage(
    lab: &Lab,
    bound: &Bound,
    in_use: &InUse,
    worker: &Worker,
    after: Duration,
) -> Result<bool> {
    let calls = lab.orchestrator();
    let (answer, killed) = tokio::join!(calls.stage(bound, in_use, worker), async {
        tokio::time::sleep(after).await;
        worker.kill_agent().await
    });
    killed?;
    worker.start_agent().await?;
    Ok(answer.is_err())
}

/// The same call again, the volume used, and taken away.
async fn completed(lab: &Lab, bound: &Bound, in_use: &InUse, worker: &Worker) -> Result<()> {
    let calls = lab.orchestrator();
    calls.stage(bound, in_use, worker).await?;
    calls.publish(bound, in_use, worker).await?;
    written_is_read(in_use, worker).await?;
    calls.unpublish(in_use, worker).await?;
    Ok(calls.unstage(in_use, worker).await?)
}

#[test]
fn two_volumes_of_one_target_are_staged_together_on_a_fresh_node() -> Result<()> {
    play(async |lab: &Lab| {
        let (worker, _) = lab.workers();
        let calls = lab.orchestrator();
        let first = calls.provision(&san("pvc-0a2a2d10-0000-4000-8000-000000000001")).await?;
        let second = calls.provision(&san("pvc-0a2a2d10-0000-4000-8000-000000000002")).await?;
        // The target has no session and no node record here yet.
        let (one, two) = tokio::join!(calls.attach(&first, worker), calls.attach(&second, worker));
        let (one, two) = (one.context("the first volume")?, two.context("the second volume")?);
        for in_use in [&one, &two] {
            written_is_read(in_use, worker).await?;
        }
        let paths = worker.shell("multipathd show paths raw format '%m %t'").await?;
        let active = paths.lines().filter(|line| line.contains(" active")).count();
        ensure!(active == 4, "{active} active paths instead of two for each volume:\n{paths}");
        let (one, two) =
            tokio::join!(calls.detach(&first, &one, worker), calls.detach(&second, &two, worker));
        one.context("the first volume")?;
        two.context("the second volume")?;
        calls.delete(&first).await?;
        calls.delete(&second).await
    })
}

#[test]
fn a_publish_that_comes_again_mounts_nothing_more() -> Result<()> {
    play(async |lab: &Lab| {
        let (worker, _) = lab.workers();
        let device = Claim { view: View::Device, ..san("pvc-0a2a2d12-0000-4000-8000-000000000002") };
        for claim in [NAS, san("pvc-0a2a2d12-0000-4000-8000-000000000001"), device] {
            let (bound, in_use) = granted(lab, &claim, worker).await?;
            let calls = lab.orchestrator();
            let message = refused(
                calls.publish(&bound, &in_use, worker).await,
                // CSI, NodePublishVolume: a plugin with STAGE_UNSTAGE_VOLUME that was not called to
                // stage first answers FAILED_PRECONDITION.
                Code::FailedPrecondition,
                "a publish without a stage",
            )?;
            ensure!(message.contains("NodeStageVolume"), "the cure is not named: {message}");
            calls.stage(&bound, &in_use, worker).await?;
            calls.publish(&bound, &in_use, worker).await?;
            let once = worker.shell("cat /proc/self/mountinfo").await?;
            ensure!(once.matches(&in_use.target).count() == 1, "not one mount at the target:\n{once}");
            for _ in 0..20 {
                calls.publish(&bound, &in_use, worker).await?;
            }
            let often = worker.shell("cat /proc/self/mountinfo").await?;
            ensure!(often == once, "a repeated publish changed the mounts:\n{once}\n{often}");
            gone(lab, &bound, &in_use, worker).await?;
        }
        Ok(())
    })
}

#[test]
fn nothing_is_mounted_over_a_mount_that_is_not_the_volumes_own() -> Result<()> {
    play(async |lab: &Lab| {
        let (worker, _) = lab.workers();
        for claim in [NAS, san("pvc-0a2a2d13-0000-4000-8000-000000000001")] {
            let (bound, in_use) = granted(lab, &claim, worker).await?;
            let calls = lab.orchestrator();
            let strange = |path: &str| format!("mkdir -p '{path}' && mount -t tmpfs strange '{path}'");

            worker.shell(&strange(&in_use.staging)).await?;
            let mounts = worker.state().await?.mounts;
            let message = refused(
                calls.stage(&bound, &in_use, worker).await,
                Code::FailedPrecondition,
                "a stage over a strange mount",
            )?;
            ensure!(message.contains("strange"), "what is in the way is not named: {message}");
            ensure!(worker.state().await?.mounts == mounts, "the refused stage changed the mounts");
            worker.shell(&format!("umount '{}'", in_use.staging)).await?;

            calls.stage(&bound, &in_use, worker).await?;
            worker.shell(&strange(&in_use.target)).await?;
            let mounts = worker.state().await?.mounts;
            let message = refused(
                calls.publish(&bound, &in_use, worker).await,
                Code::FailedPrecondition,
                "a publish over a strange mount",
            )?;
            ensure!(message.contains("strange"), "what is in the way is not named: {message}");
            ensure!(worker.state().await?.mounts == mounts, "the refused publish changed the mounts");
            worker.shell(&format!("umount '{}'", in_use.target)).await?;
            calls.publish(&bound, &in_use, worker).await.context("the way is free")?;
            gone(lab, &bound, &in_use, worker).await?;
        }
        Ok(())
    })
}
