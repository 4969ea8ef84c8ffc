//! Blocks: one LUN a FlexVol, one igroup a node, the portals that reach the LUN.

use std::net::IpAddr;

use contract::{
    DeviceIdentity, FsType, Iqn, IscsiAttachment, LunNumber, LunSerial, NodeId, Portal, PublishContext, Wwid,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Ontap;
use super::client::{Client, code, tolerate};
use super::flexvol::FlexVol;
use crate::array::{ArrayError, Guest, Origin, Provisioned, VolumeSpec};
use crate::naming;
use crate::store::VolumeRecord;

/// iSCSI's port; ONTAP's LIFs have no other.
const ISCSI_PORT: u16 = 3260;
/// NAA type 6 and the vendor's company id: with the LUN's serial it makes the designator of VPD page 0x83.
const NAA_PREFIX: [u8; 4] = [0x60, 0x0a, 0x09, 0x80];
/// LUN attribute in which the filesystem is noted for people.
const FILESYSTEM_ATTRIBUTE: &str = "com.netapp.ndvp.fstype";

/// A data LIF that is up.
#[derive(Debug)]
pub(super) struct DataLif {
    pub(super) address: IpAddr,
    node: String,
}

#[derive(Debug, Deserialize)]
struct Interface {
    #[serde(default)]
    ip: Address,
    #[serde(default)]
    state: String,
    #[serde(default)]
    location: Location,
}

#[derive(Debug, Default, Deserialize)]
struct Address {
    #[serde(default)]
    address: String,
}

#[derive(Debug, Default, Deserialize)]
struct Location {
    #[serde(default)]
    node: Name,
}

#[derive(Debug, Default, Deserialize)]
struct Name {
    #[serde(default)]
    name: String,
}

#[derive(Debug, Deserialize)]
struct Lun {
    uuid: String,
    name: String,
    serial_number: String,
    space: Space,
    #[serde(default)]
    location: Location,
    #[serde(default)]
    attributes: Vec<Attribute>,
}

#[derive(Debug, Deserialize)]
struct Space {
    size: u64,
}

#[derive(Debug, Deserialize)]
struct Attribute {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Debug, Deserialize)]
struct Igroup {
    uuid: String,
    name: String,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    initiators: Vec<Name>,
}

/// What stands in the comment of an igroup of ours.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Comment {
    tine: Mark,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    controller: Uuid,
    node: NodeId,
}

#[derive(Debug, Deserialize)]
struct LunMap {
    lun: Name,
    igroup: Name,
    logical_unit_number: u16,
}

/// A LUN's own metadata takes room in its volume: one tenth more.
fn with_metadata(size: u64) -> u64 {
    size.saturating_mul(11).div_ceil(10)
}

/// Data LIFs of the SVM that are up and serve `service`.
pub(super) async fn data_lifs(client: &Client, svm: &str, service: &str) -> Result<Vec<DataLif>, ArrayError> {
    let query = [("svm.uuid", svm), ("services", service), ("fields", "ip.address,state,location.node.name")];
    let found: Vec<Interface> = client.records("network/ip/interfaces", &query).await?;
    Ok(found
        .into_iter()
        .filter(|interface| interface.state == "up")
        .filter_map(|interface| {
            let address = interface.ip.address.parse().ok()?;
            Some(DataLif { address, node: interface.location.node.name })
        })
        .collect())
}

impl Ontap {
    pub(super) async fn ensure_lun(&self, spec: &VolumeSpec) -> Result<Provisioned, ArrayError> {
        self.ensure_flexvol(spec, with_metadata(spec.size), None).await?;
        let path = lun_path(&spec.internal_name);
        let filesystem = spec.filesystem.map_or("raw", FsType::as_str);
        let lun = match self.find_lun(&path).await? {
            Some(lun) => lun,
            None => {
                let body = json!({
                    "name": path,
                    "svm": { "uuid": self.svm_uuid },
                    "os_type": "linux",
                    "space": {
                        "size": spec.size,
                        "guarantee": { "requested": false },
                        "scsi_thin_provisioning_support_enabled": self.defaults.space_allocation,
                    },
                });
                tolerate(self.client.post("storage/luns", &[], body).await, &[code::LUN_EXISTS])?;
                self.require_lun(&path).await?
            }
        };
        self.ensure_attribute(&lun, FILESYSTEM_ATTRIBUTE, filesystem).await?;
        Ok(Provisioned { array_id: lun.uuid, size: lun.space.size })
    }

