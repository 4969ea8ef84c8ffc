//! Worker nodes as virtual machines: image, boot, snapshot, control channel.
//!
//! ```text
//! Image     Debian root, kernel, initial RAM disk      built once, cached on disk
//! Template  a node booted from it and saved            booted once, cached on disk
//! Network   a namespace with three bridges             one per test
//! Node      restored from the template into a network  a fraction of a second
//! Guest     programs, files, relays, state in a node
//! ```
//!
//! Everything needs root: network namespaces, taps, and the builder of the image.
#![forbid(unsafe_code)]

mod accelerator;
mod channel;
mod guest;
mod image;
mod machine;
mod network;
mod node;
mod qemu;
mod qmp;
mod template;

pub use accelerator::Accelerator;
pub use guest::{Guest, GuestError, Output, Process};
pub use image::{CacheError, HOST_PACKAGES, Image, ImageError};
pub use machine::MachineError;
pub use network::{Fabric, LifAddresses, Network, NetworkError, in_network};
pub use node::{Node, NodeSpec};
pub use qmp::QmpError;
pub use template::{Template, TemplateError};
pub use vm_guest::protocol::{DeviceMapper, Ended, NodeState};
