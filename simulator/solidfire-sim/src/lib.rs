//! A NetApp SolidFire (Element) cluster in one process: JSON-RPC API and iSCSI.
//!
//! ```text
//! client -HTTPS-> rpc: decode -> state: (State, Request) -> Reply + changes -> rpc: render -> client
//!                                                              | dataplane: carry out
//! initiator -iSCSI-> target of the volume <--------------------+
//! ```

pub mod state;
