#![doc = include_str!("../README.md")]

mod change;
mod error;
mod image;
mod page;
mod store;
mod tree;
mod unflushed;
mod volume;

pub use error::{BlockError, StoreError};
pub use page::PAGE_SIZE;
pub use store::{Recovery, SnapshotId, Store, StoreUsage, VolumeId};
pub use unflushed::{Lost, PowerCut};
pub use volume::{Snapshot, Usage, Volume};
