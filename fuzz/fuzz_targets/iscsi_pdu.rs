//! Any bytes, after a login or instead of one: PDU framing, opcodes in any order.
#![no_main]

use std::cell::RefCell;

use dataplane_fuzz::{Stage, iscsi};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static STAGE: RefCell<Stage<iscsi_target::IscsiServer>> = RefCell::new(Stage::new(iscsi::build));
}

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else { return };
    STAGE.with_borrow_mut(|stage| {
        stage.play(async |connection| {
            if first & 1 == 0 || connection.log_in().await.is_some() {
                connection.send(rest).await;
            }
        });
    });
});
