//! ZAPI: the XML parser, the envelope, and each call's elements down to the machine.
//!
//! Input: text, a request in each paragraph. One that begins with `<` is sent as it stands; else its
//! first line is a vserver, or empty, and the rest the call, in a good envelope. Whatever comes, the
//! answer is a whole document, and a refused call leaves the array as it was.
#![no_main]

use std::cell::RefCell;

use dataplane_fuzz::array::{Running, portrait};
use libfuzzer_sys::fuzz_target;

/// Requests of one input.
const REQUESTS: usize = 12;

thread_local! {
    static ARRAY: RefCell<Running> = RefCell::new(Running::default());
}

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    ARRAY.with_borrow_mut(|running| {
        let array = running.array();
        let mut before = array.read(portrait);
        for request in text.split("\n\n").take(REQUESTS) {
            let document = match request.split_once('\n') {
                Some((vserver, call)) if !request.starts_with('<') => {
                    let vfiler = if vserver.is_empty() { String::new() } else { format!(" vfiler='{vserver}'") };
                    format!("<netapp version='1.221' xmlns='http://www.netapp.com/filer/admin'{vfiler}>{call}</netapp>")
                }
                _ => request.to_owned(),
            };
            let answer = array.answer_zapi(None, document.as_bytes());
            assert!(answer.contains("<results ") && answer.ends_with("</netapp>"), "{document}: {answer}");
            let after = array.read(portrait);
            if answer.contains("<results status=\"failed\"") || answer.contains("<results status='failed'") {
                assert_eq!(before, after, "{document}: {answer} and a change");
            }
            before = after;
        }
    });
});
