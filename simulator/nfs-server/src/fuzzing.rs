//! Entry points for fuzzing: bytes from a client, at each depth at which they are looked at.

use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use levers::{EventLog, Levers};

use crate::export::{Export, Exports};
use crate::nfs3::Nfs3;
use crate::nfs4::Nfs4;
use crate::policy::{AuthRule, ExportPolicy, ExportRule};
use crate::rpc::{Caller, Credential, Service, read_record};
use crate::tree::{FileTree, RootAttributes};
use crate::xdr::{Decoder, Encoder};

/// Reads records from a stream of these bytes until it ends or is refused.
pub fn records(mut stream: &[u8]) {
    loop {
        let reading = pin!(read_record(&mut stream));
        // Bytes in memory are always ready.
        match reading.poll(&mut Context::from_waker(Waker::noop())) {
            std::task::Poll::Ready(Ok(Some(_))) => {}
            _ => return,
        }
    }
}

/// An SVM with one volume in memory, that keeps its state from one input to the next.
#[derive(Debug)]
pub struct Svm {
    nfs3: Nfs3,
    nfs4: Nfs4,
    caller: Caller,
}

impl Default for Svm {
    fn default() -> Self {
        let levers = Levers::new();
        let exports = Arc::new(Exports::new(levers.nfs("")));
        let any = AuthRule::Any;
        let clients = vec!["0.0.0.0/0".parse()].into_iter().flatten().collect();
        let rule = ExportRule { index: 1, clients, ro: any, rw: any, superuser: any, anonymous_uid: 0 };
        let policy = Arc::new(ExportPolicy { name: "fuzzing".into(), rules: vec![rule] });
        let tree = FileTree::new(1 << 20, RootAttributes { mode: 0o777, uid: 0, gid: 0 });
        exports.put(Export { path: "/v".into(), tree, policy });
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            nfs3: Nfs3::new(exports.clone()),
            nfs4: Nfs4::new(exports, EventLog::new()),
            caller: Caller { address, credential: Credential::Anonymous },
        }
    }
}

impl Svm {
    /// Runs a COMPOUND, from its tag on; the length of the reply.
    #[must_use]
    pub fn compound(&self, arguments: &[u8]) -> usize {
        Self::serve(&self.nfs4, 1, &self.caller, arguments)
    }

    /// Runs a procedure of NFS v3; the length of the reply.
    #[must_use]
    pub fn procedure(&self, procedure: u32, arguments: &[u8]) -> usize {
        Self::serve(&self.nfs3, procedure, &self.caller, arguments)
    }

    fn serve(service: &dyn Service, procedure: u32, caller: &Caller, arguments: &[u8]) -> usize {
        let mut from = Decoder::new(Bytes::copy_from_slice(arguments));
        let mut to = Encoder::default();
        let _ = service.may_repeat(procedure, &from);
        let _ = service.moves_data(procedure, &from);
        let _ = service.serve(procedure, caller, &mut from, &mut to);
        to.len()
    }
}

/// Reads the header of a call.
pub fn call(record: &[u8]) {
    let _ = crate::rpc::call::Call::parse(Bytes::copy_from_slice(record));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Words that get far: small counts, operations, and noise.
    fn words() -> impl Strategy<Value = Vec<u32>> {
        let word = prop_oneof![4 => 0u32..4, 6 => 3u32..72, 1 => Just(u32::MAX), 1 => any::<u32>()];
        proptest::collection::vec(word, 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn no_compound_makes_the_server_panic(
            minor in 0u32..4, count in 0u32..9, words in words(), cut in 0usize..5, rooted: bool,
        ) {
            let mut head = vec![0, minor, count];
            if rooted {
                head.push(24);
            }
            let words = head.into_iter().chain(words);
            let mut bytes: Vec<u8> = words.flat_map(u32::to_be_bytes).collect();
            bytes.truncate(bytes.len().saturating_sub(cut));
            prop_assert!(Svm::default().compound(&bytes) < 1 << 20);
        }

        #[test]
        fn no_stream_makes_the_reader_of_records_panic(
            noise in proptest::collection::vec(prop_oneof![Just(0u8), Just(0x80), any::<u8>()], 0..200),
        ) {
            records(&noise);
            call(&noise);
        }
    }
}
