//! Aggregates: pools of disks, each owned by a node, on which volumes lie.

use serde::{Deserialize, Serialize};

use super::{AggregateId, Cluster, NodeId, Refusal};

/// Usable bytes of a disk.
pub const DISK_SIZE: u64 = 1 << 40;
/// Disks that hold parity (RAID-DP).
const PARITY: u64 = 2;
/// The least disks an aggregate is made of: RAID-DP.
const FEWEST_DISKS: u64 = 5;
/// The most.
const MOST_DISKS: u64 = 1000;

/// The media of an aggregate, as `block_storage.primary.disk_type` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Media {
    /// Solid state.
    Ssd,
    /// Spinning disks.
    Hdd,
    /// Spinning disks with a cache of solid state (Flash Pool).
    Hybrid,
}

impl Media {
    /// Each with its name in the API.
    pub const NAMES: [(Self, &'static str); 3] =
        [(Self::Ssd, "ssd"), (Self::Hdd, "hdd"), (Self::Hybrid, "hybrid")];

    /// Its name in the API.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(media, _)| *media == self).map_or("hdd", |(_, name)| name)
    }
}

/// A pool of disks, owned by one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    /// Its identifier.
    pub id: AggregateId,
    /// Its name, unique in the cluster.
    pub name: String,
    /// The node that owns it; LUNs on it are optimised through that node's portals.
    pub node: NodeId,
    /// What it is made of.
    pub media: Media,
    /// Usable bytes.
    pub size: u64,
}

impl Aggregate {
    /// Disks it is made of, parity included.
    pub fn disks(&self) -> u64 {
        self.size.div_ceil(DISK_SIZE).saturating_add(PARITY)
    }
}

/// A change of an aggregate. What is absent stays.
#[derive(Debug, Clone, Default)]
pub struct AggregatePatch {
    /// Name.
    pub name: Option<String>,
    /// Owner.
    pub node: Option<NodeId>,
    /// Disks; more than before.
    pub disks: Option<u64>,
    /// A cache of solid state before spinning disks.
    pub hybrid: Option<bool>,
}

impl Cluster {
    /// Makes an aggregate of `disks` disks.
    ///
    /// # Errors
    /// A [`Refusal`]: a bad name or number of disks, a name in use (1; the array's number is not verified).
    pub fn create_aggregate(
        &mut self,
        name: &str,
        node: NodeId,
        media: Media,
        disks: u64,
    ) -> Result<AggregateId, Refusal> {
        self.admit_aggregate_name(name)?;
        let size = size_of(disks)?;
        let id = AggregateId(self.mint.edit().uuid());
        self.aggregates.insert(id, Aggregate { id, name: name.to_owned(), node, media, size });
        Ok(id)
    }

    /// Changes an aggregate; all of it or nothing.
    ///
    /// # Errors
    /// A [`Refusal`] as for [`Self::create_aggregate`]; fewer disks than before; a cache before solid state.
    pub fn modify_aggregate(&mut self, id: AggregateId, patch: AggregatePatch) -> Result<(), Refusal> {
        let mut after = self.find_aggregate(id).ok_or_else(Refusal::no_entry)?.clone();
        if let Some(name) = patch.name.filter(|name| *name != after.name) {
            self.admit_aggregate_name(&name)?;
            after.name = name;
        }
        if let Some(disks) = patch.disks {
            let size = size_of(disks)?;
            if size < after.size {
                let message = "Disks cannot be taken from an aggregate";
                return Err(Refusal::request(2, message).about("block_storage.primary.disk_count"));
            }
            after.size = size;
        }
        after.media = match (patch.hybrid, after.media) {
            (Some(true), Media::Hdd) => Media::Hybrid,
            (Some(true), Media::Ssd) => {
                let message = "An aggregate of solid state needs no cache";
                return Err(Refusal::request(2, message).about("block_storage.hybrid_cache.enabled"));
            }
            (Some(false), Media::Hybrid) => Media::Hdd,
            (_, media) => media,
        };
        after.node = patch.node.unwrap_or(after.node);
        self.aggregates.insert(id, after);
        Ok(())
    }

    /// Deletes an aggregate.
    ///
    /// # Errors
    /// A [`Refusal`] (8) while a volume lies on it. The array's number is not verified.
    pub fn delete_aggregate(&mut self, id: AggregateId) -> Result<(), Refusal> {
        let aggregate = self.find_aggregate(id).ok_or_else(Refusal::no_entry)?;
        let volumes = self.volumes.values().filter(|volume| volume.aggregate == id).count();
        if volumes > 0 {
            let message =
                format!("Aggregate \"{}\" contains {volumes} volumes and cannot be deleted", aggregate.name);
            return Err(Refusal::conflict(8, message));
        }
        let assigned: Vec<_> =
            self.svms.values().filter(|svm| svm.aggregates.contains(&id)).map(|svm| svm.id).collect();
        for svm in assigned {
            if let Some(mut svm) = self.svms.get_mut(&svm) {
                svm.aggregates.retain(|aggregate| *aggregate != id);
            }
        }
        self.aggregates.remove(&id);
        Ok(())
    }

    fn admit_aggregate_name(&self, name: &str) -> Result<(), Refusal> {
        let shaped = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.len() <= 255
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !shaped {
            return Err(Refusal::invalid("name", name));
        }
        if self.find_aggregate_named(name).is_some() {
            return Err(Refusal::conflict(1, format!("Aggregate \"{name}\" already exists")).about("name"));
        }
        Ok(())
    }
}

fn size_of(disks: u64) -> Result<u64, Refusal> {
    if (FEWEST_DISKS..=MOST_DISKS).contains(&disks) {
        return Ok(disks.saturating_sub(PARITY).saturating_mul(DISK_SIZE));
    }
    let message = format!("An aggregate is made of {FEWEST_DISKS} to {MOST_DISKS} disks");
    Err(Refusal::request(2, message).about("block_storage.primary.disk_count"))
}
