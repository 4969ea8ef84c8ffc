//! Files that begin as others, made by the array: what hypervisor drivers do with disk images on NFS.

use std::str::FromStr;

use super::{Cluster, DataPlaneChange, Refusal, VolumeId};

/// Bytes of the blocks that ranges are counted in.
pub const BLOCK: u64 = 4096;

/// Blocks of one file that are to be blocks of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRange {
    /// The first in the one.
    pub source: u64,
    /// The first in the other.
    pub destination: u64,
    /// How many.
    pub count: u64,
}

/// What is no range of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not source-file-block-number:destination-file-block-number:block-count")]
pub struct NotARange;

impl FromStr for BlockRange {
    type Err = NotARange;

    fn from_str(text: &str) -> Result<Self, NotARange> {
        let numbers: Vec<u64> =
            text.split(':').map(str::parse).collect::<Result<_, _>>().map_err(|_| NotARange)?;
        let &[source, destination, count] = numbers.as_slice() else { return Err(NotARange) };
        // All of it lies where files can have bytes.
        let end = |first: u64| first.checked_add(count)?.checked_mul(BLOCK);
        if count == 0 || end(source).is_none() || end(destination).is_none() {
            return Err(NotARange);
        }
        Ok(Self { source, destination, count })
    }
}

/// Whether two runs of `first` and `count` have a block in common.
fn overlap(one: (u64, u64), other: (u64, u64)) -> bool {
    one.0 < other.0.saturating_add(other.1) && other.0 < one.0.saturating_add(one.1)
}

/// Whether any two of the runs have one.
fn any_overlap(runs: impl Iterator<Item = (u64, u64)>) -> bool {
    let mut runs: Vec<_> = runs.collect();
    runs.sort_unstable();
    runs.windows(2).any(|pair| matches!(pair, [one, other] if overlap(*one, *other)))
}

impl Cluster {
    /// Puts blocks of a file of the volume into another file that is there; the rest of that stays. Paths are
    /// within the volume.
    ///
    /// # Errors
    /// A [`Refusal`]: volume missing, offline or a copy; no such source or destination (4); ranges that overlap
    /// where the API reference forbids it, or reach beyond the source (262197).
    pub fn clone_blocks(
        &mut self,
        volume: VolumeId,
        source: &str,
        destination: &str,
        ranges: Vec<BlockRange>,
    ) -> Result<(), Refusal> {
        self.admit_file_clone(volume)?;
        let size = |path: &str, field: &str| {
            let size = self.usage.as_ref().and_then(|usage| usage.file_size(volume, path));
            size.filter(|_| !in_snapshot(destination)).ok_or_else(|| {
                Refusal::missing(4, format!("There is no file \"{path}\"")).about(field).when_executed()
            })
        };
        let length = size(source, "source_path")?;
        size(destination, "destination_path")?;
        let refused = |why: &str| Err(Refusal::request(262_197, why.to_owned()).about("range"));
        let sources = || ranges.iter().map(|range| (range.source, range.count));
        let destinations = || ranges.iter().map(|range| (range.destination, range.count));
        if any_overlap(sources()) || any_overlap(destinations()) {
            return refused("Ranges of the source, or of the destination, overlap");
        }
        let itself = source.trim_matches('/') == destination.trim_matches('/');
        if itself && sources().any(|one| destinations().any(|other| overlap(one, other))) {
            return refused("A file is given blocks of its own that overlap");
        }
        if ranges.iter().any(|range| range.source.saturating_add(range.count) > length.div_ceil(BLOCK)) {
            return refused("A range reaches beyond the end of the source");
        }
        let (source, destination) = (source.to_owned(), destination.to_owned());
        self.change(DataPlaneChange::CopyRanges { volume, source, destination, ranges });
        Ok(())
    }

    fn admit_file_clone(&self, volume: VolumeId) -> Result<(), Refusal> {
        let found = self.volumes.get(&volume).ok_or_else(Refusal::no_entry)?;
        if !found.online {
            return Err(Refusal::conflict(917_666, format!("Volume \"{}\" is offline", found.name)));
        }
        found.admit_write(8)
    }

    /// Makes a file that begins as another one of the volume. Paths are within the volume.
    ///
    /// # Errors
    /// A [`Refusal`]: volume missing, offline or a copy (8), no such source (4), a source that is no file, a
    /// destination that is there and is not to be replaced (1). The array's own numbers are not verified.
    pub fn clone_file(
        &mut self,
        volume: VolumeId,
        source: &str,
        destination: &str,
        replace: bool,
    ) -> Result<(), Refusal> {
        self.admit_file_clone(volume)?;
        let found = self.volumes.get(&volume).ok_or_else(Refusal::no_entry)?;
        let at = |path: &str| self.usage.as_ref().and_then(|usage| usage.holds_file(volume, path));
        match at(source) {
            Some(true) => {}
            Some(false) => return Err(Refusal::request(3, "Only files are cloned").about("source_path")),
            None => {
                let message = format!("There is no file \"{source}\" in volume \"{}\"", found.name);
                return Err(Refusal::missing(4, message).about("source_path").when_executed());
            }
        }
        let (above, name) = destination.trim_matches('/').rsplit_once('/').unwrap_or(("", destination));
        if name.trim_matches('/').is_empty() || in_snapshot(destination) || at(above) != Some(false) {
            return Err(Refusal::invalid("destination_path", destination));
        }
        match at(destination) {
            None => {}
            Some(true) if replace && source.trim_matches('/') != destination.trim_matches('/') => {}
            Some(_) => {
                let message = format!("\"{destination}\" exists in volume \"{}\"", found.name);
                return Err(Refusal::conflict(1, message).about("destination_path"));
            }
        }
        let (source, destination) = (source.to_owned(), destination.to_owned());
        self.change(DataPlaneChange::CopyFile { volume, source, destination, replace });
        Ok(())
    }
}

fn in_snapshot(path: &str) -> bool {
    path.split('/').any(|name| name == ".snapshot")
}
