//! What calls of solidfire-sim's API take: pages of its volumes, from the first to the last.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use clap::Parser as _;
use serde_json::{Value, json};
use solidfire_sim::{Arguments, start};

use crate::client::Client;
use crate::{Line, Times, line};

/// Volumes of a page.
const PAGE: usize = 1000;
/// An account has no more.
const PER_ACCOUNT: usize = 2000;

/// Starts a cluster and measures with these numbers of volumes, ascending.
pub(crate) async fn run(volumes: &[usize], samples: usize) -> Result<Vec<Line>> {
    let most = volumes.iter().copied().max().unwrap_or_default().saturating_add(1).to_string();
    let flags = Arguments::try_parse_from(["solidfire-sim", "--seed", "7", "--max-volumes", &most])?;
    let mut starts = Times::default();
    for _ in 0..samples.min(21) {
        let begun = Instant::now();
        let running = start(flags.clone()).await?;
        starts.push(begun.elapsed());
        running.stop().await;
    }
    let mut lines = vec![line(0, "start to serving", starts.take())];
    let running = start(flags).await?;
    let client = Client::new(running.ca_pem(), running.management(), "admin")?;
    let mut there = 0;
    for volumes in volumes.iter().copied() {
        fill(&client, there, volumes).await?;
        there = there.max(volumes);
        lines.extend(measure(&client, there, samples).await?);
    }
    running.stop().await;
    Ok(lines)
}

async fn call(client: &Client, method: &str, params: Value) -> Result<Vec<u8>> {
    client.post("/json-rpc/12.5", &json!({"method": method, "params": params, "id": 1})).await
}

async fn result(client: &Client, method: &str, params: Value) -> Result<Value> {
    let mut envelope: Value = serde_json::from_slice(&call(client, method, params).await?)?;
    ensure!(envelope["error"].is_null(), "{method}: {envelope}");
    Ok(envelope["result"].take())
}

/// Volumes get the numbers from 1 on.
async fn fill(client: &Client, from: usize, to: usize) -> Result<()> {
    for number in from..to {
        if number.is_multiple_of(PER_ACCOUNT) {
            result(client, "AddAccount", json!({"username": format!("tenant-{number}")})).await?;
        }
        result(client, "CreateVolume", volume(number / PER_ACCOUNT + 1, &format!("vol-{number}"))).await?;
    }
    Ok(())
}

fn volume(account: usize, name: &str) -> Value {
    json!({"name": name, "accountID": account, "totalSize": 1_000_000_000, "enable512e": true})
}

async fn measure(client: &Client, volumes: usize, samples: usize) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut times = Times::default();
    for sample in 0..samples {
        let id = sample.wrapping_mul(7919) % volumes + 1;
        times.time(call(client, "ListVolumes", json!({"volumeIDs": [id]}))).await?;
    }
    lines.push(line(volumes, "ListVolumes, one by ID", times.take()));
    let last = volumes.saturating_sub(PAGE);
    for (name, before) in [("ListVolumes, first page of 1000", 0), ("ListVolumes, last page of 1000", last)] {
        let page = json!({"startVolumeID": before + 1, "limit": PAGE});
        let listed = result(client, "ListVolumes", page.clone()).await?;
        let listed = listed["volumes"].as_array().context("no list")?.len();
        ensure!(listed == PAGE.min(volumes), "a page of {listed}");
        for _ in 0..samples.min(51) {
            times.time(call(client, "ListVolumes", page.clone())).await?;
        }
        lines.push(line(volumes, name, times.take()));
    }
    let account = result(client, "AddAccount", json!({"username": format!("bench-{volumes}")})).await?;
    let account = account["accountID"].as_u64().context("no account")? as usize;
    for sample in 0..samples {
        let begun = Instant::now();
        let created = result(client, "CreateVolume", volume(account, &format!("new-{sample}"))).await?;
        times.push(begun.elapsed());
        let id = json!({"volumeID": created["volumeID"]});
        result(client, "DeleteVolume", id.clone()).await?;
        result(client, "PurgeDeletedVolume", id).await?;
    }
    lines.push(line(volumes, "CreateVolume", times.take()));
    Ok(lines)
}
