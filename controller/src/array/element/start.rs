//! Is what the backend file says true of this cluster?

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, refusal_name};
use super::{AccountAnswer, Element};
use crate::array::{ArrayError, Owner, Pool, http};
use crate::backend::config::{BackendConfig, ConfigError, SolidFireConfig};

/// Pool of a backend without `Types`: volumes get the cluster's own default QoS.
const DEFAULT_POOL: &str = "SolidFire-default";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClusterInfoAnswer {
    cluster_info: ClusterInfo,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClusterInfo {
    #[serde(default)]
    svip: String,
    #[serde(rename = "uniqueID")]
    unique_id: String,
    #[serde(default)]
    encryption_at_rest_state: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VirtualNetworks {
    #[serde(default)]
    virtual_networks: Vec<VirtualNetwork>,
}

#[derive(Debug, Deserialize)]
struct VirtualNetwork {
    #[serde(default)]
    svip: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DefaultQos {
    #[serde(rename = "minIOPS")]
    min_iops: u64,
    #[serde(rename = "maxIOPS")]
    max_iops: u64,
}

impl Element {
    pub(in crate::array) async fn start(
        config: &BackendConfig,
        solidfire: &SolidFireConfig,
        owner: Owner,
    ) -> Result<Self, ConfigError> {
        let client = Client::new(solidfire).map_err(|error| {
            let problem = format!("cannot be used for TLS ({error}): write the cluster's certificate");
            config.fault_at("TrustedCACertificate", problem)
        })?;
        let failed = |error: ArrayError| failed(config, solidfire, &error);
        let info: ClusterInfoAnswer = client.call("GetClusterInfo", json!({})).await.map_err(failed)?;
        require_svip(config, solidfire, &client, &info.cluster_info.svip).await?;
        let account = ensure_account(&client, &solidfire.tenant).await.map_err(failed)?;
        let encrypted = info.cluster_info.encryption_at_rest_state == "enabled";
        let pools = pools(config, solidfire, &client, encrypted).await.map_err(failed)?;
        Ok(Self {
            client,
            owner,
            svip: solidfire.svip,
            cluster: info.cluster_info.unique_id,
            account,
            emulate_512: solidfire.emulate_512,
            types: solidfire.types.clone(),
            pools,
        })
    }
}

fn failed(config: &BackendConfig, solidfire: &SolidFireConfig, error: &ArrayError) -> ConfigError {
    let address = solidfire.endpoint.host_str().unwrap_or_default();
    let problem = match error {
        ArrayError::Unreachable { source, .. } => format!(
            "{address} cannot be reached ({}): check the MVIP in it, and that HTTPS is open there",
            http::why_unreachable(source)
        ),
        ArrayError::Unauthorized { .. } => format!(
            "{address} does not accept user {} with this password: correct the user or the password in it",
            solidfire.username
        ),
        other => format!("{address} does not answer as an Element API: {}", telemetry::chain(other)),
    };
    config.fault_at("Endpoint", problem)
}

/// The storage address must be the cluster's own or that of one of its virtual networks.
async fn require_svip(
    config: &BackendConfig,
    solidfire: &SolidFireConfig,
    client: &Client,
    cluster: &str,
) -> Result<(), ConfigError> {
    let wanted = solidfire.svip.ip().to_string();
    let mut known = vec![cluster.to_owned()];
    if cluster != wanted {
        match client.call::<VirtualNetworks>("ListVirtualNetworks", json!({})).await {
            Ok(found) => known.extend(found.virtual_networks.into_iter().map(|network| network.svip)),
            Err(error) if refusal_name(&error).is_some() => {}
            Err(error) => return Err(failed(config, solidfire, &error)),
        }
    }
    if known.contains(&wanted) {
        return Ok(());
    }
    let problem =
        format!("{wanted} is not a storage address of this cluster: write one of {}", known.join(", "));
    Err(config.fault_at("SVIP", problem))
}

/// The tenant's account, made on first use.
async fn ensure_account(client: &Client, tenant: &str) -> Result<u64, ArrayError> {
    let find = || client.call::<AccountAnswer>("GetAccountByName", json!({ "username": tenant }));
    match find().await {
        Ok(found) => return Ok(found.account.id),
        Err(error) if refusal_name(&error) == Some("xUnknownAccount") => {}
        Err(error) => return Err(error),
    }
    match client.call::<Value>("AddAccount", json!({ "username": tenant })).await {
        Err(error) if refusal_name(&error) == Some("xDuplicateUsername") => {}
        other => other.map(drop)?,
    }
    Ok(find().await?.account.id)
}

async fn pools(
    config: &BackendConfig,
    solidfire: &SolidFireConfig,
    client: &Client,
    encrypted: bool,
) -> Result<Vec<Pool>, ArrayError> {
    let mut offered: Vec<_> =
        solidfire.types.iter().map(|qos| (qos.name.clone(), qos.min_iops..=qos.max_iops)).collect();
    if offered.is_empty() {
        let default: DefaultQos = client.call("GetDefaultQoS", json!({})).await?;
        offered.push((DEFAULT_POOL.to_owned(), default.min_iops..=default.max_iops));
    }
    let fixed = [
        ("backendType", config.driver_name()),
        ("media", "ssd"),
        ("provisioningType", "thin"),
        ("snapshots", "true"),
        ("clones", "true"),
        ("encryption", if encrypted { "true" } else { "false" }),
    ];
    let attributes: BTreeMap<String, String> = fixed
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .chain(config.offered.clone())
        .collect();
    Ok(offered
        .into_iter()
        .map(|(name, iops)| Pool { name, attributes: attributes.clone(), iops: Some(iops) })
        .collect())
}