    /// The clone of the FlexVol brings a LUN with it, of an identity of its own and mapped to nobody.
    pub(super) async fn ensure_lun_copy(
        &self,
        spec: &VolumeSpec,
        origin: &Origin,
    ) -> Result<Provisioned, ArrayError> {
        let made = self.ensure_clone(spec, origin, Map::new()).await?;
        let size = self.ensure_lun_size(&made, spec.size).await?;
        let lun = self.require_lun(&lun_path(&spec.internal_name)).await?;
        let filesystem = spec.filesystem.map_or("raw", FsType::as_str);
        self.ensure_attribute(&lun, FILESYSTEM_ATTRIBUTE, filesystem).await?;
        Ok(Provisioned { array_id: lun.uuid, size })
    }

    /// Makes the LUN of a volume at least `size` bytes, first the room for it; bytes it then has.
    pub(super) async fn ensure_lun_size(&self, volume: &FlexVol, size: u64) -> Result<u64, ArrayError> {
        let lun = self.require_lun(&lun_path(&volume.name)).await?;
        if lun.space.size >= size {
            return Ok(lun.space.size);
        }
        self.ensure_room(volume, with_metadata(size)).await?;
        let path = format!("storage/luns/{}", lun.uuid);
        self.client.patch(&path, json!({ "space": { "size": size } })).await?;
        Ok(self.require_lun(&lun_path(&volume.name)).await?.space.size)
    }

    async fn ensure_attribute(&self, lun: &Lun, name: &str, value: &str) -> Result<(), ArrayError> {
        let path = format!("storage/luns/{}/attributes", lun.uuid);
        match lun.attributes.iter().find(|attribute| attribute.name == name) {
            Some(found) if found.value == value => Ok(()),
            Some(_) => self.client.patch(&format!("{path}/{name}"), json!({ "value": value })).await,
            None => self.client.post(&path, &[], json!({ "name": name, "value": value })).await.map(drop),
        }
    }

    async fn find_lun(&self, path: &str) -> Result<Option<Lun>, ArrayError> {
        let query = [
            ("svm.uuid", self.svm_uuid.as_str()),
            ("name", path),
            ("fields", "name,serial_number,space.size,location.node.name,attributes.name,attributes.value"),
        ];
        Ok(self.client.records("storage/luns", &query).await?.into_iter().find(|lun: &Lun| lun.name == path))
    }

    async fn require_lun(&self, path: &str) -> Result<Lun, ArrayError> {
        let found = self.find_lun(path).await?;
        found.ok_or_else(|| ArrayError::Missing { what: format!("LUN {path} of SVM {}", self.svm_name) })
    }

    pub(super) async fn ensure_mapped(
        &self,
        target: &Iqn,
        authenticated: bool,
        volume: &VolumeRecord,
        guest: &Guest,
    ) -> Result<PublishContext, ArrayError> {
        let Some(iqn) = &guest.iqn else {
            let reason = format!(
                "node {} has registered no iSCSI initiator name: install and start open-iscsi there, then restart its agent",
                guest.node
            );
            return Err(ArrayError::NoAccess { reason });
        };
        self.require_flexvol(&volume.internal_name, &volume.id).await?;
        let path = lun_path(&volume.internal_name);
        let lun = self.require_lun(&path).await?;
        let identity = identity_of(&lun)?;
        let igroup_name = naming::igroup(&guest.node, self.owner.controller);
        let (number, igroup) = {
            let _held = self.igroups.lock(&igroup_name).await;
            let igroup = self.ensure_igroup(&igroup_name, &guest.node, iqn).await?;
            (self.ensure_map(&path, &igroup_name).await?, igroup)
        };
        let portals = self.portals(&lun, &igroup).await?;
        if portals.is_empty() {
            let reason = format!(
                "no iSCSI LIF of SVM {} on a node that reports LUN {path} is up: bring one up",
                self.svm_name
            );
            return Err(ArrayError::NoAccess { reason });
        }
        Ok(PublishContext::Iscsi(IscsiAttachment {
            target: target.clone(),
            portals,
            lun: LunNumber(number),
            identity,
            size: lun.space.size,
            authenticated,
            default_fs: volume.filesystem.unwrap_or(self.defaults.filesystem),
        }))
    }

