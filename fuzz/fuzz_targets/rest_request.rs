//! The REST skin and the machine below it, without sockets: paths, the query language, bodies.
//!
//! Input: text, a request in each paragraph: `METHOD TARGET` in its first line, the JSON body in
//! the others. All of one input go to one array. Whatever comes, the answer is the envelope that
//! clients know, and a refused request leaves the array as it was.
#![no_main]

use dataplane_fuzz::array;
use libfuzzer_sys::fuzz_target;
use ontap_sim::rest::{self, Call, Method};
use serde_json::Value;

/// Requests of one input.
const REQUESTS: usize = 12;

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let mut cluster = array::boot();
    let mut before = array::portrait(&cluster);
    for request in text.split("\n\n").take(REQUESTS) {
        let (line, body) = request.split_once('\n').unwrap_or((request, ""));
        let (method, target) = line.split_once(' ').unwrap_or(("GET", line));
        let Some(method) = Method::from_name(method) else { continue };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let body = serde_json::from_str(body).unwrap_or(Value::Null);
        let call = Call { method, path: path.into(), query: query.into(), svm: None, body };
        let answer = rest::answer(&mut cluster, &call);
        assert!(answer.body.is_object(), "{request}: {}", answer.body);
        let refused = answer.status >= 400;
        assert_eq!(refused, answer.body["error"]["code"].is_string(), "{request}: {}", answer.body);
        let after = array::portrait(&cluster);
        if refused || method == Method::Get {
            assert_eq!(before, after, "{request}: {} and a change", answer.body);
        }
        before = after;
        cluster.take_changes();
    }
});
