//! Any bytes where records are expected: record marks, call headers, credentials.
#![no_main]

use std::cell::RefCell;

use dataplane_fuzz::{Stage, nfs};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static STAGE: RefCell<Stage<nfs_server::NfsServer>> = RefCell::new(Stage::new(nfs::build));
}

fuzz_target!(|input: &[u8]| {
    STAGE.with_borrow_mut(|stage| stage.play(async |connection| connection.send(input).await));
});
