//! SolidFire through the Element API: one tenant account owns the volumes, its CHAP credentials
//! open them, one target a volume.
//!
//! A volume nobody is to use is `locked`: the account's credentials open every volume of the
//! account, so that leave is given and taken by the volume's own access mode.

mod client;
mod copy;
mod start;

use std::net::SocketAddr;
use std::time::Duration;

use contract::{
    ChapCredentials, ChapPair, DeviceIdentity, FsType, IscsiAttachment, LunNumber, LunSerial, Portal,
    PublishContext, Secret, VolumeId, Wwid,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::array::{ArrayError, Owner, Pool, Provisioned, VolumeSpec, round_up};
use crate::backend::config::QosType;
use crate::store::VolumeRecord;
use client::{Client, refusal_name};

/// Smallest volume.
const MINIMUM_VOLUME: u64 = 1_000_000_000;
/// Largest volume, 16 TiB (Element API, CreateVolume).
pub(super) const LARGEST_VOLUME: u64 = 16 << 40;
/// Sizes are multiples of this.
const STEP: u64 = 1 << 20;
/// A new volume becomes active in this time or not at all.
const ACTIVE_DEADLINE: Duration = Duration::from_secs(60);
const FIRST_POLL: Duration = Duration::from_millis(100);
const SLOWEST_POLL: Duration = Duration::from_secs(2);

/// One tenant of a cluster.
#[derive(Debug)]
pub struct Element {
    client: Client,
    owner: Owner,
    svip: SocketAddr,
    /// The cluster's unique ID.
    cluster: String,
    account: u64,
    emulate_512: bool,
    types: Vec<QosType>,
    pools: Vec<Pool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    #[serde(rename = "volumeID")]
    id: u64,
    name: String,
    #[serde(rename = "accountID")]
    account: u64,
    #[serde(default)]
    status: String,
    #[serde(default)]
    access: String,
    #[serde(default)]
    iqn: String,
    total_size: u64,
    #[serde(default, rename = "scsiNAADeviceID")]
    naa: String,
    #[serde(default, rename = "scsiEUIDeviceID")]
    eui: String,
    #[serde(default)]
    attributes: Value,
}

#[derive(Debug, Deserialize)]
struct Volumes {
    #[serde(default)]
    volumes: Vec<Volume>,
}

#[derive(Debug, Deserialize)]
struct Created {
    #[serde(rename = "volumeID")]
    id: u64,
}

#[derive(Debug, Deserialize)]
struct AccountAnswer {
    account: Account,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    #[serde(rename = "accountID")]
    id: u64,
    username: String,
    #[serde(default)]
    initiator_secret: String,
}

impl Element {
    pub(super) fn default_name(&self) -> String {
        format!("solidfire_{}", self.svip.ip())
    }

    pub(super) fn identity(&self) -> String {
        format!("cluster {} account {}", self.cluster, self.account)
    }

    pub(super) fn pools(&self) -> &[Pool] {
        &self.pools
    }

    pub(super) async fn ensure_volume(&self, spec: &VolumeSpec) -> Result<Provisioned, ArrayError> {
        let id = match self.find_by_name(&spec.internal_name, &spec.id).await? {
            Some(found) => found.id,
            None => self.create(spec).await?,
        };
        let volume = self.await_active(id, &spec.internal_name).await?;
        Ok(Provisioned { array_id: volume.id.to_string(), size: volume.total_size })
    }

    async fn create(&self, spec: &VolumeSpec) -> Result<u64, ArrayError> {
        let mut params = json!({
            "name": spec.internal_name,
            "accountID": self.account,
            "totalSize": spec.size,
            "enable512e": self.emulate_512,
            "attributes": self.attributes(spec),
        });
        if let (Some(qos), Some(params)) = (self.qos_of(&spec.pool), params.as_object_mut()) {
            params.insert("qos".to_owned(), qos);
        }
        let created: Created =
            self.client.call("CreateVolume", params).await.map_err(|error| full(error, &spec.pool))?;
        Ok(created.id)
    }

    /// The mark of a volume of ours, and what people like to know.
    fn attributes(&self, spec: &VolumeSpec) -> Value {
        json!({
            "tine-controller": self.owner.controller,
            "tine-volume": spec.id,
            "fstype": spec.filesystem.map_or("raw", FsType::as_str),
            "provisioning": "thin",
        })
    }

    /// What volumes of a Type may do; absent: the cluster's default.
    fn qos_of(&self, pool: &str) -> Option<Value> {
        let qos = self.types.iter().find(|qos| qos.name == pool)?;
        Some(json!({"minIOPS": qos.min_iops, "maxIOPS": qos.max_iops, "burstIOPS": qos.burst_iops}))
    }

    async fn await_active(&self, id: u64, name: &str) -> Result<Volume, ArrayError> {
        let started = tokio::time::Instant::now();
        let mut pause = FIRST_POLL;
        loop {
            if let Some(volume) = self.find_by_id(id).await?
                && volume.status == "active"
            {
                return Ok(volume);
            }
            if started.elapsed() + pause > ACTIVE_DEADLINE {
                let call = format!("the making of {name}");
                return Err(ArrayError::Deadline { call, after: ACTIVE_DEADLINE });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(SLOWEST_POLL);
        }
    }

    pub(super) async fn ensure_no_volume(&self, volume: &VolumeRecord) -> Result<(), ArrayError> {
        let found = match known_id(volume) {
            Some(id) => self.find_by_id(id).await?,
            None => self.find_by_name(&volume.internal_name, &volume.id).await?,
        };
        // Deleted and purged volumes are not listed any more.
        let Some(found) = found else { return Ok(()) };
        self.require_ours(&found, &volume.id)?;
        for method in ["DeleteVolume", "PurgeDeletedVolume"] {
            if method == "DeleteVolume" && found.status == "deleted" {
                continue;
            }
            match self.client.call::<Value>(method, json!({ "volumeID": found.id })).await {
                Err(error) if refusal_name(&error) == Some("xVolumeIDDoesNotExist") => return Ok(()),
                other => other.map(drop)?,
            }
        }
        Ok(())
    }

    pub(super) async fn ensure_access(&self, volume: &VolumeRecord) -> Result<PublishContext, ArrayError> {
        let found = self.require(volume).await?;
        if found.access != "readWrite" {
            self.set_access(found.id, "readWrite").await?;
        }
        let unexpected = |problem: String| ArrayError::Unexpected { call: "ListVolumes".to_owned(), problem };
        let serial: LunSerial = found.eui.parse().map_err(|error| unexpected(format!("{error}")))?;
        let wwid: Wwid = format!("3{}", found.naa.to_ascii_lowercase())
            .parse()
            .map_err(|error| unexpected(format!("{error}")))?;
        let target = found.iqn.parse().map_err(|error| unexpected(format!("{error}")))?;
        Ok(PublishContext::Iscsi(IscsiAttachment {
            target,
            portals: vec![Portal {
                address: self.svip.ip(),
                port: self.svip.port(),
                tag: Portal::UNKNOWN_TAG,
            }],
            lun: LunNumber(0),
            identity: DeviceIdentity { wwid, serial },
            size: found.total_size,
            authenticated: true,
            default_fs: volume.filesystem.unwrap_or(FsType::Ext4),
        }))
    }

    /// Locks the volume. No other node has it: `Array::shares_devices` keeps them out.
    pub(super) async fn ensure_no_access(&self, volume: &VolumeRecord) -> Result<(), ArrayError> {
        let found = match known_id(volume) {
            Some(id) => self.find_by_id(id).await?,
            None => self.find_by_name(&volume.internal_name, &volume.id).await?,
        };
        let Some(found) = found.filter(|found| found.status == "active") else { return Ok(()) };
        self.require_ours(&found, &volume.id)?;
        if found.access == "locked" {
            return Ok(());
        }
        self.set_access(found.id, "locked").await?;
        // The answer to the change is no evidence: ask.
        match self.find_by_id(found.id).await? {
            Some(now) if now.status == "active" && now.access != "locked" => Err(ArrayError::Unexpected {
                call: "ModifyVolume".to_owned(),
                problem: format!("volume {} is still {}", now.id, now.access),
            }),
            _ => Ok(()),
        }
    }

    async fn set_access(&self, id: u64, access: &str) -> Result<(), ArrayError> {
        let params = json!({ "volumeID": id, "access": access });
        self.client.call::<Value>("ModifyVolume", params).await.map(drop)
    }

    /// The tenant's credentials, as they are now: they may be rotated on the cluster.
    pub(super) async fn chap(&self) -> Result<ChapCredentials, ArrayError> {
        let params = json!({ "accountID": self.account });
        let answer: AccountAnswer = self.client.call("GetAccountByID", params).await?;
        let secret = Secret::new(answer.account.initiator_secret);
        Ok(ChapCredentials {
            initiator: ChapPair { username: answer.account.username, secret },
            target: None,
        })
    }

    async fn require(&self, volume: &VolumeRecord) -> Result<Volume, ArrayError> {
        let found = match known_id(volume) {
            Some(id) => self.find_by_id(id).await?,
            None => self.find_by_name(&volume.internal_name, &volume.id).await?,
        };
        let found = found.filter(|found| found.status == "active");
        let found =
            found.ok_or_else(|| ArrayError::Missing { what: format!("volume {}", volume.internal_name) })?;
        self.require_ours(&found, &volume.id)?;
        Ok(found)
    }

    async fn find_by_id(&self, id: u64) -> Result<Option<Volume>, ArrayError> {
        let params = json!({ "volumeIDs": [id], "accounts": [self.account] });
        match self.client.call::<Volumes>("ListVolumes", params).await {
            Ok(found) => Ok(found.volumes.into_iter().find(|volume| volume.id == id)),
            Err(error) if refusal_name(&error) == Some("xVolumeIDDoesNotExist") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Names are not unique on a cluster: ours is the one that carries our mark.
    async fn find_by_name(&self, name: &str, id: &VolumeId) -> Result<Option<Volume>, ArrayError> {
        let params = json!({ "accountID": self.account });
        let found: Volumes = self.client.call("ListVolumesForAccount", params).await?;
        Ok(found
            .volumes
            .into_iter()
            .filter(|volume| volume.status != "deleted")
            .find(|volume| volume.name == name && self.is_ours(volume, id)))
    }

    fn is_ours(&self, volume: &Volume, id: &VolumeId) -> bool {
        let attribute = |name: &str| volume.attributes.get(name).and_then(Value::as_str);
        volume.account == self.account
            && attribute("tine-controller") == Some(self.owner.controller.to_string().as_str())
            && attribute("tine-volume") == Some(id.as_str())
    }

    fn require_ours(&self, volume: &Volume, id: &VolumeId) -> Result<(), ArrayError> {
        if self.is_ours(volume, id) {
            return Ok(());
        }
        Err(ArrayError::Foreign { name: format!("volume {} ({})", volume.name, volume.id) })
    }
}

/// A refusal for want of room says so.
fn full(error: ArrayError, pool: &str) -> ArrayError {
    match error {
        ArrayError::Refused { code, message, .. }
            if code.starts_with("xMax")
                || matches!(code.as_str(), "xExceededLimit" | "xSliceServiceFull" | "xNotEnoughSpace") =>
        {
            ArrayError::Full { pool: pool.to_owned(), code, message }
        }
        other => other,
    }
}

fn known_id(volume: &VolumeRecord) -> Option<u64> {
    volume.array_id.as_deref().and_then(|id| id.parse().ok())
}

/// What the cluster makes of a size.
pub(super) fn rounded(size: u64) -> u64 {
    round_up(size.max(MINIMUM_VOLUME), STEP)
}
