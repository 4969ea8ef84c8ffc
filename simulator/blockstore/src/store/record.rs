//! The records of the journal: what happened to volumes (little-endian, no padding).
//!
//! Records say what a state *becomes*, so that one applied twice changes nothing: a checkpoint may
//! hold some of the writes that follow it in the journal.

use super::{SnapshotId, VolumeId};

/// A slot of the page file and the CRC32C of what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) slot: u32,
    pub(crate) crc: u32,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A new volume, with no pages.
    Create { volume: VolumeId, size: u64 },
    /// The volume goes; its snapshots stay.
    Remove { volume: VolumeId },
    /// A new snapshot of the volume as it is now.
    Snapshot { volume: VolumeId, snapshot: SnapshotId },
    /// The snapshot goes.
    RemoveSnapshot { volume: VolumeId, snapshot: SnapshotId },
    /// A new volume with the content of another as it is now.
    Copy { from: VolumeId, to: VolumeId },
    /// A new volume with the content of a snapshot.
    Clone { from: VolumeId, snapshot: SnapshotId, to: VolumeId },
    /// The volume gets the content and size of its snapshot.
    Restore { volume: VolumeId, snapshot: SnapshotId },
    /// The volume gets this size, and loses the pages past it.
    Resize { volume: VolumeId, size: u64 },
    /// The pages from `first` on are in these slots.
    Map { volume: VolumeId, first: u64, places: Vec<Place> },
    /// The pages `first..past` are absent.
    Unmap { volume: VolumeId, first: u64, past: u64 },
    /// Checkpoint: a leaf of a page tree. Nodes are numbered as they come, from 0.
    Leaf { pages: Vec<(u8, Place)> },
    /// Checkpoint: an inner node of a page tree, with the numbers of its children.
    Inner { children: Vec<(u8, u32)> },
    /// Checkpoint: a volume, or with an id a snapshot of it.
    Root { volume: VolumeId, snapshot: Option<SnapshotId>, size: u64, height: u8, node: Option<u32> },
}

impl Record {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Create { volume, size } => out.tag(1).id(volume.0).u64(*size),
            Self::Remove { volume } => out.tag(2).id(volume.0),
            Self::Snapshot { volume, snapshot } => out.tag(3).id(volume.0).id(snapshot.0),
            Self::RemoveSnapshot { volume, snapshot } => out.tag(4).id(volume.0).id(snapshot.0),
            Self::Copy { from, to } => out.tag(5).id(from.0).id(to.0),
            Self::Clone { from, snapshot, to } => out.tag(6).id(from.0).id(snapshot.0).id(to.0),
            Self::Restore { volume, snapshot } => out.tag(7).id(volume.0).id(snapshot.0),
            Self::Resize { volume, size } => out.tag(8).id(volume.0).u64(*size),
            Self::Map { volume, first, places } => {
                let out = out.tag(9).id(volume.0).u64(*first).u32(places.len() as u32);
                places.iter().fold(out, |out, place| out.place(*place))
            }
            Self::Unmap { volume, first, past } => out.tag(10).id(volume.0).u64(*first).u64(*past),
            Self::Leaf { pages } => {
                let out = out.tag(11).tag(pages.len() as u8);
                pages.iter().fold(out, |out, (at, place)| out.tag(*at).place(*place))
            }
            Self::Inner { children } => {
                let out = out.tag(12).tag(children.len() as u8);
                children.iter().fold(out, |out, (at, child)| out.tag(*at).u32(*child))
            }
            Self::Root { volume, snapshot, size, height, node } => {
                let out = out.tag(13).id(volume.0).u64(*size).tag(*height);
                let out = match snapshot {
                    Some(snapshot) => out.tag(1).id(snapshot.0),
                    None => out.tag(0),
                };
                match node {
                    Some(node) => out.tag(1).u32(*node),
                    None => out.tag(0),
                }
            }
        };
    }

    /// The record at the start of `input`, which moves past it; `None` when there is no such record.
    pub(crate) fn decode(input: &mut &[u8]) -> Option<Self> {
        let volume = |input: &mut &[u8]| Some(VolumeId(u128::from_le_bytes(take(input)?)));
        let snapshot = |input: &mut &[u8]| Some(SnapshotId(u128::from_le_bytes(take(input)?)));
        Some(match byte(input)? {
            1 => Self::Create { volume: volume(input)?, size: u64(input)? },
            2 => Self::Remove { volume: volume(input)? },
            3 => Self::Snapshot { volume: volume(input)?, snapshot: snapshot(input)? },
            4 => Self::RemoveSnapshot { volume: volume(input)?, snapshot: snapshot(input)? },
            5 => Self::Copy { from: volume(input)?, to: volume(input)? },
            6 => Self::Clone { from: volume(input)?, snapshot: snapshot(input)?, to: volume(input)? },
            7 => Self::Restore { volume: volume(input)?, snapshot: snapshot(input)? },
            8 => Self::Resize { volume: volume(input)?, size: u64(input)? },
            9 => {
                let (volume, first, count) = (volume(input)?, u64(input)?, u32(input)?);
                Self::Map { volume, first, places: (0..count).map(|_| place(input)).collect::<Option<_>>()? }
            }
            10 => Self::Unmap { volume: volume(input)?, first: u64(input)?, past: u64(input)? },
            11 => {
                let count = byte(input)?;
                let page = |_| Some((byte(input)?, place(input)?));
                Self::Leaf { pages: (0..count).map(page).collect::<Option<_>>()? }
            }
            12 => {
                let count = byte(input)?;
                let child = |_| Some((byte(input)?, u32(input)?));
                Self::Inner { children: (0..count).map(child).collect::<Option<_>>()? }
            }
            13 => {
                let (volume, size, height) = (volume(input)?, u64(input)?, byte(input)?);
                let snapshot = if byte(input)? == 1 { Some(snapshot(input)?) } else { None };
                let node = if byte(input)? == 1 { Some(u32(input)?) } else { None };
                Self::Root { volume, snapshot, size, height, node }
            }
            _ => return None,
        })
    }
}

/// What [`Record::encode`] writes with.
trait Put {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self;

    fn tag(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn id(&mut self, value: u128) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn place(&mut self, place: Place) -> &mut Self {
        self.u32(place.slot).u32(place.crc)
    }
}

impl Put for Vec<u8> {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.extend_from_slice(bytes);
        self
    }
}

fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(*head)
}

fn byte(input: &mut &[u8]) -> Option<u8> {
    take(input).map(u8::from_le_bytes)
}

fn u32(input: &mut &[u8]) -> Option<u32> {
    take(input).map(u32::from_le_bytes)
}

fn u64(input: &mut &[u8]) -> Option<u64> {
    take(input).map(u64::from_le_bytes)
}

fn place(input: &mut &[u8]) -> Option<Place> {
    Some(Place { slot: u32(input)?, crc: u32(input)? })
}
