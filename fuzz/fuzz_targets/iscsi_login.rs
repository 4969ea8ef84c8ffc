//! Login text in well-formed login requests: stages, keys, CHAP, continuation.
//!
//! Input: for each request its flags, whether it is to be answered first, the length of its text in
//! two bytes, the text.
#![no_main]

use std::cell::RefCell;

use dataplane_fuzz::wire::Bytes;
use dataplane_fuzz::{Stage, iscsi};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static STAGE: RefCell<Stage<iscsi_target::IscsiServer>> = RefCell::new(Stage::new(iscsi::build));
}

fuzz_target!(|input: &[u8]| {
    STAGE.with_borrow_mut(|stage| {
        stage.play(async |connection| {
            let mut input = Bytes(input);
            while !input.is_empty() {
                let flags = input.byte();
                let length = u16::from_be_bytes(input.array()) as usize % 8193;
                connection.send(&iscsi::pdu(iscsi::login_header(flags), input.take(length))).await;
                let Some((header, _)) = connection.receive_pdu().await else { return };
                // Beyond a refusal and beyond the login there is nothing for this target to find.
                if header[0] & 0x3f != 0x23 || header[36] != 0 || header[1] & 0x83 == 0x83 {
                    return;
                }
            }
        });
    });
});
