//! LUNs: files in a volume that hosts see as disks.

use std::fmt;

use jiff::Timestamp;
use records::Row;
use serde::{Deserialize, Serialize};

use super::lun_map::MapTag;
use super::{Cluster, DataPlaneChange, LunId, NodeId, Refusal, SvmId, Volume, VolumeId};

/// The smallest LUN.
pub const MINIMUM_SIZE: u64 = 4096;
/// The largest LUN (128 TiB, ONTAP 9.12.1P2 and later).
pub const MAXIMUM_SIZE: u64 = 128 << 40;
/// Sizes are rounded up to whole blocks of the volume.
const BLOCK: u64 = 4096;
/// Operating systems whose partition schemes ONTAP knows.
const OS_TYPES: [&str; 10] =
    ["aix", "hpux", "hyper_v", "linux", "netware", "openvms", "solaris", "vmware", "windows", "xen"];
/// More that are accepted and old.
const OLD_OS_TYPES: [&str; 3] = ["windows_2008", "windows_gpt", "solaris_efi"];

/// The serial number: twelve printable characters, VPD page 0x80 and, after `600a0980`, the NAA
/// identifier of page 0x83.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Serial(pub(super) [u8; 12]);

impl Serial {
    /// The characters.
    pub fn as_bytes(&self) -> [u8; 12] {
        self.0
    }

    /// The NAA identifier (SPC-4 §7.8.6.6): `600a0980` and the serial, sixteen bytes.
    pub fn naa(&self) -> [u8; 16] {
        let mut naa = [0x60, 0x0a, 0x09, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for (place, byte) in naa.iter_mut().skip(4).zip(self.0) {
            *place = byte;
        }
        naa
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Serial({self})")
    }
}

/// A LUN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lun {
    /// Its identifier.
    pub id: LunId,
    /// The SVM it belongs to.
    pub svm: SvmId,
    /// The volume it lies in.
    pub volume: VolumeId,
    /// Its path, `/vol/<volume>/<name>`.
    pub path: String,
    /// Its serial number; stays through rename and resize.
    pub serial: Serial,
    /// Bytes.
    pub size: u64,
    /// Operating system of its hosts.
    pub os_type: String,
    /// Whether its size is taken from the volume at once.
    pub reserved: bool,
    /// Whether hosts are told that they can unmap.
    pub unmap: bool,
    /// Free text.
    pub comment: String,
    /// Whether it serves data.
    pub enabled: bool,
    /// When it was made.
    pub created: Timestamp,
    /// What clients note on it, in order of creation.
    pub attributes: Vec<(String, String)>,
    /// Name of its QoS policy.
    #[serde(default)]
    pub qos_policy: Option<String>,
}

/// What a LUN is found under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LunTag {
    /// Its path in its SVM.
    At(SvmId, String),
    /// Its SVM.
    Of(SvmId),
    /// The volume it lies in; weighs what it reserves there.
    In(VolumeId),
    /// Its serial number.
    Serial(Serial),
}

impl Row for Lun {
    type Tag = LunTag;

    fn tags(&self) -> Vec<LunTag> {
        vec![
            LunTag::At(self.svm, self.path.clone()),
            LunTag::Of(self.svm),
            LunTag::In(self.volume),
            LunTag::Serial(self.serial),
        ]
    }

    fn weight(&self, tag: &LunTag) -> u64 {
        if matches!(tag, LunTag::In(_)) && self.reserved { self.size } else { 0 }
    }
}

