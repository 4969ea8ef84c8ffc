//! CDBs with their data-out, in a session: decoding and execution of every command, R2T, residuals.
//!
//! Input: for each command the LUN's low bit and the direction, the expected length in two bytes,
//! 16 bytes of CDB, the length of the data in two bytes, the data.
#![no_main]

use std::cell::RefCell;

use dataplane_fuzz::wire::{Bytes, u32_at};
use dataplane_fuzz::{Connection, Stage, iscsi};
use libfuzzer_sys::fuzz_target;

/// Commands of one input.
const COMMANDS: u32 = 16;

thread_local! {
    static STAGE: RefCell<Stage<iscsi_target::IscsiServer>> = RefCell::new(Stage::new(iscsi::build));
}

fuzz_target!(|input: &[u8]| {
    STAGE.with_borrow_mut(|stage| {
        stage.play(async |connection| {
            if connection.log_in().await.is_none() {
                return;
            }
            let mut input = Bytes(input);
            for number in 0..COMMANDS {
                if input.is_empty() || command(connection, number, &mut input).await.is_none() {
                    return;
                }
            }
        });
    });
});

/// Sends one command and follows it to its status; `None` when the target closed.
async fn command(connection: &mut Connection, number: u32, input: &mut Bytes<'_>) -> Option<()> {
    let choice = input.byte();
    let expected = u32::from(u16::from_be_bytes(input.array()));
    let cdb: [u8; 16] = input.array();
    let length = usize::from(u16::from_be_bytes(input.array()));
    let data = input.take(length.min(expected as usize));
    let write = choice & 2 != 0;
    let first = if write { data.get(..data.len().min(512)).unwrap_or(data) } else { &[] };
    let mut header = [0; 48];
    header[0] = 0x01;
    header[1] = 0x80 | if write { 0x20 } else { 0x40 } | 1;
    header[9] = choice & 1;
    header[16..20].copy_from_slice(&number.to_be_bytes());
    header[20..24].copy_from_slice(&expected.to_be_bytes());
    header[24..28].copy_from_slice(&(number + 1).to_be_bytes());
    header[32..48].copy_from_slice(&cdb);
    connection.send(&iscsi::pdu(header, first)).await;
    loop {
        let (answer, _) = connection.receive_pdu().await?;
        match answer[0] & 0x3f {
            0x21 | 0x3f => return Some(()),
            0x25 if answer[1] & 1 != 0 => return Some(()),
            0x31 => {
                let (from, wanted) = (u32_at(&answer, 40) as usize, u32_at(&answer, 44) as usize);
                assert!(from + wanted <= expected as usize, "R2T for more than was announced");
                let mut whole = data.to_vec();
                whole.resize(from + wanted, 0xa5);
                for (place, (at, piece)) in (from..).step_by(512).zip(whole[from..].chunks(512)).enumerate() {
                    let mut header = [0; 48];
                    header[0] = 0x05;
                    header[1] = if at + piece.len() == whole.len() { 0x80 } else { 0 };
                    header[9] = choice & 1;
                    header[16..20].copy_from_slice(&number.to_be_bytes());
                    header[20..24].copy_from_slice(&answer[20..24]);
                    header[36..40].copy_from_slice(&(place as u32).to_be_bytes());
                    header[40..44].copy_from_slice(&(at as u32).to_be_bytes());
                    connection.send(&iscsi::pdu(header, piece)).await;
                }
            }
            _ => {}
        }
    }
}
