//! Is what the backend file says true of this array? Each answer that is "no" names the field.

use std::collections::BTreeMap;
use std::net::IpAddr;

use contract::Iqn;
use serde::Deserialize;
use serde_json::json;

use super::client::Client;
use super::{Driver, Ontap};
use crate::array::{ArrayError, Owner, Pool, http};
use crate::backend::config::{
    BackendConfig, ConfigError, ExportAccess, OntapChap, OntapConnection, OntapProtocol, SpaceReserve,
};
use crate::locks::Locks;

/// Oldest release whose REST API has all that is used here.
const MINIMUM_VERSION: (u32, u32, u32) = (9, 12, 1);

#[derive(Debug, Deserialize)]
struct Cluster {
    version: Version,
}

#[derive(Debug, Deserialize)]
struct Version {
    generation: u32,
    major: u32,
    #[serde(default)]
    minor: u32,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
    uuid: String,
}

#[derive(Debug, Deserialize)]
struct Svm {
    #[serde(default)]
    state: String,
    #[serde(default)]
    aggregates: Vec<NameOnly>,
}

#[derive(Debug, Deserialize)]
struct NameOnly {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Aggregate {
    name: String,
    #[serde(default)]
    block_storage: BlockStorage,
}

#[derive(Debug, Default, Deserialize)]
struct BlockStorage {
    #[serde(default)]
    primary: Primary,
}

#[derive(Debug, Default, Deserialize)]
struct Primary {
    #[serde(default)]
    disk_type: String,
}

#[derive(Debug, Deserialize)]
struct IscsiService {
    #[serde(default)]
    enabled: bool,
    target: NameOnly,
}

#[derive(Debug, Deserialize)]
struct IscsiCredentials {
    #[serde(default)]
    authentication_type: String,
    #[serde(default)]
    chap: ChapUsers,
}

#[derive(Debug, Default, Deserialize)]
struct ChapUsers {
    #[serde(default)]
    inbound: ChapUser,
    #[serde(default)]
    outbound: ChapUser,
}

#[derive(Debug, Default, Deserialize)]
struct ChapUser {
    #[serde(default)]
    user: String,
}

/// What is needed to say which field is wrong.
struct Check<'c> {
    config: &'c BackendConfig,
    connection: &'c OntapConnection,
    client: &'c Client,
}

impl Ontap {
    pub(in crate::array) async fn start(
        config: &BackendConfig,
        connection: &OntapConnection,
        protocol: &OntapProtocol,
        owner: Owner,
    ) -> Result<Self, ConfigError> {
        let client = Client::new(connection).map_err(|error| {
            let problem = format!("cannot be used for TLS ({error}): write the array's certificate");
            config.fault_at("trustedCACertificate", problem)
        })?;
        let check = Check { config, connection, client: &client };
        check.version().await?;
        let svm = check.svm().await?;
        let (service, example) = match protocol {
            OntapProtocol::Nas(_) => ("data_nfs", "NFS"),
            OntapProtocol::San(_) => ("data_iscsi", "iSCSI"),
        };
        let data_lif = check.data_lif(&svm, service, example).await?;
        let driver = match protocol {
            OntapProtocol::Nas(nas) => {
                if matches!(nas.access, ExportAccess::Administrator) {
                    check.export_policy(&svm).await?;
                }
                Driver::Nas(nas.clone())
            }
            OntapProtocol::San(chap) => {
                let target = check.target(&svm).await?;
                check.chap(&svm, chap.as_ref()).await?;
                Driver::San { target, chap: chap.as_ref().map(|chap| chap.0.clone()) }
            }
        };
        let pools = check.pools(&svm).await?;
        Ok(Self {
            owner,
            svm_name: svm.name,
            svm_uuid: svm.uuid,
            data_lif,
            pools,
            defaults: connection.defaults.clone(),
            protocol: driver,
            igroups: Locks::default(),
            client,
        })
    }
}