    pub(super) async fn ensure_not_mapped(
        &self,
        volume: &VolumeRecord,
        guest: &Guest,
    ) -> Result<(), ArrayError> {
        let name = naming::igroup(&guest.node, self.owner.controller);
        let _held = self.igroups.lock(&name).await;
        let Some(igroup) = self.find_igroup(&name).await? else { return Ok(()) };
        let path = lun_path(&volume.internal_name);
        if let Some(found) = self.find_flexvol(&volume.internal_name).await? {
            self.require_ours(&volume.internal_name, &volume.id, &found)?;
        }
        if let Some(lun) = self.find_lun(&path).await? {
            let map = format!("protocols/san/lun-maps/{}/{}", lun.uuid, igroup.uuid);
            tolerate(self.client.delete(&map).await, &[code::MISSING, code::MAP_MISSING])?;
            // The answer to the deletion is no evidence: ask.
            if self.find_map(&path, &name).await?.is_some() {
                return Err(ArrayError::Unexpected {
                    call: format!("DELETE {map}"),
                    problem: "the LUN is still mapped".to_owned(),
                });
            }
        }
        let query = [("svm.uuid", self.svm_uuid.as_str()), ("igroup.name", name.as_str())];
        let left: Vec<Value> = self.client.records("protocols/san/lun-maps", &query).await?;
        if left.is_empty() && self.is_ours(&igroup, &guest.node) {
            let gone = self.client.delete(&format!("protocols/san/igroups/{}", igroup.uuid)).await;
            tolerate(gone, &[code::MISSING, code::IGROUP_MISSING, code::IGROUP_MAPPED])?;
        }
        Ok(())
    }

    async fn find_igroup(&self, name: &str) -> Result<Option<Igroup>, ArrayError> {
        let query = [
            ("svm.uuid", self.svm_uuid.as_str()),
            ("name", name),
            ("fields", "uuid,name,comment,initiators.name"),
        ];
        Ok(self
            .client
            .records("protocols/san/igroups", &query)
            .await?
            .into_iter()
            .find(|igroup: &Igroup| igroup.name == name))
    }

    /// Whether the mark in an igroup's comment is this controller's, for this node.
    fn is_ours(&self, igroup: &Igroup, node: &NodeId) -> bool {
        let wanted = Mark { controller: self.owner.controller, node: node.clone() };
        serde_json::from_str::<Comment>(&igroup.comment).is_ok_and(|comment| comment.tine == wanted)
    }

    /// The node's igroup, holding its initiator and no other: of one that carries our mark, an
    /// initiator that is not the node's was its former one. One without the mark is somebody's, and
    /// its initiators would see what is mapped to it.
    async fn ensure_igroup(&self, name: &str, node: &NodeId, iqn: &Iqn) -> Result<Igroup, ArrayError> {
        let igroup = match self.find_igroup(name).await? {
            Some(found) => found,
            None => {
                let mark = Mark { controller: self.owner.controller, node: node.clone() };
                let comment = serde_json::to_string(&Comment { tine: mark });
                let body = json!({
                    "name": name,
                    "svm": { "uuid": self.svm_uuid },
                    "protocol": "iscsi",
                    "os_type": "linux",
                    "comment": comment.map_err(|error| ArrayError::Unexpected {
                        call: "comment".to_owned(),
                        problem: error.to_string(),
                    })?,
                });
                let made = self.client.post("protocols/san/igroups", &[], body).await;
                tolerate(made, &[code::IGROUP_EXISTS, code::DUPLICATE])?;
                let found = self.find_igroup(name).await?;
                found.ok_or_else(|| ArrayError::Missing { what: format!("igroup {name}") })?
            }
        };
        if !self.is_ours(&igroup, node) {
            return Err(ArrayError::Foreign { name: format!("igroup {name} of SVM {}", self.svm_name) });
        }
        let path = format!("protocols/san/igroups/{}/initiators", igroup.uuid);
        if !igroup.initiators.iter().any(|initiator| initiator.name == iqn.as_str()) {
            let added = self.client.post(&path, &[], json!({ "name": iqn.as_str() })).await;
            tolerate(added, &[code::INITIATOR_EXISTS, code::DUPLICATE])?;
        }
        for former in igroup.initiators.iter().filter(|initiator| initiator.name != iqn.as_str()) {
            tracing::warn!(igroup = name, initiator = former.name, "removing the node's former initiator");
            let gone = self.client.delete(&format!("{path}/{}", former.name)).await;
            tolerate(gone, &[code::MISSING])?;
        }
        Ok(igroup)
    }

