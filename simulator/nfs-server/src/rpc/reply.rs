//! Replies (RFC 5531 §9).

use bytes::Bytes;
use tokio::time::Instant;

use crate::rpc::call::{CallError, RPC_VERSION};
use crate::tree::Barrier;
use crate::xdr::Encoder;

const REPLY: u32 = 1;
const MSG_ACCEPTED: u32 = 0;
const MSG_DENIED: u32 = 1;
const SUCCESS: u32 = 0;
const PROG_UNAVAIL: u32 = 1;
const PROG_MISMATCH: u32 = 2;
const PROC_UNAVAIL: u32 = 3;
const GARBAGE_ARGS: u32 = 4;
const RPC_MISMATCH: u32 = 0;
const AUTH_ERROR: u32 = 1;
const AUTH_BADCRED: u32 = 1;

/// A reply to be sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    /// The record, to be sent one piece behind the other.
    pub(crate) pieces: Vec<Bytes>,
    /// What must be durable before.
    pub(crate) barriers: Vec<Barrier>,
    /// Not before this, if a lever makes the call late.
    pub(crate) due: Option<Instant>,
}

impl From<Bytes> for Reply {
    fn from(record: Bytes) -> Self {
        Self { pieces: vec![record], ..Self::default() }
    }
}

/// `accept_stat`, other than success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// PROG_UNAVAIL.
    ProgramUnavailable,
    /// PROG_MISMATCH, with the lowest and highest version spoken.
    VersionMismatch { low: u32, high: u32 },
    /// PROC_UNAVAIL.
    ProcedureUnavailable,
    /// GARBAGE_ARGS.
    GarbageArguments,
}

impl From<crate::xdr::XdrError> for Refusal {
    fn from(_: crate::xdr::XdrError) -> Self {
        Self::GarbageArguments
    }
}

/// Starts the reply to a call that is served: its results follow.
pub(crate) fn success(xid: u32) -> Encoder {
    let mut to = Encoder::with_capacity(256);
    for word in [xid, REPLY, MSG_ACCEPTED, 0, 0, SUCCESS] {
        to.u32(word);
    }
    to
}

/// The reply to a call that is not served.
pub(crate) fn refused(xid: u32, refusal: Refusal) -> Bytes {
    let mut to = Encoder::with_capacity(32);
    for word in [xid, REPLY, MSG_ACCEPTED, 0, 0] {
        to.u32(word);
    }
    match refusal {
        Refusal::ProgramUnavailable => to.u32(PROG_UNAVAIL),
        Refusal::VersionMismatch { low, high } => {
            for word in [PROG_MISMATCH, low, high] {
                to.u32(word);
            }
        }
        Refusal::ProcedureUnavailable => to.u32(PROC_UNAVAIL),
        Refusal::GarbageArguments => to.u32(GARBAGE_ARGS),
    }
    to.finish()
}

/// The reply to a record whose header is unfit; `None` where only closing the connection is left.
pub(crate) fn denied(error: &CallError) -> Option<Bytes> {
    let words: &[u32] = match error {
        CallError::NotACall => return None,
        CallError::RpcVersion { xid } => &[*xid, REPLY, MSG_DENIED, RPC_MISMATCH, RPC_VERSION, RPC_VERSION],
        CallError::BadCredential { xid } => &[*xid, REPLY, MSG_DENIED, AUTH_ERROR, AUTH_BADCRED],
    };
    let mut to = Encoder::with_capacity(words.len() * 4);
    for word in words {
        to.u32(*word);
    }
    Some(to.finish())
}
