//! What the host and the control program inside a worker node have in common.
//!
//! The node runs `vm-guest` as PID 1; the host's `vm` crate talks to it over one virtio-serial
//! port. [`protocol`] is that conversation, [`command`] the one way either side runs a program.
#![forbid(unsafe_code)]

pub mod command;
pub mod protocol;
