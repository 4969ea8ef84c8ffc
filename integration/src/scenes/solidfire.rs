//! Scene c: a SolidFire volume with CHAP and QoS, and the same move (journeys J4 to J7, hazard
//! "secrets in logs and argv").

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use csi_proto::v1::volume_capability::access_mode::Mode;
use serde_json::json;

use super::{FILE, SOURCE, digest, random_source};
use crate::lab::{Lab, Worker};
use crate::orchestrator::{Bound, Claim, InUse, View};

const CLAIM: Claim = Claim {
    name: "pvc-0c50f10e-0000-4000-8000-00000000000c",
    parameters: &[("backendType", "solidfire-san"), ("IOPS", "8000")],
    size: 1 << 30,
    view: View::Directory("xfs"),
    mode: Mode::SingleNodeWriter,
};

/// Provisioned with the Gold type's QoS, attached with CHAP, moved with equal checksum, the secret
/// seen nowhere.
///
/// # Errors
/// When a call fails, the array holds another QoS, a session has no CHAP, the secret leaks or the
/// checksum differs.
pub async fn play(lab: &Lab) -> Result<()> {
    let (first, second) = lab.workers();
    lab.timeline().heading("c. solidfire-san with CHAP and QoS: xfs, then moved to the other node");
    let calls = lab.orchestrator();
    let bound = calls.provision(&CLAIM).await?;
    let volume = volume_on_the_array(lab).await?;
    let qos = (
        volume["qos"]["minIOPS"].as_u64(),
        volume["qos"]["maxIOPS"].as_u64(),
        volume["qos"]["burstIOPS"].as_u64(),
    );
    ensure!(
        qos == (Some(6000), Some(8000), Some(10000)),
        "the array holds QoS {qos:?}, the class asked for Gold"
    );

    let in_use = calls.attach(&bound, first).await?;
    let filesystem = first.shell(&format!("findmnt -n -o FSTYPE --target '{}'", in_use.target)).await?;
    ensure!(filesystem.trim() == "xfs", "the claim asked for xfs and got {}", filesystem.trim());
    let path = format!("{}/{FILE}", in_use.target);
    let expected = random_source(first, 16).await?;
    let since = Instant::now();
    first.shell(&format!("dd if={SOURCE} of='{path}' bs=1M conv=fsync 2>&1")).await?;
    lab.timeline().row("write 16 MiB of random data", first.name(), since, "");
    the_secret_guards_and_does_not_leak(lab, first, &bound, &in_use, &volume).await?;
    calls.detach(&bound, &in_use, first).await?;

    let moved = calls.attach(&bound, second).await?;
    let seen = digest(second, &format!("{}/{FILE}", moved.target)).await?;
    ensure!(seen == expected, "{} wrote {expected}, {} reads {seen}", first.name(), second.name());
    calls.detach(&bound, &moved, second).await?;
    calls.delete(&bound).await?;
    lab.timeline().prove(
        "c",
        format!("QoS 6000/8000/10000 on the array, CHAP demanded and used, its secret leaked nowhere, equal on {}", second.name()),
    );
    Ok(())
}

async fn volume_on_the_array(lab: &Lab) -> Result<serde_json::Value> {
    let answer = lab.solidfire().element("ListActiveVolumes", json!({})).await?;
    let volumes = answer["volumes"].as_array().context("ListActiveVolumes answers with volumes")?;
    ensure!(volumes.len() == 1, "expected one volume on the cluster: {volumes:?}");
    volumes.first().cloned().context("there is one")
}

async fn the_secret_guards_and_does_not_leak(
    lab: &Lab,
    worker: &Worker,
    bound: &Bound,
    in_use: &InUse,
    volume: &serde_json::Value,
) -> Result<()> {
    let since = Instant::now();
    let account =
        lab.solidfire().element("GetAccountByID", json!({ "accountID": volume["accountID"] })).await?;
    let secret =
        account["account"]["initiatorSecret"].as_str().context("an account has a secret")?.to_owned();
    ensure!(secret.len() >= 12, "the account's secret is too short to search for: {} bytes", secret.len());

    // The target refuses a login without it.
    let target = volume["iqn"].as_str().context("a volume has an IQN")?;
    let stranger = lab.workers().1;
    let let_in = stranger.is_let_in_without_chap(target, "192.168.0.240:3260").await?;
    ensure!(!let_in, "the target let an initiator in without CHAP");

    // And it is in no context, log, journal or command line.
    ensure!(
        !format!("{:?} {:?}", in_use.publish_context, bound.volume).contains(&secret),
        "secret in a CSI context"
    );
    let agent = worker.agent_log().await?;
    ensure!(
        agent.contains(&in_use.volume_id),
        "the agent's log does not tell of this volume: a search in it means nothing"
    );
    ensure!(
        agent.contains("iscsiadm"),
        "the agent's log shows no command line: a search in it means nothing"
    );
    ensure!(!agent.contains(&secret), "secret in the agent's log");
    ensure!(!lab.controller_log()?.contains(&secret), "secret in the controller's log");
    let journal = worker.search("/var/lib/tine", &secret).await?;
    ensure!(journal.is_empty(), "secret in the agent's records: {journal}");
    lab.timeline().row("CHAP demanded; secret searched for, not found", worker.name(), since, "");
    Ok(())
}
