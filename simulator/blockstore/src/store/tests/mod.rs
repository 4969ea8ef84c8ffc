//! The data directory under power loss and damage.

// A test that cannot read its own directory fails.
#![allow(clippy::unwrap_used)]

mod damage;
mod loss;
mod power;
mod threads;

use std::sync::Arc;

use self::power::PowerDirectory;
use super::{Store, open};
use crate::error::StoreError;
use crate::volume::Volume;

/// Small, so that every few commits there is a checkpoint.
const CHECKPOINT_AFTER: u64 = 600;

fn open_in(directory: &PowerDirectory) -> Result<Store, StoreError> {
    open::open(Arc::new(directory.clone()), CHECKPOINT_AFTER)
}

fn content(volume: &Volume) -> Vec<u8> {
    let mut bytes = vec![0xee; volume.size() as usize];
    volume.read_at(0, &mut bytes).unwrap();
    bytes
}
