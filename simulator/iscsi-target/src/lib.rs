//! An iSCSI target in user space (RFC 7143, SPC-4, SBC-3) that shows an array's identity: its
//! INQUIRY strings, serials, NAA names, target port groups, masking and CHAP.
//!
//! ```text
//! simulator ─ put_target → IscsiServer ◄─ bind_portal
//!                              │ one task per connection
//! initiator ─TCP→ portal → connection ─ login (text, chap) → session → scsi → blockstore::Volume
//! ```
//!
//! A [`Target`] is a plain value: the simulator computes it from its own state and puts it whole.
//! Live sessions notice the difference with their next command and report it to the initiator as
//! unit attentions, as an array does.

mod chap;
mod connection;
mod directory;
mod field;
#[cfg(test)]
mod fuzzing;
mod governor;
mod login;
mod options;
mod pdu;
mod portal;
mod scsi;
mod server;
mod session;
mod target;
mod text;
mod transport;

pub use chap::ChapAlgorithm;
pub use governor::{Direction, Governor, Transfer};
pub use levers::PortalFault;
pub use options::{Keepalive, Options};
pub use portal::{PortGroup, Portal, PortalError, Redirect};
pub use server::{IscsiServer, SessionInfo};
pub use session::orders::AsyncEvent;
pub use target::{Auth, AuthPolicy, BlockSize, ChapSecret, Identity, Lun, Target, Visibility};