    async fn find_map(&self, lun: &str, igroup: &str) -> Result<Option<LunMap>, ArrayError> {
        let query = [
            ("svm.uuid", self.svm_uuid.as_str()),
            ("lun.name", lun),
            ("igroup.name", igroup),
            ("fields", "logical_unit_number,lun.name,igroup.name"),
        ];
        Ok(self
            .client
            .records("protocols/san/lun-maps", &query)
            .await?
            .into_iter()
            .find(|map: &LunMap| map.lun.name == lun && map.igroup.name == igroup))
    }

    async fn ensure_map(&self, lun: &str, igroup: &str) -> Result<u16, ArrayError> {
        if let Some(found) = self.find_map(lun, igroup).await? {
            return Ok(found.logical_unit_number);
        }
        let body = json!({
            "svm": { "uuid": self.svm_uuid },
            "lun": { "name": lun },
            "igroup": { "name": igroup },
        });
        let made = self.client.post("protocols/san/lun-maps", &[], body).await;
        tolerate(made, &[code::MAP_EXISTS, code::DUPLICATE])?;
        let found = self.find_map(lun, igroup).await?;
        let found = found.ok_or_else(|| ArrayError::Missing {
            what: format!("the map of LUN {lun} to igroup {igroup}"),
        })?;
        Ok(found.logical_unit_number)
    }

    /// Portals that can reach the LUN: LIFs on the nodes that report it, those on the node that owns
    /// it first. A LIF elsewhere would accept the login and show no LUN.
    async fn portals(&self, lun: &Lun, igroup: &Igroup) -> Result<Vec<Portal>, ArrayError> {
        let path = format!("protocols/san/lun-maps/{}/{}/reporting-nodes", lun.uuid, igroup.uuid);
        let reporting: Vec<Name> = self.client.records(&path, &[("fields", "name")]).await?;
        let mut lifs = data_lifs(&self.client, &self.svm_uuid, "data_iscsi").await?;
        lifs.retain(|lif| reporting.iter().any(|node| node.name == lif.node));
        lifs.sort_by_key(|lif| (lif.node != lun.location.node.name, lif.address));
        Ok(lifs
            .into_iter()
            .map(|lif| Portal { address: lif.address, port: ISCSI_PORT, tag: Portal::UNKNOWN_TAG })
            .collect())
    }
}

fn lun_path(volume: &str) -> String {
    format!("/vol/{volume}/lun0")
}

fn identity_of(lun: &Lun) -> Result<DeviceIdentity, ArrayError> {
    let unexpected =
        |problem: String| ArrayError::Unexpected { call: "GET storage/luns".to_owned(), problem };
    let serial: LunSerial = lun.serial_number.parse().map_err(|error| unexpected(format!("{error}")))?;
    let naa: Vec<u8> = NAA_PREFIX.iter().chain(lun.serial_number.as_bytes()).copied().collect();
    let wwid = Wwid::from_naa(&naa).map_err(|error| unexpected(format!("{error}")))?;
    Ok(DeviceIdentity { wwid, serial })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_serial_of_a_lun_gives_the_identity_its_device_shows() {
        let lun = |serial: &str| Lun {
            uuid: String::new(),
            name: String::new(),
            serial_number: serial.to_owned(),
            space: Space { size: 1 },
            location: Location::default(),
            attributes: Vec::new(),
        };
        let identity = identity_of(&lun("81DaR$Qq/1ii")).unwrap();
        assert_eq!(identity.wwid.as_str(), "3600a098038314461522451712f316969");
        assert_eq!(identity.serial.as_str(), "81DaR$Qq/1ii");
        assert!(identity_of(&lun("short")).is_err());
    }
}
