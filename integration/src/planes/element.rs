//! A simulated SolidFire cluster on fabric A, spoken to as its administrator, and a node's sessions
//! with its volumes.

use anyhow::{Context as _, Result, ensure};
use clap::Parser as _;
use reqwest::Client;
use serde_json::{Value, json};
use solidfire_sim::{Arguments, Running};
use vm::Guest;

use crate::bare::script;

/// The SVIP.
pub const SVIP: &str = "192.168.0.101:3260";

/// A cluster and its administrator.
#[derive(Debug)]
pub struct Element {
    /// The cluster.
    pub running: Running,
    client: Client,
}

impl Element {
    /// Starts a cluster whose SVIP is [`SVIP`], with these flags besides.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(more: &[&str]) -> Result<Self> {
        // A provider can be installed once; another part of this process may have been first.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let arguments = ["solidfire-sim", "--svip", SVIP].into_iter().chain(more.iter().copied());
        let running = solidfire_sim::start(Arguments::try_parse_from(arguments)?).await?;
        let ca = reqwest::Certificate::from_pem(running.ca_pem().as_bytes())?;
        let client = Client::builder().tls_certs_only([ca]).build()?;
        Ok(Self { running, client })
    }

    /// Calls a method; its result.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value> {
        let url = format!("https://{}/json-rpc/12.5", self.running.management());
        let body = json!({"method": method, "params": params, "id": 1}).to_string();
        let request = self.client.post(url).basic_auth("admin", Some("admin")).body(body);
        let mut envelope: Value = serde_json::from_str(&request.send().await?.text().await?)?;
        ensure!(envelope["error"].is_null(), "{method}: {envelope}");
        Ok(envelope["result"].take())
    }

    /// What the control endpoint answers at `path`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn control(&self, path: &str) -> Result<Value> {
        let url = format!("http://{}/sim/v1/{path}", self.running.control());
        Ok(serde_json::from_str(&self.client.get(url).send().await?.text().await?)?)
    }

    /// A new volume of 1 GB with 512-byte blocks: its number and IQN.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub async fn create_volume(&self, name: &str, account: u64) -> Result<(u64, String)> {
        let params =
            json!({"name": name, "accountID": account, "totalSize": 1_000_000_000, "enable512e": true});
        let volume = self.call("CreateVolume", params).await?["volume"].take();
        let id = volume["volumeID"].as_u64().context("a volume without number")?;
        Ok((id, volume["iqn"].as_str().context("a volume without IQN")?.to_owned()))
    }
}

/// A script that makes the node's record of a target at the SVIP anew, with these settings of
/// `node.session.auth`.
pub fn record(iqn: &str, auth: &[(&str, &str)]) -> String {
    let update = |(key, value): &(&str, &str)| {
        format!("iscsiadm -m node -T {iqn} -p {SVIP} -o update -n node.session.auth.{key} -v '{value}' >&2\n")
    };
    let updates: String = auth.iter().map(update).collect();
    format!("iscsiadm -m node -T {iqn} -p {SVIP} -o new >&2\n{updates}")
}

/// A script that logs in by the record.
pub fn log_in(iqn: &str) -> String {
    format!("iscsiadm -m node -T {iqn} -p {SVIP} --login >&2\n")
}

/// A script that logs out and forgets the record.
pub fn log_out(iqn: &str) -> String {
    format!("iscsiadm -m node -T {iqn} --logout >&2; iscsiadm -m node -T {iqn} -o delete >&2\n")
}

/// Logs in with this record; the path of the disk.
///
/// # Errors
/// When the login fails, or no disk comes.
pub async fn attach(guest: &Guest, iqn: &str, auth: &[(&str, &str)]) -> Result<String> {
    let find = format!(
        "for host in /sys/class/iscsi_host/*; do
            echo '- - -' >/sys/class/scsi_host/$(basename $host)/scan
        done
        udevadm settle
        for session in /sys/class/iscsi_session/session*; do
            [ \"$(cat $session/targetname)\" = {iqn} ] || continue
            basename $session/device/target*/*/block/*
        done"
    );
    let found = script(guest, &format!("{}{}{find}", record(iqn, auth), log_in(iqn))).await?;
    let device = found.trim();
    ensure!(device.starts_with("sd"), "no disk of {iqn}: {device:?}");
    Ok(format!("/dev/{device}"))
}
