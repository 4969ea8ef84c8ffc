//! Hosts that lack something: a daemon that is down, a kernel module that is not installed. The
//! agent names what is missing and the cure, leaves nothing behind, and goes on once it is there
//! (hazard H15).

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use csi_proto::v1::volume_capability::access_mode::Mode;
use integration::lab::{Lab, Worker};
use integration::orchestrator::{Claim, View, paths_of, prepare_paths};
use integration::scenes::leftovers;
use integration::timeline::{Display, Timeline};
use tonic::Code;

const SAN: Claim = Claim {
    name: "pvc-0bad0057-0000-4000-8000-000000000001",
    parameters: &[("backendType", "ontap-san")],
    size: 256 << 20,
    view: View::Directory("ext4"),
    mode: Mode::SingleNodeWriter,
};

const NAS: Claim = Claim {
    name: "pvc-0bad0057-0000-4000-8000-000000000002",
    parameters: &[("backendType", "ontap-nas")],
    size: 256 << 20,
    view: View::Directory(""),
    mode: Mode::MultiNodeMultiWriter,
};

const DAEMON_MOVES: Duration = Duration::from_secs(30);

fn play(story: impl AsyncFnOnce(&Lab) -> Result<()> + Send) -> Result<()> {
    Lab::play(Arc::new(Timeline::new(Display::Quiet)), story)
}

#[test]
fn a_stopped_daemon_is_named_with_its_cure_and_the_same_call_succeeds_once_it_runs() -> Result<()> {
    play(async |lab: &Lab| {
        let (worker, _) = lab.workers();
        let calls = lab.orchestrator();
        let before = leftovers::before(lab).await?;
        let bound = calls.provision(&SAN).await?;
        let in_use = paths_of(&bound, calls.grant(&bound, worker).await?);
        prepare_paths(worker, &in_use).await?;
        let daemons = [
            ("multipathd", "/usr/sbin/multipathd -d", "multipathd show daemon"),
            ("iscsid", "/usr/sbin/iscsid -f", "grep -q @ISCSIADM_ABSTRACT_NAMESPACE /proc/net/unix"),
        ];
        for (daemon, command, answers) in daemons {
            worker.shell(&format!("kill $(pidof {daemon})")).await?;
            worker.await_shell(&format!("! pidof {daemon} >/dev/null"), DAEMON_MOVES).await?;
            let refused = calls.stage(&bound, &in_use, worker).await.err();
            let refused = refused.with_context(|| format!("staged although {daemon} is stopped"))?;
            ensure!(refused.code() == Code::FailedPrecondition, "{daemon} is stopped: {refused}");
            for part in [format!("{daemon} does not answer"), format!("start {daemon}")] {
                ensure!(refused.message().contains(&part), "`{part}` is not in: {}", refused.message());
            }
            leftovers::compare_nodes(lab, &before).await.with_context(|| format!("with {daemon} stopped"))?;

            worker.spawn_shell(daemon, &format!("exec {command}")).await?;
            worker.await_shell(&format!("{answers} >/dev/null 2>&1"), DAEMON_MOVES).await?;
            calls.stage(&bound, &in_use, worker).await.with_context(|| format!("{daemon} runs again"))?;
            calls.publish(&bound, &in_use, worker).await?;
            worker.shell(&format!("echo used > '{}/file' && sync", in_use.target)).await?;
            calls.unpublish(&in_use, worker).await?;
            calls.unstage(&in_use, worker).await?;
            leftovers::compare_nodes(lab, &before).await?;
        }
        calls.revoke(&bound, worker).await?;
        calls.delete(&bound).await
    })
}

#[test]
fn a_kernel_module_that_is_not_installed_is_named_with_its_cure_at_stage_and_to_the_administrator()
-> Result<()> {
    play(async |lab: &Lab| {
        let (worker, other) = lab.workers();
        without_module(lab, worker, &NAS, "nfsv4", "the kernel has no NFS client").await?;
        without_module(lab, worker, &SAN, "dm_multipath", "the kernel has no device-mapper multipath")
            .await?;
        without_module(lab, other, &SAN, "iscsi_tcp", "the kernel has no software iSCSI initiator").await
    })
}

/// Takes the module away as if the package with it were not installed, with all that need it.
async fn without_module(lab: &Lab, worker: &Worker, claim: &Claim, module: &str, lack: &str) -> Result<()> {
    let calls = lab.orchestrator();
    let bound = calls.provision(claim).await?;
    let in_use = paths_of(&bound, calls.grant(&bound, worker).await?);
    prepare_paths(worker, &in_use).await?;
    worker.kill_agent().await?;
    // In the order in which they can be unloaded.
    let family = match module {
        "nfsv4" => "nfsv3 nfsv4 nfs",
        "dm_multipath" => "dm_queue_length dm_round_robin dm_service_time dm_multipath",
        other => other,
    };
    worker
        .shell(&format!(
            "kill $(pidof multipathd iscsid) 2>/dev/null; while pidof multipathd iscsid; do sleep 0.1; done; \
             for m in {family}; do \
               if [ -d /sys/module/$m ]; then rmmod $m || {{ lsmod; exit 1; }}; fi; \
               file=$(modinfo -n $m) && mv \"$file\" /run/ || exit 1; done; depmod"
        ))
        .await
        .with_context(|| format!("take {module} away"))?;
    worker.start_agent().await?;
    let before = leftovers::before(lab).await?;

    let cure = format!("modprobe {module}");
    await_defect(lab, worker, &[lack, &cure]).await?;
    let refused = calls.stage(&bound, &in_use, worker).await.err();
    let refused = refused.with_context(|| format!("staged without {module}"))?;
    ensure!(refused.code() == Code::FailedPrecondition, "without {module}: {refused}");
    for part in [lack, &cure] {
        ensure!(refused.message().contains(part), "`{part}` is not in: {}", refused.message());
    }
    leftovers::compare_nodes(lab, &before).await.with_context(|| format!("without {module}"))?;
    calls.revoke(&bound, worker).await?;
    calls.delete(&bound).await
}

/// The agent's first report follows its registration: a moment later `tinectl` shows it.
async fn await_defect(lab: &Lab, worker: &Worker, parts: &[&str]) -> Result<()> {
    let mut seen = String::new();
    let mut again = tokio::time::interval(Duration::from_millis(200));
    for _ in 0..50 {
        again.tick().await;
        let output = lab.tinectl(&["get", "node", "-o", "json"]).await?;
        ensure!(output.status.success(), "tinectl: {}", String::from_utf8_lossy(&output.stderr));
        seen = String::from_utf8_lossy(&output.stdout).into_owned();
        if defects_of(&seen, worker.name())?.iter().any(|text| parts.iter().all(|part| text.contains(part))) {
            return Ok(());
        }
    }
    anyhow::bail!("no defect of {} with {parts:?} in:\n{seen}", worker.name())
}

fn defects_of(document: &str, node: &str) -> Result<Vec<String>> {
    let document: serde_json::Value = serde_json::from_str(document)?;
    let nodes = document.get("items").unwrap_or(&document).as_array().context("a list of nodes")?.clone();
    let of = |node: &serde_json::Value| node["defects"].as_array().cloned().unwrap_or_default();
    let found = nodes.iter().find(|shown| shown["name"] == node).map(of).unwrap_or_default();
    Ok(found.iter().filter_map(|defect| defect.as_str().map(str::to_owned)).collect())
}
