//! What the server tells a live session to do: announce something to the initiator (asynchronous
//! messages, RFC 7143 §11.9), or hand itself over to a new connection (§6.3.4).

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::wire::StatSn;
use super::{ScsiSide, Session};
use crate::pdu::{FINAL, NO_TAG, Pdu, opcode};
use crate::transport::Closed;

/// Events of an asynchronous message.
const LOGOUT_REQUEST: u8 = 1;
const CONNECTION_DROP: u8 = 2;
const SESSION_DROP: u8 = 3;
const NEGOTIATION_REQUEST: u8 = 4;

/// What a target tells an initiator unasked (RFC 7143 §11.9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsyncEvent {
    /// Event 1: log out within this time (whole seconds, at least one); a connection still there
    /// afterwards is dropped.
    LogoutRequest {
        /// Parameter3.
        within: Duration,
    },
    /// Event 2: this connection is dropped now; come back no sooner than after this time (whole
    /// seconds).
    ConnectionDrop {
        /// Parameter2, Time2Wait.
        wait: Duration,
    },
    /// Event 3: all connections of the session, of which there is one, are dropped now.
    SessionDrop {
        /// Parameter2, Time2Wait.
        wait: Duration,
    },
    /// Event 4: negotiate parameters anew within this time (whole seconds).
    NegotiationRequest {
        /// Parameter3.
        within: Duration,
    },
}

/// An order to a session.
#[derive(Debug)]
pub(crate) enum Order {
    Announce(AsyncEvent),
    HandOver(oneshot::Sender<Carried>),
}

/// What outlives a connection that another one reinstates: the nexus and its place in the registry.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) scsi: ScsiSide,
}

impl Session {
    pub(super) async fn obey(&mut self, order: Order) -> Result<(), Closed> {
        match order {
            Order::Announce(event) => self.announce(event).await,
            Order::HandOver(to) => {
                if let Some(carried) = self.hand_over() {
                    // A successor that is gone takes the session with it.
                    let _ = to.send(carried);
                }
                Err(Closed::TakenOver)
            }
        }
    }

    async fn announce(&mut self, event: AsyncEvent) -> Result<(), Closed> {
        let seconds = |time: Duration| u16::try_from(time.as_secs()).unwrap_or(u16::MAX);
        let (code, parameters) = match event {
            AsyncEvent::LogoutRequest { within } => (LOGOUT_REQUEST, [0, 0, seconds(within).max(1)]),
            AsyncEvent::ConnectionDrop { wait } => {
                (CONNECTION_DROP, [self.login.connection_id, seconds(wait), 0])
            }
            AsyncEvent::SessionDrop { wait } => (SESSION_DROP, [0, seconds(wait), 0]),
            AsyncEvent::NegotiationRequest { within } => (NEGOTIATION_REQUEST, [0, 0, seconds(within)]),
        };
        let [first, second, third] = parameters.map(u16::to_be_bytes);
        let message = Pdu::new(opcode::ASYNC_MESSAGE, FINAL)
            .with_task_tag(NO_TAG)
            .with(36, &[code])
            .with(38, &first)
            .with(40, &second)
            .with(42, &third);
        self.wire.respond(message, StatSn::Takes).await?;
        match event {
            AsyncEvent::LogoutRequest { within } => {
                self.logout_by = Some(Instant::now() + within.max(Duration::from_secs(1)));
                Ok(())
            }
            AsyncEvent::ConnectionDrop { .. } | AsyncEvent::SessionDrop { .. } => Err(Closed::ByTarget),
            AsyncEvent::NegotiationRequest { .. } => Ok(()),
        }
    }
}
