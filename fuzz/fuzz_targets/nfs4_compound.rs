//! COMPOUND operations of NFS v4.0, v4.1 and v4.2, in a session where one is due.
//!
//! Input: for each COMPOUND the minor version (3: taken raw), the number of operations, their
//! length in two bytes, they. Before them stand SEQUENCE (v4.1, v4.2), PUTROOTFH and LOOKUP of the
//! export, unless bit 2 of the first byte is set.
#![no_main]

use std::cell::RefCell;

use dataplane_fuzz::nfs::{EXPORT, opaque, words};
use dataplane_fuzz::wire::{Bytes, u32_at};
use dataplane_fuzz::{Connection, Stage, nfs};
use libfuzzer_sys::fuzz_target;

/// COMPOUNDs of one input.
const COMPOUNDS: u32 = 8;
/// Operations (RFC 8881 §16.2).
const LOOKUP: u32 = 15;
const PUTROOTFH: u32 = 24;
const EXCHANGE_ID: u32 = 42;
const CREATE_SESSION: u32 = 43;
const SEQUENCE: u32 = 53;

thread_local! {
    static STAGE: RefCell<Stage<nfs_server::NfsServer>> = RefCell::new(Stage::new(nfs::build));
}

fuzz_target!(|input: &[u8]| {
    STAGE.with_borrow_mut(|stage| {
        stage.play(async |connection| {
            let mut session = None;
            let mut input = Bytes(input);
            for number in 0..COMPOUNDS {
                if input.is_empty() {
                    return;
                }
                let choice = input.byte();
                let minor = u32::from(choice & 3);
                let count = u32::from(input.byte());
                let length = usize::from(u16::from_be_bytes(input.array()));
                let operations = input.take(length);
                if minor == 3 {
                    if connection.call(number + 10, 100_003, 4, 1, operations).await.is_none() {
                        return;
                    }
                    continue;
                }
                if minor > 0 && session.is_none() {
                    session = open_session(connection, minor).await;
                }
                let mut body = Vec::new();
                let mut before = 0;
                if let Some((id, sequence)) = session.as_mut().filter(|_| minor > 0) {
                    body.extend(words(&[SEQUENCE]));
                    body.extend_from_slice(id);
                    body.extend(words(&[*sequence, 0, 0, 0]));
                    *sequence += 1;
                    before += 1;
                }
                if choice & 4 == 0 {
                    body.extend(words(&[PUTROOTFH, LOOKUP]));
                    body.extend(opaque(EXPORT.trim_start_matches('/').as_bytes()));
                    before += 2;
                }
                body.extend_from_slice(operations);
                let head = [opaque(b""), words(&[minor, before + count])].concat();
                let arguments = [head, body].concat();
                if connection.call(number + 10, 100_003, 4, 1, &arguments).await.is_none() {
                    return;
                }
            }
        });
    });
});

/// EXCHANGE_ID and CREATE_SESSION (RFC 8881 §18.35, §18.36): the session's id and its next sequence.
async fn open_session(connection: &mut Connection, minor: u32) -> Option<([u8; 16], u32)> {
    let head = |operation| [opaque(b""), words(&[minor, 1, operation])].concat();
    let owner = [vec![7; 8], opaque(b"fuzz")].concat();
    let exchange = [head(EXCHANGE_ID), owner, words(&[0, 0, 0])].concat();
    let reply = connection.call(2, 100_003, 4, 1, &exchange).await?;
    // accept_stat, status, empty tag, one result: EXCHANGE_ID, its status, then the client id.
    if u32_at(&reply, 4) != 0 {
        return None;
    }
    let client = reply.get(24..32)?;
    let sequence = u32_at(&reply, 32);
    let channel = words(&[0, 65536, 65536, 4096, 16, 4, 0]);
    let create = [
        head(CREATE_SESSION),
        client.to_vec(),
        words(&[sequence, 0]),
        channel.clone(),
        channel,
        words(&[0x4000_0000, 0]),
    ]
    .concat();
    let reply = connection.call(3, 100_003, 4, 1, &create).await?;
    if u32_at(&reply, 4) != 0 {
        return None;
    }
    Some((reply.get(24..40)?.try_into().ok()?, 1))
}
