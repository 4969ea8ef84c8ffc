//! Which program serves a call.

use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::rpc::call::{Call, Credential};
use crate::rpc::duplicate::ReplyCache;
use crate::rpc::reply::{self, Refusal};
use crate::xdr::{Decoder, Encoder};

/// Where a call comes from.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The peer's address; IPv4 as IPv4 even where it came in through an IPv6 socket.
    pub(crate) address: IpAddr,
    pub(crate) credential: Credential,
}

/// One version of one program.
pub(crate) trait Service: Debug + Send + Sync {
    fn program(&self) -> u32;
    fn version(&self) -> u32;

    /// May the procedure run twice without harm? If not, a retransmission is answered from the
    /// reply cache.
    fn is_idempotent(&self, procedure: u32) -> bool {
        let _ = procedure;
        true
    }

    /// Runs a procedure and writes its results. What was written before a refusal is discarded.
    fn serve(
        &self,
        procedure: u32,
        caller: &Caller,
        arguments: &mut Decoder,
        results: &mut Encoder,
    ) -> Result<(), Refusal>;
}

/// The programs behind one socket, and the replies kept for retransmissions.
#[derive(Debug, Clone)]
pub(crate) struct Dispatcher {
    services: Arc<[Arc<dyn Service>]>,
    replies: Arc<ReplyCache>,
}

impl Dispatcher {
    pub(crate) fn new(services: impl IntoIterator<Item = Arc<dyn Service>>) -> Self {
        Self { services: services.into_iter().collect(), replies: Arc::default() }
    }

    /// The reply to a record; `None` where nothing can be answered and the connection must go.
    pub(crate) fn answer(&self, from: IpAddr, record: Bytes) -> Option<Bytes> {
        let address = from.to_canonical();
        match Call::parse(record) {
            Ok(call) => Some(self.answer_call(address, call)),
            Err(error) => {
                tracing::debug!(client = %address, %error, "unfit call");
                reply::denied(&error)
            }
        }
    }

    fn answer_call(&self, address: IpAddr, call: Call) -> Bytes {
        let service = match self.require_service(&call) {
            Ok(service) => service,
            Err(refusal) => return reply::refused(call.xid, refusal),
        };
        if service.is_idempotent(call.procedure) {
            run(service, address, call)
        } else {
            self.replies.answer_once(address, call, |call| run(service, address, call))
        }
    }

    fn require_service(&self, call: &Call) -> Result<&dyn Service, Refusal> {
        let versions = self.services.iter().filter(|service| service.program() == call.program);
        if let Some(service) = versions.clone().find(|service| service.version() == call.version) {
            return Ok(&**service);
        }
        let numbers = versions.map(|service| service.version());
        match (numbers.clone().min(), numbers.max()) {
            (Some(low), Some(high)) => Err(Refusal::VersionMismatch { low, high }),
            _ => Err(Refusal::ProgramUnavailable),
        }
    }
}

fn run(service: &dyn Service, address: IpAddr, mut call: Call) -> Bytes {
    let caller = Caller { address, credential: call.credential };
    let mut results = reply::success(call.xid);
    match service.serve(call.procedure, &caller, &mut call.arguments, &mut results) {
        Ok(()) => results.finish(),
        Err(refusal) => {
            let (program, procedure) = (call.program, call.procedure);
            tracing::debug!(client = %address, program, procedure, ?refusal, "call refused");
            reply::refused(call.xid, refusal)
        }
    }
}
