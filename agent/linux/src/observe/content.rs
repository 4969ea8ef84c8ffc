//! What is on the volume's map.

use std::time::Instant;

use agent_core::facts::{Content, MapFact, Probe};

use crate::blocking::Bulkheads;
use crate::device::{self, DeviceError};
use crate::error_text::{chain, unknown};
use crate::root::HostRoot;

/// Reads it through one descriptor of the device whose identity was read through that descriptor.
pub(super) async fn observe(
    root: &HostRoot,
    bulkheads: &Bulkheads,
    map: &Probe<MapFact>,
    deadline: Instant,
) -> Probe<Content> {
    let map = match map {
        Probe::Present(map) => map,
        Probe::Absent => return Probe::Absent,
        Probe::Unknown(why) => return Probe::Unknown(why.clone()),
    };
    if map.usable.is_empty() {
        return Probe::unknown(format!("map {} has no usable path", map.name));
    }
    let (root, wwid, number) = (root.clone(), map.wwid.clone(), map.number);
    let call = move |_: &_| {
        let device = device::open(&root, &wwid, number)?;
        device.content().map_err(DeviceError::from)
    };
    match bulkheads.run(format!("the content of map {}", map.name), deadline, call).await {
        Ok(Ok(content)) => Probe::Present(content),
        Ok(Err(error)) => Probe::unknown(chain(&error)),
        Err(error) => unknown(&error),
    }
}
