//! Witnesses: values that exist only because something was proven from [`Facts`].
//!
//! Their fields are private and nothing outside this file makes one, so a step that needs a proof
//! cannot be written without it. They carry the generation of the facts they come from; `apply`
//! checks the cheap part again (identity through the descriptor it writes to), which narrows the
//! time between proof and use without pretending it away.

use contract::{IscsiAttachment, Wwid};

use crate::areas;
use crate::facts::{Content, DeviceNumber, Facts, Hctl, MapFact, PathFact, PathState, Probe, names};
use crate::outcome::Disposition;
use crate::refusal::{Hazard, Refusal};

/// The device carries the volume: every path of its map that can be asked shows the promised
/// identity, and sizes agree (hazard H02).
#[derive(Debug, PartialEq, Eq)]
pub struct Verified<T> {
    what: T,
    generation: u64,
}

/// Nobody uses it: no mount, no holder, no opener (hazards H03, H10).
#[derive(Debug, PartialEq, Eq)]
pub struct Idle<T> {
    what: T,
    generation: u64,
}

impl<T> Verified<T> {
    /// What was verified.
    pub fn what(&self) -> &T {
        &self.what
    }

    /// The observation it was verified from.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

impl<T> Idle<T> {
    /// What is idle.
    pub fn what(&self) -> &T {
        &self.what
    }

    /// The observation it was idle in.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// A multipath block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// WWID the map stands for.
    pub wwid: Wwid,
    /// Number of the block device; its node is `/dev/dm-<minor>`.
    pub number: DeviceNumber,
    /// Bytes.
    pub size: u64,
}

/// A device-mapper map to be removed; found again by its uuid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// WWID of its uuid `mpath-<WWID>`.
    pub wwid: Wwid,
    /// Number it has now.
    pub number: DeviceNumber,
}

/// A SCSI disk to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// `sda`.
    pub name: String,
    /// Where it is; the disk is deleted only when it is still there.
    pub hctl: Hctl,
    /// WWID of the one map that may hold it.
    pub wwid: Wwid,
}

/// Every place where a known format leaves a mark was read from the device and is zero (hazard
/// H01). Consumed by the one step that formats.
#[derive(Debug, PartialEq, Eq)]
pub struct Blank {
    device: DeviceNumber,
    generation: u64,
}

impl Blank {
    /// The device that is blank.
    pub fn device(&self) -> DeviceNumber {
        self.device
    }

    /// The observation it was blank in.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

impl Verified<Device> {
    /// Proves that the map carries the volume of `attachment`.
    ///
    /// A path that cannot be asked because it is down proves nothing and disturbs nothing; a path
    /// that could carry I/O and shows another identity, or none, refutes the whole map.
    ///
    /// # Errors
    /// A [`Refusal`] (H02) that says which path showed what.
    pub fn prove(facts: &Facts, attachment: &IscsiAttachment) -> Result<Self, Refusal> {
        let map = require_map(facts, &attachment.identity.wwid)?;
        let wrong = |found: String| {
            Refusal::refused(
                Hazard::H02,
                found,
                "check on the array which LUN is mapped to this node under this number",
            )
        };
        let mut proven = 0;
        for name in &map.paths {
            let Some(path) = facts.paths.iter().find(|path| path.name == *name) else {
                return Err(wrong(format!(
                    "map {} holds disk {name}, which is no path of the volume",
                    map.name
                )));
            };
            if verify_path(path, map, attachment).map_err(wrong)? {
                proven += 1;
            }
        }
        if proven == 0 {
            return Err(wrong(format!("no path of map {} could be asked for its identity", map.name))
                .with(Disposition::Transient));
        }
        if map.size < attachment.size {
            return Err(wrong(format!(
                "map {} shows {} bytes, the controller promised {}",
                map.name, map.size, attachment.size
            )));
        }
        let what = Device { wwid: map.wwid.clone(), number: map.number, size: map.size };
        Ok(Self { what, generation: facts.generation })
    }
}

/// Whether `path` proves the identity; `Err` when it refutes it.
fn verify_path(path: &PathFact, map: &MapFact, attachment: &IscsiAttachment) -> Result<bool, String> {
    let wanted = &attachment.identity;
    match &path.identity {
        Probe::Present(shown) if shown == wanted => {}
        Probe::Present(shown) => {
            return Err(format!(
                "path {} of map {} shows WWID {} serial {}, the volume has WWID {} serial {}",
                path.name, map.name, shown.wwid, shown.serial, wanted.wwid, wanted.serial
            ));
        }
        Probe::Absent if path.state == PathState::Running => {
            return Err(format!("path {} of map {} shows no identity", path.name, map.name));
        }
        Probe::Unknown(why) if path.state == PathState::Running && map.usable.contains(&path.name) => {
            return Err(format!("path {} of map {} cannot be identified ({why})", path.name, map.name));
        }
        Probe::Absent | Probe::Unknown(_) => return Ok(false),
    }
    match &path.size {
        Probe::Present(size) if *size == map.size => Ok(true),
        Probe::Present(size) => {
            Err(format!("path {} shows {size} bytes, its map {} {} bytes", path.name, map.name, map.size))
        }
        Probe::Absent | Probe::Unknown(_) => Ok(false),
    }
}

fn require_map<'a>(facts: &'a Facts, wwid: &Wwid) -> Result<&'a MapFact, Refusal> {
    let advice = "see multipathd's log on this node; the call will be repeated";
    match &facts.map {
        Probe::Present(map) if map.wwid == *wwid => Ok(map),
        Probe::Present(map) => Err(Refusal::refused(
            Hazard::H02,
            format!("map {} has WWID {}, not {wwid}", map.name, map.wwid),
            "check on the array which LUN is mapped to this node under this number",
        )),
        Probe::Absent => {
            Err(Refusal::refused(Hazard::H05, format!("there is no multipath map with WWID {wwid}"), advice)
                .with(Disposition::NotYet))
        }
        Probe::Unknown(why) => Err(Refusal::refused(
            Hazard::H05,
            format!("the multipath map with WWID {wwid} cannot be read ({why})"),
            advice,
        )
        .with(Disposition::Transient)),
    }
}