impl Check<'_> {
    /// An error of the connection or the credentials, at the field that holds them.
    fn failed(&self, error: ArrayError) -> ConfigError {
        let lif = &self.connection.management_lif;
        match &error {
            ArrayError::Unreachable { source, .. } => {
                let why = http::why_unreachable(source);
                let problem = format!(
                    "{lif} cannot be reached ({why}): check the address, and that HTTPS is open on that LIF"
                );
                self.config.fault_at("managementLIF", problem)
            }
            ArrayError::Unauthorized { .. } => {
                let problem = format!(
                    "or password is not accepted by {lif} for user {}: correct username or password",
                    self.connection.username
                );
                self.config.fault_at("username", problem)
            }
            _ => {
                let problem =
                    format!("{lif} does not answer as an ONTAP REST API: {}", telemetry::chain(&error));
                self.config.fault_at("managementLIF", problem)
            }
        }
    }

    async fn version(&self) -> Result<(), ConfigError> {
        let cluster: Cluster = self
            .client
            .object("cluster", &[("fields", "version")])
            .await
            .map_err(|error| self.failed(error))?;
        let version = (cluster.version.generation, cluster.version.major, cluster.version.minor);
        if version >= MINIMUM_VERSION {
            return Ok(());
        }
        let problem = format!(
            "{} runs ONTAP {}.{}.{}: 9.12.1 or newer is needed",
            self.connection.management_lif, version.0, version.1, version.2
        );
        Err(self.config.fault_at("managementLIF", problem))
    }

    async fn svm(&self) -> Result<FoundSvm, ConfigError> {
        let wanted = self.connection.svm.as_deref();
        let found: Vec<Named> = self
            .client
            .records("svm/svms", &[("name", wanted.unwrap_or("*")), ("fields", "name,uuid")])
            .await
            .map_err(|error| self.failed(error))?;
        // The array takes `*`, `|` and `..` in a name for operators; a file means what it says.
        let found: Vec<Named> =
            found.into_iter().filter(|svm| wanted.is_none_or(|wanted| svm.name == wanted)).collect();
        let user = &self.connection.username;
        let svm = match (found.as_slice(), wanted) {
            ([svm], _) => svm,
            (_, Some(name)) => {
                let problem = format!(
                    "{name} does not exist, or user {user} may not see it: write the name of an SVM of {}",
                    self.connection.management_lif
                );
                return Err(self.config.fault_at("svm", problem));
            }
            (found, None) => {
                let names: Vec<_> = found.iter().map(|svm| svm.name.as_str()).collect();
                let problem = format!(
                    "is not set and user {user} sees {} SVMs [{}]: write one of them",
                    found.len(),
                    names.join(", ")
                );
                return Err(self.config.fault_at("svm", problem));
            }
        };
        let detail: Svm = self
            .client
            .object(&format!("svm/svms/{}", svm.uuid), &[("fields", "state,aggregates")])
            .await
            .map_err(|error| self.failed(error))?;
        if detail.state != "running" {
            let problem = format!("{} is {}, not running: start it (vserver start)", svm.name, detail.state);
            return Err(self.config.fault_at("svm", problem));
        }
        let aggregates = detail.aggregates.into_iter().map(|aggregate| aggregate.name).collect();
        Ok(FoundSvm { name: svm.name.clone(), uuid: svm.uuid.clone(), aggregates })
    }

    /// The address clients mount from; every driver needs at least one that is up.
    async fn data_lif(&self, svm: &FoundSvm, service: &str, example: &str) -> Result<IpAddr, ConfigError> {
        let lifs = super::san::data_lifs(self.client, &svm.uuid, service)
            .await
            .map_err(|error| self.failed(error))?;
        let up: Vec<IpAddr> = lifs.iter().map(|lif| lif.address).collect();
        let listed = || up.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
        match (self.connection.data_lif, up.first()) {
            (_, None) => {
                let problem = format!(
                    "cannot be served: SVM {} has no {example} data LIF that is up; create one or bring it up",
                    svm.name
                );
                Err(self.config.fault_at("dataLIF", problem))
            }
            (None, Some(first)) => Ok(*first),
            (Some(wanted), Some(_)) if up.contains(&wanted) => Ok(wanted),
            (Some(wanted), Some(_)) => {
                let problem = format!(
                    "{wanted} is not an {example} data LIF of SVM {} that is up: write one of {}",
                    svm.name,
                    listed()
                );
                Err(self.config.fault_at("dataLIF", problem))
            }
        }
    }

    async fn export_policy(&self, svm: &FoundSvm) -> Result<(), ConfigError> {
        let name = &self.connection.defaults.export_policy;
        let found = super::nas::find_policy(self.client, &svm.uuid, name)
            .await
            .map_err(|error| self.failed(error))?;
        if found.is_some() {
            return Ok(());
        }
        let problem = format!(
            "{name} does not exist on SVM {}: create that export policy, or set autoExportPolicy",
            svm.name
        );
        Err(self.config.fault_at("defaults.exportPolicy", problem))
    }

    async fn target(&self, svm: &FoundSvm) -> Result<Iqn, ConfigError> {
        let services: Vec<IscsiService> = self
            .client
            .records(
                "protocols/san/iscsi/services",
                &[("svm.uuid", svm.uuid.as_str()), ("fields", "target.name,enabled")],
            )
            .await
            .map_err(|error| self.failed(error))?;
        let unusable = |what: &str| {
            let problem = format!("{} {what}: create or start it (vserver iscsi create)", svm.name);
            self.config.fault_at("svm", problem)
        };
        match services.into_iter().next() {
            None => Err(unusable("has no iSCSI service")),
            Some(service) if !service.enabled => Err(unusable("has its iSCSI service stopped")),
            Some(service) => {
                service.target.name.parse().map_err(|_| unusable("has an iSCSI target without a valid name"))
            }
        }
    }

    /// The default credentials of the SVM's target must agree with the file. They are set where
    /// nothing is set yet; somebody else's are not overwritten.
    async fn chap(&self, svm: &FoundSvm, chap: Option<&OntapChap>) -> Result<(), ConfigError> {
        let found: Vec<IscsiCredentials> = self
            .client
            .records(
                "protocols/san/iscsi/credentials",
                &[
                    ("svm.uuid", svm.uuid.as_str()),
                    ("initiator", "default"),
                    ("fields", "authentication_type,chap.inbound.user,chap.outbound.user"),
                ],
            )
            .await
            .map_err(|error| self.failed(error))?;
        let found = found.into_iter().next();
        let kind =
            found.as_ref().map_or("none", |found| found.authentication_type.as_str()).to_ascii_lowercase();
        match (chap, kind.as_str()) {
            (None, "none") => Ok(()),
            (None, kind) => {
                let problem = format!(
                    "is not set, and SVM {} asks initiators for `{kind}`: set useCHAP and its secrets",
                    svm.name
                );
                Err(self.config.fault_at("useCHAP", problem))
            }
            (Some(OntapChap(wanted)), kind) => {
                let target = wanted.target.as_ref().map(|pair| pair.username.as_str()).unwrap_or_default();
                if let Some(found) = &found
                    && kind == "chap"
                    && (found.chap.inbound.user != wanted.initiator.username
                        || found.chap.outbound.user != target)
                {
                    let problem = format!(
                        "is not the user that SVM {} has: write {} and {} or change them there",
                        svm.name, found.chap.inbound.user, found.chap.outbound.user
                    );
                    return Err(self.config.fault_at("chapUsername", problem));
                }
                if kind == "chap" {
                    return Ok(());
                }
                self.set_chap(svm, wanted).await
            }
        }
    }

    async fn set_chap(&self, svm: &FoundSvm, wanted: &contract::ChapCredentials) -> Result<(), ConfigError> {
        let pair =
            |pair: &contract::ChapPair| json!({"user": pair.username, "password": pair.secret.expose()});
        let mut chap = json!({ "inbound": pair(&wanted.initiator) });
        if let (Some(target), Some(chap)) = (&wanted.target, chap.as_object_mut()) {
            chap.insert("outbound".to_owned(), pair(target));
        }
        let path = format!("protocols/san/iscsi/credentials/{}/default", svm.uuid);
        let body = json!({ "authentication_type": "chap", "chap": chap });
        self.client.patch(&path, body).await.map_err(|error| match error {
            ArrayError::Refused { code, message, .. } => {
                let problem =
                    format!("is refused by the array: {message} (code {code}); write other secrets");
                self.config.fault_at("chapInitiatorSecret", problem)
            }
            other => self.failed(other),
        })
    }

    async fn pools(&self, svm: &FoundSvm) -> Result<Vec<Pool>, ConfigError> {
        let mut names = svm.aggregates.clone();
        if let Some(wanted) = &self.connection.aggregate {
            if !names.contains(wanted) {
                let problem = format!(
                    "{wanted} is not assigned to SVM {}: write one of {}, or assign it (vserver modify -aggr-list)",
                    svm.name,
                    names.join(", ")
                );
                return Err(self.config.fault_at("aggregate", problem));
            }
            names.retain(|name| name == wanted);
        }
        if names.is_empty() {
            let problem =
                format!("{} has no aggregate assigned: assign one (vserver modify -aggr-list)", svm.name);
            return Err(self.config.fault_at("svm", problem));
        }
        let media = self.media().await?;
        Ok(names
            .into_iter()
            .map(|name| {
                let media = media.get(&name).map(String::as_str);
                Pool { attributes: self.attributes(media), name, iops: None }
            })
            .collect())
    }

    /// Kind of disk of each aggregate. An SVM's own administrator may not be allowed to ask: then
    /// nothing is offered, and a class that insists on a medium does not match.
    async fn media(&self) -> Result<BTreeMap<String, String>, ConfigError> {
        let query = [("fields", "block_storage.primary.disk_type")];
        match self.client.records::<Aggregate>("storage/aggregates", &query).await {
            Ok(aggregates) => Ok(aggregates
                .into_iter()
                .map(|aggregate| (aggregate.name, aggregate.block_storage.primary.disk_type))
                .filter(|(_, media)| matches!(media.as_str(), "ssd" | "hdd" | "hybrid"))
                .collect()),
            Err(ArrayError::Refused { code, .. }) => {
                tracing::info!(code, "aggregates cannot be asked for their disks: no media is offered");
                Ok(BTreeMap::new())
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    fn attributes(&self, media: Option<&str>) -> BTreeMap<String, String> {
        let provisioning = match self.connection.defaults.space_reserve {
            SpaceReserve::None => "thin",
            SpaceReserve::Volume => "thick",
        };
        let fixed = [
            ("backendType", self.config.driver_name()),
            ("provisioningType", provisioning),
            ("snapshots", "true"),
            ("clones", "true"),
            ("encryption", "false"),
        ];
        let fixed = fixed.into_iter().chain(media.map(|media| ("media", media)));
        fixed
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .chain(self.config.offered.clone())
            .collect()
    }
}

struct FoundSvm {
    name: String,
    uuid: String,
    aggregates: Vec<String>,
}
