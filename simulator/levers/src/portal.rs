//! Faults of one portal (a LIF's or SVIP's address and port), as the data planes see them.

use serde::{Deserialize, Serialize};

use crate::latency::Latency;

/// How a portal misbehaves. As JSON: `"refuse"`, `{"slow":{"fixed":{"us":20000}}}`,
/// `{"drop_after":{"messages":100}}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PortalFault {
    /// It does not.
    #[default]
    None,
    /// Down with notice: open connections are closed, new ones get "connection refused".
    Refuse,
    /// Down without notice: open connections fall silent and new ones are never answered. Lifted,
    /// both go on where they were, as after a healed partition.
    Blackhole,
    /// Connections open now are cut with a TCP reset, and so is each new one once accepted: a
    /// firewall that lost its state, or a crashed node behind a live address.
    Reset,
    /// Each answer (a batch of them, where several are sent together) is late.
    Slow(Latency),
    /// Each connection is closed after so many messages (iSCSI PDUs, RPC calls) from its peer,
    /// counted from when the lever was pulled.
    DropAfter {
        /// Messages served before the end.
        messages: u64,
    },
}
