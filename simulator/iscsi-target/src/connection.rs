//! One connection from its first byte to its last: login, then the session.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use levers::Traffic;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::directory::{AtPortal, Line, PortCell, SessionKey, TargetCell};
use crate::login::{Accepted, LOGIN_SEGMENT, Login, MAX_RECEIVE, Refusal, Step, grant};
use crate::pdu::{Input, Pdu, Received};
use crate::portal::Portal;
use crate::server::{Inner, SessionInfo};
use crate::session::orders::{Carried, Order};
use crate::session::{Place, ScsiSide, Session, Surroundings};
use crate::transport::{Closed, Transport};

/// How long a reinstated session or connection may take to end.
const REINSTATE_DEADLINE: Duration = Duration::from_secs(5);
/// Orders a session may have waiting.
const MAX_ORDERS: usize = 8;

/// A connection and where it came in.
pub(crate) struct Connection {
    inner: Arc<Inner>,
    peer: SocketAddr,
    portal: Portal,
    place: Place,
    stop: CancellationToken,
}

/// What a login comes to.
struct LoggedIn {
    /// The last response, which needs a session handle.
    response: Pdu,
    accepted: Box<Accepted>,
    scsi: Option<ScsiSide>,
    orders: mpsc::Receiver<Order>,
}

impl Connection {
    /// Serves one connection.
    pub(crate) async fn serve(
        inner: Arc<Inner>,
        stream: TcpStream,
        peer: SocketAddr,
        portal: Portal,
        port: Arc<PortCell>,
        stop: CancellationToken,
    ) {
        let Ok(local) = stream.local_addr() else { return };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "connection gone before it began");
            return;
        }
        let fault = inner.levers.watch_portal(portal.listen);
        let mut transport = Transport::new(stream, inner.levers.clone(), fault, stop.clone());
        let mut input = Input::new(LOGIN_SEGMENT);
        let place = Place { portal: portal.listen, port, local };
        let deadline = inner.options.login_deadline;
        let connection = Self { inner, peer, portal, place, stop };
        match timeout(deadline, connection.log_in(&mut transport, &mut input)).await {
            Ok(Ok(logged_in)) => connection.serve_session(transport, input, logged_in).await,
            Ok(Err(closed)) => {
                transport.shut_down(&closed).await;
                tracing::debug!(%peer, %closed, "no login");
            }
            Err(_) => tracing::debug!(%peer, "no login in time"),
        }
    }

    /// Plays the login phase.
    async fn log_in(&self, transport: &mut Transport, input: &mut Input) -> Result<LoggedIn, Closed> {
        let registry = &self.inner.registry;
        let directory = AtPortal { registry, address: self.portal.listen, tag: self.portal.tag };
        let mut login = Login::new(&self.inner.options.chap);
        loop {
            let request = next_request(transport, input).await?;
            match login.answer(&request, &directory) {
                Step::Reply(response) => {
                    transport.send(&response).await?;
                    transport.flush().await?;
                }
                Step::Complete(response, accepted) => match self.enter(&accepted).await? {
                    Ok((scsi, orders)) => return Ok(LoggedIn { response, accepted, scsi, orders }),
                    Err(refusal) => {
                        let response = login.refuse(&request.lend(), &refusal);
                        return self.refuse(transport, &login, &response, &refusal).await;
                    }
                },
                Step::Refuse(response, refusal) => {
                    return self.refuse(transport, &login, &response, &refusal).await;
                }
            }
        }
    }

    async fn refuse(
        &self,
        transport: &mut Transport,
        login: &Login,
        response: &Pdu,
        refusal: &Refusal,
    ) -> Result<LoggedIn, Closed> {
        self.record_refusal(login, refusal);
        transport.send(response).await?;
        Err(Closed::Protocol("login refused"))
    }

    async fn serve_session(self, mut transport: Transport, mut input: Input, logged_in: LoggedIn) {
        let LoggedIn { response, accepted, scsi, orders } = logged_in;
        // A discovery session has no place in the registry; any handle but 0 will do.
        let tsih = scsi.as_ref().map_or(1, ScsiSide::tsih);
        let particulars = self.particulars(&accepted, tsih);
        self.inner.events.record("iscsi.login", particulars.clone());
        let closed = match transport.send(&grant(response, tsih)).await {
            Ok(()) => {
                let digests = accepted.parameters.digests;
                transport.set_digests(digests);
                (input.digests, input.limit) = (digests, MAX_RECEIVE);
                let surroundings = Surroundings {
                    registry: Arc::clone(&self.inner.registry),
                    events: self.inner.events.clone(),
                    levers: self.inner.levers.clone(),
                    keepalive: self.inner.options.keepalive,
                };
                Session::new(surroundings, self.place.clone(), transport, accepted, scsi, orders)
                    .run(input)
                    .await
            }
            Err(closed) => closed,
        };
        let mut particulars = particulars;
        if let Value::Object(fields) = &mut particulars {
            fields.insert("reason".into(), json!(closed.to_string()));
        }
        self.inner.events.record("iscsi.session_closed", particulars);
    }

    fn particulars(&self, login: &Accepted, tsih: u16) -> Value {
        json!({
            "target": login.peer.target, "initiator": login.peer.initiator_name,
            "portal": self.portal.listen, "peer": self.peer, "tsih": tsih,
        })
    }

    /// Enters a normal session; one it reinstates has ended when this returns (RFC 7143 §6.3.5). None
    /// for a discovery session.
    async fn enter(
        &self,
        login: &Accepted,
    ) -> Result<Result<(Option<ScsiSide>, mpsc::Receiver<Order>), Refusal>, Closed> {
        let (orders, received) = mpsc::channel(MAX_ORDERS);
        let line = Line { id: login.connection_id, stop: self.stop.clone(), orders };
        let Some(target) = &login.peer.target else { return Ok(Ok((None, received))) };
        let scsi = match login.reinstates {
            Some(tsih) => match self.take_over(tsih, line).await {
                Some(carried) => {
                    self.welcoming(target, login)?;
                    carried.scsi
                }
                None => return Ok(Err(Refusal::NoSuchSession)),
            },
            None if self.inner.registry.session_count() >= self.inner.options.max_sessions => {
                return Ok(Err(Refusal::TooManySessions));
            }
            None => self.begin(target, login, line).await?,
        };
        Ok(Ok((Some(scsi), received)))
    }

    /// Enters a new session with a target.
    async fn begin(&self, target: &str, login: &Accepted, line: Line) -> Result<ScsiSide, Closed> {
        let peer = &login.peer;
        let key = SessionKey {
            target: target.to_owned(),
            initiator: peer.initiator.clone(),
            isid: peer.isid,
            tag: self.portal.tag,
        };
        let info = SessionInfo {
            target: target.to_owned(),
            initiator: peer.initiator_name.clone(),
            portal: self.portal.listen,
            tag: self.portal.tag,
            peer: self.peer,
            isid: peer.isid,
            tsih: 0,
            luns: Vec::new(),
            traffic: Traffic::default(),
        };
        let (guard, predecessors) = self.inner.registry.enter(key, info, line);
        for ended in predecessors {
            if timeout(REINSTATE_DEADLINE, ended.cancelled()).await.is_err() {
                tracing::warn!(peer = %self.peer, "the session to be reinstated does not end");
            }
        }
        let cell = self.welcoming(target, login)?;
        Ok(ScsiSide::new(cell, guard, self.place.port.get(), login))
    }

    /// The target, if it still lets the initiator in. Looked up after the session was entered: a
    /// target that shut its door meanwhile either is seen to have done so here, or has seen the
    /// session.
    fn welcoming(&self, target: &str, login: &Accepted) -> Result<Arc<TargetCell>, Closed> {
        let cell = self.inner.registry.find_cell(target, self.portal.listen);
        cell.filter(|cell| !cell.denies(&login.peer.initiator))
            .ok_or(Closed::Protocol("the target went away, or shut its door, during login"))
    }

    /// Takes a session over from its connection (RFC 7143 §6.3.4).
    async fn take_over(&self, tsih: u16, line: Line) -> Option<Carried> {
        let old = self.inner.registry.find_line(tsih)?;
        let (hand, over) = oneshot::channel();
        old.orders.send(Order::HandOver(hand)).await.ok()?;
        let carried = timeout(REINSTATE_DEADLINE, over).await.ok()?.ok()?;
        carried.scsi.reconnect(self.peer, line);
        Some(carried)
    }

    fn record_refusal(&self, login: &Login, refusal: &Refusal) {
        let (class, detail) = refusal.status();
        let peer = login.peer();
        let particulars = json!({
            "initiator": peer.map(|peer| peer.initiator_name.as_str()),
            "target": peer.and_then(|peer| peer.target.as_deref()),
            "portal": self.portal.listen, "peer": self.peer,
            "status": format!("{class:02x}{detail:02x}"), "reason": refusal.to_string(),
        });
        let kind = if matches!(refusal, Refusal::Moved(_)) {
            "iscsi.login_redirected"
        } else {
            "iscsi.login_failed"
        };
        self.inner.events.record(kind, particulars);
    }
}

/// The next PDU of a login, which knows no digests.
async fn next_request(transport: &mut Transport, input: &mut Input) -> Result<Pdu, Closed> {
    loop {
        if let Some(Received::Whole(request) | Received::BadData(request)) = input.next()? {
            let request = request.keep();
            transport.count()?;
            return Ok(request);
        }
        transport.fill(input).await?;
    }
}