impl Lun {
    /// The last part of the path.
    pub fn logical_unit(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// A new LUN.
#[derive(Debug, Clone)]
pub struct LunSpec {
    /// SVM.
    pub svm: SvmId,
    /// `/vol/<volume>/<name>`.
    pub path: String,
    /// Operating system of its hosts.
    pub os_type: String,
    /// Bytes.
    pub size: u64,
    /// Thick within the volume (default false).
    pub reserved: bool,
    /// Hosts may unmap.
    pub unmap: bool,
    /// Free text.
    pub comment: String,
    /// Attributes.
    pub attributes: Vec<(String, String)>,
    /// QoS policy; empty or `none`: none.
    pub qos_policy: Option<String>,
}

/// A change of a LUN. What is absent stays.
#[derive(Debug, Clone, Default)]
pub struct LunPatch {
    /// New path in the same volume.
    pub path: Option<String>,
    /// New size in bytes.
    pub size: Option<u64>,
    /// Comment.
    pub comment: Option<String>,
    /// Online or offline.
    pub enabled: Option<bool>,
    /// Thick or thin.
    pub reserved: Option<bool>,
    /// QoS policy; empty or `none`: none.
    pub qos_policy: Option<String>,
}

impl Cluster {
    /// The LUN of this path in the SVM.
    pub fn find_lun_named(&self, svm: SvmId, path: &str) -> Option<&Lun> {
        self.luns.find(&LunTag::At(svm, path.to_owned()))
    }

    /// Makes a LUN that reads as zero and that nobody sees yet.
    ///
    /// # Errors
    /// A [`Refusal`]: bad path, volume missing (917927), path in use (5374242), size (5374124, 5374125), no
    /// room for a thick LUN, unknown QoS policy (8454154).
    pub fn create_lun(&mut self, spec: LunSpec) -> Result<LunId, Refusal> {
        let volume = self.require_volume_of_path(spec.svm, &spec.path)?.clone();
        volume.admit_write(8)?;
        if self.find_lun_named(spec.svm, &spec.path).is_some() {
            let message = format!("A LUN already exists at path \"{}\"", spec.path);
            return Err(Refusal::conflict(5_374_242, message).about("name"));
        }
        if !OS_TYPES.contains(&spec.os_type.as_str()) && !OLD_OS_TYPES.contains(&spec.os_type.as_str()) {
            return Err(Refusal::invalid("os_type", &spec.os_type));
        }
        let size = admit_size(spec.size)?;
        if spec.reserved {
            self.admit_reservation(&volume, size, 0)?;
        }
        let qos_policy = self.admit_qos_policy(spec.svm, spec.qos_policy)?;
        let lun = Lun {
            id: LunId(self.mint.edit().uuid()),
            svm: spec.svm,
            volume: volume.id,
            path: spec.path,
            serial: self.mint_serial(),
            size,
            os_type: spec.os_type,
            reserved: spec.reserved,
            unmap: spec.unmap,
            comment: spec.comment,
            enabled: true,
            created: self.now,
            attributes: spec.attributes,
            qos_policy,
        };
        let id = lun.id;
        self.change(self.made_lun(&lun, &volume));
        self.luns.insert(id, lun);
        Ok(id)
    }

    /// What the data planes are told of a LUN that is there.
    pub(super) fn made_lun(&self, lun: &Lun, volume: &Volume) -> DataPlaneChange {
        DataPlaneChange::CreateLun {
            svm: lun.svm,
            lun: lun.id,
            serial: lun.serial,
            size: lun.size,
            unmap: lun.unmap,
            optimised: self.optimised_node(volume),
        }
    }

    /// Changes a LUN; all of it or nothing.
    ///
    /// # Errors
    /// A [`Refusal`]: the size it has already (1254226, whose text clients compare), a smaller size (5374892),
    /// a path in use (5374242) or in another volume.
    pub fn modify_lun(&mut self, id: LunId, patch: LunPatch) -> Result<(), Refusal> {
        let before = self.luns.get(&id).ok_or_else(Refusal::no_entry)?.clone();
        let mut after = before.clone();
        if let Some(path) = patch.path.filter(|path| *path != before.path) {
            let volume = self.require_volume_of_path(before.svm, &path)?;
            if volume.id != before.volume {
                return Err(
                    Refusal::request(3, "A LUN moves to another volume only by a LUN move").about("name")
                );
            }
            if self.find_lun_named(before.svm, &path).is_some() {
                return Err(Refusal::conflict(5_374_242, format!("A LUN already exists at path \"{path}\"")));
            }
            after.path = path;
        }
        if let Some(size) = patch.size {
            self.volumes.get(&before.volume).map_or(Ok(()), |volume| volume.admit_write(8))?;
            after.size = admit_size(size)?;
            if after.size == before.size {
                return Err(Refusal::request(1_254_226, "New LUN size is the same as the old LUN size")
                    .about("space.size"));
            }
            if after.size < before.size {
                return Err(Refusal::request(
                    5_374_892,
                    "Reducing the size of a LUN might cause permanent data loss and is not allowed",
                )
                .about("space.size"));
            }
        }
        after.reserved = patch.reserved.unwrap_or(after.reserved);
        if after.reserved {
            let volume = self.volumes.get(&before.volume).ok_or_else(Refusal::no_entry)?;
            self.admit_reservation(volume, after.size, if before.reserved { before.size } else { 0 })?;
        }
        if patch.qos_policy.is_some() {
            after.qos_policy = self.admit_qos_policy(after.svm, patch.qos_policy)?;
        }
        after.comment = patch.comment.unwrap_or(after.comment);
        after.enabled = patch.enabled.unwrap_or(after.enabled);
        if after.size != before.size {
            self.change(DataPlaneChange::ResizeLun { svm: after.svm, lun: id, size: after.size });
        }
        let toggled = after.enabled != before.enabled;
        self.luns.insert(id, after);
        if toggled {
            self.mask_initiators_of_lun(id);
        }
        Ok(())
    }

    /// Deletes a LUN; with `though_mapped` its maps go with it.
    ///
    /// # Errors
    /// A [`Refusal`] (1254197) while it is mapped.
    pub fn delete_lun(&mut self, id: LunId, though_mapped: bool) -> Result<(), Refusal> {
        let lun = self.luns.get(&id).ok_or_else(Refusal::no_entry)?.clone();
        let maps: Vec<_> = self.lun_maps.tagged(&MapTag::Of(id)).map(|map| (map.lun, map.igroup)).collect();
        if !maps.is_empty() && !though_mapped {
            let message = format!(
                "LUN \"{}\" is mapped and cannot be deleted without specifying allow_delete_while_mapped",
                lun.path
            );
            return Err(Refusal::conflict(1_254_197, message));
        }
        for (lun, igroup) in maps {
            self.delete_lun_map(lun, igroup)?;
        }
        self.luns.remove(&id);
        self.change(DataPlaneChange::RemoveLun { svm: lun.svm, lun: id });
        Ok(())
    }

    /// Notes an attribute on a LUN.
    ///
    /// # Errors
    /// A [`Refusal`] for a name without characters, and for one that is there already (1).
    pub fn create_lun_attribute(&mut self, id: LunId, name: &str, value: &str) -> Result<(), Refusal> {
        let mut lun = self.luns.get_mut(&id).ok_or_else(Refusal::no_entry)?;
        if name.is_empty() {
            return Err(Refusal::invalid("name", name));
        }
        if lun.attributes.iter().any(|(existing, _)| existing == name) {
            return Err(Refusal::conflict(1, format!("The LUN attribute \"{name}\" already exists")));
        }
        lun.attributes.push((name.to_owned(), value.to_owned()));
        Ok(())
    }

    /// Changes the value of an attribute.
    ///
    /// # Errors
    /// A [`Refusal`] (code 4) when it is not there.
    pub fn modify_lun_attribute(&mut self, id: LunId, name: &str, value: &str) -> Result<(), Refusal> {
        let mut lun = self.luns.get_mut(&id).ok_or_else(Refusal::no_entry)?;
        let found = lun.attributes.iter_mut().find(|(existing, _)| existing == name);
        value.clone_into(&mut found.ok_or_else(Refusal::no_entry)?.1);
        Ok(())
    }

    /// Removes an attribute.
    ///
    /// # Errors
    /// A [`Refusal`] (code 4) when it is not there.
    pub fn delete_lun_attribute(&mut self, id: LunId, name: &str) -> Result<(), Refusal> {
        let mut lun = self.luns.get_mut(&id).ok_or_else(Refusal::no_entry)?;
        let place = lun.attributes.iter().position(|(existing, _)| existing == name);
        lun.attributes.remove(place.ok_or_else(Refusal::no_entry)?);
        Ok(())
    }

    /// Paths name the volume: when it is renamed they follow.
    pub(super) fn rename_luns_of(&mut self, volume: VolumeId) {
        let Some(name) = self.volumes.get(&volume).map(|volume| volume.name.clone()) else { return };
        let luns: Vec<_> = self.luns.tagged(&LunTag::In(volume)).map(|lun| lun.id).collect();
        for id in luns {
            let Some(mut lun) = self.luns.get_mut(&id) else { continue };
            lun.path = super::snapshot::path_in(&name, &lun.path);
        }
    }

    /// The volume has moved: the short way to its LUNs is another.
    pub(super) fn reoptimise_luns_of(&mut self, volume: VolumeId) {
        let Some(volume) = self.volumes.get(&volume) else { return };
        let (id, svm, optimised) = (volume.id, volume.svm, self.optimised_node(volume));
        let luns = self.luns.tagged(&LunTag::In(id));
        let changes: Vec<_> =
            luns.map(|lun| DataPlaneChange::Reoptimise { svm, lun: lun.id, optimised }).collect();
        self.changes.extend(changes);
    }

    pub(super) fn require_volume_of_path(&self, svm: SvmId, path: &str) -> Result<&Volume, Refusal> {
        let mut parts = path.strip_prefix("/vol/").unwrap_or_default().split('/');
        let (volume, unit, more) = (parts.next(), parts.next(), parts.next());
        let (Some(volume), Some(unit), None) = (volume, unit, more) else {
            return Err(Refusal::invalid("name", path));
        };
        let shaped = !unit.is_empty()
            && unit.len() <= 203
            && unit.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        if !shaped {
            return Err(Refusal::invalid("name", path));
        }
        self.find_volume_named(svm, volume).filter(|volume| volume.online).ok_or_else(|| {
            let message = format!("Volume \"{volume}\" was not found in SVM \"{}\"", self.svm_name(svm));
            Refusal::missing(917_927, message).about("location.volume.name")
        })
    }

    /// Whether the volume has room for `size` more reserved bytes; `held` the LUN has already. A thin
    /// LUN may be larger than its volume (overcommitment is the administrator's choice), a thick one
    /// may not. The number is not verified against an array.
    pub(super) fn admit_reservation(&self, volume: &Volume, size: u64, held: u64) -> Result<(), Refusal> {
        let reserved = self.luns.total(&LunTag::In(volume.id));
        let free = volume.capacity().saturating_sub(reserved.saturating_sub(held));
        if size <= free {
            return Ok(());
        }
        let message = format!("No space left in volume \"{}\": {free} bytes are free", volume.name);
        Err(Refusal::conflict(5_374_893, message).about("space.size"))
    }

    pub(super) fn optimised_node(&self, volume: &Volume) -> NodeId {
        self.owner_of(volume).map_or(NodeId(uuid::Uuid::nil()), |node| node.id)
    }

    pub(super) fn mint_serial(&mut self) -> Serial {
        loop {
            let serial = Serial(self.mint.edit().serial());
            if self.luns.count(&LunTag::Serial(serial)) == 0 {
                return serial;
            }
        }
    }
}

pub(super) fn admit_size(size: u64) -> Result<u64, Refusal> {
    if size < MINIMUM_SIZE {
        return Err(Refusal::request(5_374_125, "The LUN size is too small").about("space.size"));
    }
    if size > MAXIMUM_SIZE {
        return Err(Refusal::request(5_374_124, "The LUN size is too large").about("space.size"));
    }
    Ok(size.next_multiple_of(BLOCK))
}
