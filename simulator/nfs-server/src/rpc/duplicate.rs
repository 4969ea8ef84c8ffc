//! Replies kept, so that a retransmitted call is not run twice.
//!
//! A client that lost its connection sends its unanswered calls again on the next one (RFC 1813
//! §4.4), from another port and with the same xid. The key is hence the client's address and not
//! its connection; a digest of the arguments tells the same xid of two mounts of one client apart.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::rpc::call::Call;
use crate::rpc::reply::Reply;

/// Replies kept per client: more calls than Linux has in flight (65,536 slots, seldom 128 used).
const REPLIES_PER_CLIENT: usize = 256;
/// Clients remembered; beyond, all are forgotten, which costs only the protection.
const MAX_CLIENTS: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    xid: u32,
    program: u32,
    version: u32,
    procedure: u32,
    digest: u64,
}

#[derive(Debug, Default)]
struct ClientReplies {
    replies: HashMap<Key, Reply>,
    order: VecDeque<Key>,
}

/// The recent replies of calls that must run once.
#[derive(Debug, Default)]
pub(crate) struct ReplyCache {
    clients: Mutex<HashMap<IpAddr, Arc<Mutex<ClientReplies>>>>,
    hasher: RandomState,
}

impl ReplyCache {
    /// Answers from the cache, or runs the call and keeps its reply. Calls of one client that come
    /// here run one after the other, so that a retransmission meets a finished original.
    pub(crate) fn answer_once(&self, client: IpAddr, call: Call, run: impl FnOnce(Call) -> Reply) -> Reply {
        let key = Key {
            xid: call.xid,
            program: call.program,
            version: call.version,
            procedure: call.procedure,
            digest: self.hasher.hash_one(call.arguments.rest()),
        };
        let replies = self.replies_of(client);
        let mut replies = replies.lock();
        if let Some(reply) = replies.replies.get(&key) {
            tracing::debug!(%client, xid = call.xid, "retransmission answered from the reply cache");
            return reply.clone();
        }
        let reply = run(call);
        if replies.order.len() >= REPLIES_PER_CLIENT
            && let Some(oldest) = replies.order.pop_front()
        {
            replies.replies.remove(&oldest);
        }
        replies.order.push_back(key);
        replies.replies.insert(key, reply.clone());
        reply
    }

    fn replies_of(&self, client: IpAddr) -> Arc<Mutex<ClientReplies>> {
        let mut clients = self.clients.lock();
        if clients.len() >= MAX_CLIENTS && !clients.contains_key(&client) {
            clients.clear();
        }
        clients.entry(client).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn reply(text: &'static str) -> Reply {
        Bytes::from_static(text.as_bytes()).into()
    }

    fn text(reply: &Reply) -> Vec<u8> {
        reply.pieces.concat()
    }

    fn call(xid: u32, argument: u32) -> Call {
        let words = [xid, 0, 2, 100_003, 3, 12, 0, 0, 0, 0, argument];
        Call::parse(words.iter().flat_map(|word: &u32| word.to_be_bytes()).collect()).unwrap()
    }

    fn client(last: u32) -> IpAddr {
        IpAddr::from([10, 0, (last >> 8) as u8, last as u8])
    }

    #[test]
    fn a_retransmission_gets_the_first_reply_and_does_not_run() {
        let cache = ReplyCache::default();
        let first = cache.answer_once(client(1), call(7, 1), |_| reply("done"));
        let again = cache.answer_once(client(1), call(7, 1), |_| panic!("ran twice"));
        assert_eq!(text(&first), text(&again));
    }

    #[test]
    fn another_client_or_other_arguments_under_the_same_xid_run() {
        let cache = ReplyCache::default();
        cache.answer_once(client(1), call(7, 1), |_| reply("a"));
        assert_eq!(text(&cache.answer_once(client(2), call(7, 1), |_| reply("b"))), b"b");
        assert_eq!(text(&cache.answer_once(client(1), call(7, 2), |_| reply("c"))), b"c");
    }

    #[test]
    fn the_cache_of_a_client_is_bounded() {
        let cache = ReplyCache::default();
        for xid in 0..REPLIES_PER_CLIENT as u32 + 1 {
            cache.answer_once(client(1), call(xid, 1), |_| reply("first"));
        }
        let newest = REPLIES_PER_CLIENT as u32;
        let second = |_: Call| reply("second");
        assert_eq!(text(&cache.answer_once(client(1), call(newest, 1), second)), b"first");
        assert_eq!(text(&cache.answer_once(client(1), call(0, 1), second)), b"second");
    }
}
