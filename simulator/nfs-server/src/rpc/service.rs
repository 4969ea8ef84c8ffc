//! Which program serves a call.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use levers::{EventLog, Levers, Meter, NfsLever, Traffic};
use parking_lot::RwLock;
use serde_json::json;
use tokio::time::Instant;

use crate::rpc::call::{Call, Credential};
use crate::rpc::duplicate::ReplyCache;
use crate::rpc::reply::{self, Refusal, Reply};
use crate::tree::take_barriers;
use crate::xdr::{Decoder, Encoder};

/// Clients whose traffic is counted.
const MAX_METERS: usize = 4096;

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

    /// Does the call carry data, so that it is late with the data and not with the metadata?
    fn moves_data(&self, procedure: u32, arguments: &Decoder) -> bool {
        let _ = (procedure, arguments);
        false
    }

    /// May this very call run twice without harm?
    fn may_repeat(&self, procedure: u32, arguments: &Decoder) -> bool {
        let _ = arguments;
        self.is_idempotent(procedure)
    }

    /// Is the version spoken at present?
    fn is_enabled(&self) -> bool {
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
    levers: Levers,
    lever: NfsLever,
    events: EventLog,
    meters: Arc<RwLock<BTreeMap<IpAddr, Meter>>>,
}

impl Dispatcher {
    /// Programs that obey `lever`, drawing the delays from `levers`; where calls are traced,
    /// `events` gets one `nfs.call` each.
    pub(crate) fn new(
        services: impl IntoIterator<Item = Arc<dyn Service>>,
        levers: Levers,
        lever: NfsLever,
        events: EventLog,
    ) -> Self {
        Self {
            services: services.into_iter().collect(),
            replies: Arc::default(),
            levers,
            lever,
            events,
            meters: Arc::default(),
        }
    }

    pub(crate) fn levers(&self) -> (&Levers, &NfsLever) {
        (&self.levers, &self.lever)
    }

    pub(crate) fn events(&self) -> &EventLog {
        &self.events
    }

    /// The reply to a record; `None` where nothing can be answered and the connection must go.
    pub(crate) fn answer(&self, from: IpAddr, record: Bytes) -> Option<Reply> {
        let (address, received) = (from.to_canonical(), record.len());
        match Call::parse(record) {
            Ok(call) => {
                let reply = self.answer_call(address, call);
                let sent = reply.pieces.iter().map(|piece| piece.len() as u64).sum();
                self.count(address, sent, received as u64);
                Some(reply)
            }
            Err(error) => {
                tracing::debug!(client = %address, %error, "unfit call");
                reply::denied(&error).map(Reply::from)
            }
        }
    }

    fn count(&self, client: IpAddr, sent: u64, received: u64) {
        if let Some(meter) = self.meters.read().get(&client) {
            return meter.count(sent, received);
        }
        let mut meters = self.meters.write();
        if meters.len() < MAX_METERS {
            meters.entry(client).or_default().count(sent, received);
        }
    }

    /// What a client has called so far, whatever LIF it came through.
    pub(crate) fn traffic(&self, client: IpAddr) -> Traffic {
        self.meters.read().get(&client).map(Meter::traffic).unwrap_or_default()
    }

    fn answer_call(&self, address: IpAddr, call: Call) -> Reply {
        let (program, version, procedure) = (call.program, call.version, call.procedure);
        self.events.trace(
            "nfs.call",
            || json!({ "client": address, "program": program, "version": version, "procedure": procedure }),
        );
        let service = match self.require_service(&call) {
            Ok(service) => service,
            Err(refusal) => return reply::refused(call.xid, refusal).into(),
        };
        let due = self.due(service, &call);
        let reply = if service.may_repeat(procedure, &call.arguments) {
            run(service, address, call)
        } else {
            self.replies.answer_once(address, call, |call| run(service, address, call))
        };
        Reply { due, ..reply }
    }

    /// When the reply may go, if a lever makes it late.
    fn due(&self, service: &dyn Service, call: &Call) -> Option<Instant> {
        let faults = self.lever.faults()?;
        let latency = if service.moves_data(call.procedure, &call.arguments) {
            faults.data_latency
        } else {
            faults.metadata_latency
        };
        latency.map(|latency| Instant::now() + self.levers.draw(latency))
    }

    fn require_service(&self, call: &Call) -> Result<&dyn Service, Refusal> {
        let versions =
            self.services.iter().filter(|service| service.program() == call.program && service.is_enabled());
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

fn run(service: &dyn Service, address: IpAddr, mut call: Call) -> Reply {
    let caller = Caller { address, credential: call.credential };
    let mut results = reply::success(call.xid);
    match service.serve(call.procedure, &caller, &mut call.arguments, &mut results) {
        Ok(()) => Reply { pieces: results.finish_pieces(), barriers: take_barriers(), due: None },
        Err(refusal) => {
            let (program, procedure) = (call.program, call.procedure);
            tracing::debug!(client = %address, program, procedure, ?refusal, "call refused");
            Reply { barriers: take_barriers(), ..reply::refused(call.xid, refusal).into() }
        }
    }
}
