//! Portals: listening addresses, each with its portal group tag and its place in ALUA.

use std::net::SocketAddr;

use thiserror::Error;

/// A network portal to be (RFC 7143 §4.4.1): one LIF on ONTAP, the SVIP on SolidFire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portal {
    /// Where to listen; port 0 lets the system choose. Initiators are told this address, so it
    /// should not be the unspecified one.
    pub listen: SocketAddr,
    /// Target portal group tag, as SendTargets and login show it.
    pub tag: u16,
    /// Its target port in SCSI terms.
    pub group: PortGroup,
}

/// The SCSI target port behind a portal (SPC-4 §5.15, §7.8.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortGroup {
    /// TARGET PORT GROUP identifier.
    pub id: u16,
    /// RELATIVE TARGET PORT IDENTIFIER, from 1, unique on the array.
    pub relative_port: u16,
}

/// Why a portal could not be bound.
#[derive(Debug, Error)]
pub enum PortalError {
    /// The system refused the address.
    #[error("cannot listen for iSCSI on {address}: is it configured on this host and free?")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// This server listens there already.
    #[error("{address} is already a portal of this server")]
    AlreadyBound {
        /// The address asked for.
        address: SocketAddr,
    },
}
