//! NFS v3 and MOUNT arguments behind good call headers, with a handle that exists where one is due.
//!
//! Input: for each call the procedure and what stands before the arguments (1: the root's handle,
//! 2: that of the last object made or looked up, else nothing), their length in two bytes, they.
#![no_main]

use std::cell::RefCell;

use dataplane_fuzz::nfs::opaque;
use dataplane_fuzz::wire::{Bytes, u32_at};
use dataplane_fuzz::{Stage, nfs};
use libfuzzer_sys::fuzz_target;

/// Calls of one input.
const CALLS: u32 = 16;

thread_local! {
    static STAGE: RefCell<Stage<nfs_server::NfsServer>> = RefCell::new(Stage::new(nfs::build));
}

fuzz_target!(|input: &[u8]| {
    STAGE.with_borrow_mut(|stage| {
        stage.play(async |connection| {
            let Some(root) = connection.root().await else { return };
            let mut last = root.clone();
            let mut input = Bytes(input);
            for xid in 2..2 + CALLS {
                if input.is_empty() {
                    return;
                }
                let (procedure, prefix) = (input.byte(), input.byte());
                let length = usize::from(u16::from_be_bytes(input.array()));
                let mut arguments = match prefix & 3 {
                    1 => opaque(&root),
                    2 => opaque(&last),
                    _ => Vec::new(),
                };
                arguments.extend_from_slice(input.take(length));
                let program = if prefix & 0x40 == 0 { 100_003 } else { 100_005 };
                let Some(reply) = connection.call(xid, program, 3, procedure.into(), &arguments).await else {
                    return;
                };
                if let Some(handle) = made(procedure, &reply) {
                    last = handle;
                }
            }
        });
    });
});

/// The handle in the reply to a successful LOOKUP, CREATE, MKDIR or SYMLINK (RFC 1813 §3.3).
fn made(procedure: u8, reply: &[u8]) -> Option<Vec<u8>> {
    if u32_at(reply, 0) != 0 || u32_at(reply, 4) != 0 {
        return None;
    }
    let at = match procedure {
        3 => 8,
        8..=10 if u32_at(reply, 8) == 1 => 12,
        _ => return None,
    };
    reply.get(at + 4..at + 4 + u32_at(reply, at) as usize).map(<[u8]>::to_vec)
}