impl Blank {
    /// Proves that `device` holds nothing.
    ///
    /// # Errors
    /// A [`Refusal`] (H01): the device holds something, or it could not be told.
    pub fn prove(facts: &Facts, device: &Verified<Device>) -> Result<Self, Refusal> {
        let number = device.what.number;
        let unknown = |why: String| {
            Refusal::refused(
                Hazard::H01,
                format!(
                    "it cannot be told whether device {number} (WWID {}) is blank: {why}",
                    device.what.wwid
                ),
                "nothing was written; the device must be readable in full before it is formatted",
            )
            .with(Disposition::Broken)
        };
        let scan = match &facts.content {
            Probe::Present(Content::Blank(scan)) => scan,
            Probe::Present(Content::Filesystem(found)) => {
                return Err(holds_data(
                    device,
                    &format!("a filesystem {} with UUID {}", found.kind, found.uuid),
                ));
            }
            Probe::Present(Content::Foreign(what)) => return Err(holds_data(device, what)),
            Probe::Absent => return Err(unknown("it was not there to be read".to_owned())),
            Probe::Unknown(why) => return Err(unknown(why.to_string())),
        };
        if scan.device != number || scan.size != device.what.size {
            return Err(unknown(format!("the scan read device {} of {} bytes", scan.device, scan.size)));
        }
        if !areas::cover(&scan.areas, &areas::signature_areas(scan.size)) {
            return Err(unknown("the scan left out places where data could be".to_owned()));
        }
        if facts.generation != device.generation {
            return Err(unknown("it was read in another observation than its identity".to_owned()));
        }
        Ok(Self { device: number, generation: facts.generation })
    }
}

/// The refusal for a device that is not blank, or holds another filesystem than the one asked for.
pub(crate) fn holds_data(device: &Verified<Device>, what: &str) -> Refusal {
    Refusal::refused(
        Hazard::H01,
        format!("device {} (WWID {}) holds {what}", device.what.number, device.what.wwid),
        "nothing was written; mount it as what it is, or wipe it yourself if its data is not wanted",
    )
}

impl Idle<Map> {
    /// Proves that nobody uses the volume's map.
    ///
    /// # Errors
    /// A [`Refusal`] (H10) that names who does.
    pub fn prove(facts: &Facts, map: &MapFact) -> Result<Self, Refusal> {
        let mounts = facts
            .mounts
            .iter()
            .filter(|mount| mount.device == map.number || mount.node_of == Some(map.number));
        let mounts: Vec<&str> = mounts.map(|mount| mount.mount_point.as_str()).collect();
        let in_use = |by: String| {
            Refusal::refused(
                Hazard::H10,
                format!("map {} ({}) is in use: {by}", map.name, map.kernel_name()),
                "unpublish the volume and end what holds the device; the call will be repeated",
            )
            .with(Disposition::Transient)
        };
        if !mounts.is_empty() {
            return Err(in_use(format!("mounted at {}", names(mounts))));
        }
        if !map.holders.is_empty() {
            return Err(in_use(format!("held by {}", names(map.holders.clone()))));
        }
        if map.open_count > 0 {
            return Err(in_use(format!("opened {} times", map.open_count)));
        }
        let what = Map { wwid: map.wwid.clone(), number: map.number };
        Ok(Self { what, generation: facts.generation })
    }
}

impl Idle<Disk> {
    /// Proves that nobody uses a disk, the volume's own map (of `wwid`) apart.
    ///
    /// # Errors
    /// A [`Refusal`] (H10) that names who does.
    pub fn prove(facts: &Facts, path: &PathFact, wwid: &Wwid) -> Result<Self, Refusal> {
        let own = facts.map.present().filter(|map| map.wwid == *wwid).map(MapFact::kernel_name);
        let others: Vec<&String> =
            path.holders.iter().filter(|holder| Some(*holder) != own.as_ref()).collect();
        if others.is_empty() && !path.mounted {
            let what = Disk { name: path.name.clone(), hctl: path.hctl, wwid: wwid.clone() };
            return Ok(Self { what, generation: facts.generation });
        }
        let by = if path.mounted { "a mount".to_owned() } else { names(others) };
        Err(Refusal::refused(
            Hazard::H10,
            format!("disk {} ({}) is used by {by}", path.name, path.hctl),
            "the agent deletes only disks that nobody uses; free it and repeat",
        ))
    }
}
