//! Full feature phase of one session, which is one connection (RFC 7143 §4.2, §11).
//!
//! ```text
//! PDU ─ immediate ────────────────┐
//!     ─ numbered → CommandWindow ─┴→ nop · command → nexus → unit · management · text · logout
//!     ─ Data-Out → the WriteTask it belongs to
//! levers ─ late commands ─┐
//! server ─ orders ────────┴→ the session's own task
//! ```
//! Everything runs in the connection's own task: the store is memory, and a command that has its
//! data is carried out at once, its data-in read straight into the buffer that is sent. All that
//! came with one read is answered with one write.

mod command;
mod late;
mod management;
pub(crate) mod orders;
mod send_targets;
mod text;
mod window;
mod wire;
mod write;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use levers::{EventLog, Levers};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::directory::{Line, PortCell, Registry, SessionGuard, TargetCell, TargetView};
use crate::login::Accepted;
use crate::options::Keepalive;
use crate::pdu::{FINAL, Input, NO_TAG, Pdu, Received, opcode};
use crate::portal::PortGroup;
use crate::scsi::nexus::Nexus;
use crate::scsi::reservation::NexusId;
use crate::transport::{Closed, Transport};
use late::LateTasks;
use orders::{Carried, Order};
use text::TextExchange;
use window::CommandWindow;
use wire::{StatSn, Wire};
use write::WriteTask;

/// Reject reasons (RFC 7143 §11.17.1).
const DATA_DIGEST_ERROR: u8 = 0x02;
const PROTOCOL_ERROR: u8 = 0x04;
const NOT_SUPPORTED: u8 = 0x05;
const TOO_MANY_IMMEDIATE: u8 = 0x06;
const TASK_IN_PROGRESS: u8 = 0x07;
/// Immediate commands that may wait for data. The window does not bound them, and each holds its
/// data (RFC 7143 §4.2.2.1 asks for one at least).
const IMMEDIATE_LIMIT: usize = 8;

/// Where a session's connection came in.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The portal's key.
    pub(crate) portal: SocketAddr,
    /// The portal's SCSI port, as it is now.
    pub(crate) port: Arc<PortCell>,
    /// Our address as this initiator dialled it.
    pub(crate) local: SocketAddr,
}

/// What a session needs of the server.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) registry: Arc<Registry>,
    pub(crate) events: EventLog,
    pub(crate) levers: Levers,
    pub(crate) keepalive: Keepalive,
}

/// A session in full feature phase.
#[derive(Debug)]
pub(crate) struct Session {
    registry: Arc<Registry>,
    events: EventLog,
    levers: Levers,
    place: Place,
    wire: Wire,
    login: Box<Accepted>,
    /// None in a discovery session.
    scsi: Option<ScsiSide>,
    tasks: HashMap<u32, WriteTask>,
    /// Bytes held by commands that asked for their data.
    solicited: usize,
    /// Commands that wait for room to ask.
    unasked: VecDeque<u32>,
    late: LateTasks,
    transfer_tag: u32,
    text: TextExchange,
    orders: mpsc::Receiver<Order>,
    keepalive: Keepalive,
    life: Life,
    /// When the connection ends if the initiator does not log out as it was asked to.
    logout_by: Option<Instant>,
}

/// When the initiator was last heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Heard,
    Quiet,
    Asked,
}

/// What a normal session has beyond a discovery session.
#[derive(Debug)]
pub(crate) struct ScsiSide {
    cell: Arc<TargetCell>,
    nexus: Nexus,
    /// The target as the nexus last saw it.
    view: TargetView,
    initiator: String,
    /// Keeps the session in the registry.
    guard: SessionGuard,
}

impl ScsiSide {
    /// The SCSI side of a new session with a target.
    pub(crate) fn new(cell: Arc<TargetCell>, guard: SessionGuard, port: PortGroup, login: &Accepted) -> Self {
        let id = NexusId {
            initiator: login.peer.initiator.as_str().into(),
            isid: login.peer.isid,
            port: port.relative_port,
        };
        let nexus = Nexus::new(id, port, guard.shelf());
        let view = cell.view();
        Self { cell, nexus, view, initiator: login.peer.initiator_name.clone(), guard }
    }

    pub(crate) fn tsih(&self) -> u16 {
        self.guard.tsih
    }

    /// Goes on with another connection.
    pub(crate) fn reconnect(&self, peer: SocketAddr, line: Line) {
        self.guard.reconnect(peer, line);
    }
}

impl Session {
    /// A session just logged in; `scsi` is none for discovery.
    pub(crate) fn new(
        surroundings: Surroundings,
        place: Place,
        transport: Transport,
        login: Box<Accepted>,
        scsi: Option<ScsiSide>,
        orders: mpsc::Receiver<Order>,
    ) -> Self {
        let Surroundings { registry, events, levers, keepalive } = surroundings;
        let wire = Wire {
            transport,
            parameters: login.parameters,
            window: CommandWindow::new(login.exp_cmd_sn),
            stat_sn: login.stat_sn,
        };
        Self {
            registry,
            events,
            levers,
            place,
            wire,
            login,
            scsi,
            tasks: HashMap::new(),
            solicited: 0,
            unasked: VecDeque::new(),
            late: LateTasks::default(),
            transfer_tag: 0,
            text: TextExchange::default(),
            orders,
            keepalive,
            life: Life::Heard,
            logout_by: None,
        }
    }

    /// Serves the session to its end.
    pub(crate) async fn run(mut self, mut input: Input) -> Closed {
        // The nexus begins now: what changes from here on is news to it.
        self.look();
        let mut tick = Box::pin(sleep(self.keepalive.every));
        let closed = loop {
            if let Err(closed) = self.turn(&mut input, tick.as_mut()).await {
                break closed;
            }
        };
        if !matches!(closed, Closed::TakenOver) {
            // The guard is dropped when the connection has ended, not before.
            self.wire.transport.shut_down(&closed).await;
        }
        closed
    }

    /// Answers what has come, and waits for what comes next.
    async fn turn(&mut self, input: &mut Input, mut tick: Pin<&mut Sleep>) -> Result<(), Closed> {
        while let Some(received) = input.next()? {
            self.wire.transport.count()?;
            self.accept(received).await?;
        }
        self.wire.transport.flush().await?;
        tokio::select! {
            biased;
            filled = self.wire.transport.fill(input) => filled,
            late = self.late.next(), if !self.late.is_empty() => match late {
                Some((task, flushed)) => self.resume(task, flushed).await,
                None => Ok(()),
            },
            Some(order) = self.orders.recv() => self.obey(order).await,
            () = overdue(self.logout_by), if self.logout_by.is_some() => Err(Closed::LogoutOverdue),
            () = &mut tick => {
                let pause = self.watch_over(input).await?;
                tick.set(sleep(pause));
                Ok(())
            }
        }
    }

    /// Asks a silent initiator for a sign of life; drops one that gave none. The pause until the next
    /// look.
    async fn watch_over(&mut self, input: &mut Input) -> Result<Duration, Closed> {
        match self.life {
            Life::Heard => {
                self.life = Life::Quiet;
                Ok(self.keepalive.every)
            }
            Life::Quiet => {
                input.shrink();
                self.wire.transport.output.shrink();
                let tag = self.next_transfer_tag();
                let ping = Pdu::new(opcode::NOP_IN, FINAL).with_task_tag(NO_TAG).with_u32(20, tag);
                self.wire.respond(ping, StatSn::Shows).await?;
                self.life = Life::Asked;
                Ok(self.keepalive.answer_within)
            }
            Life::Asked => Err(Closed::PeerSilent),
        }
    }

    async fn accept(&mut self, received: Received<'_>) -> Result<(), Closed> {
        self.life = Life::Heard;
        let pdu = match received {
            Received::Whole(pdu) => pdu,
            Received::BadData(pdu) => return self.damaged(&pdu).await,
        };
        match pdu.opcode() {
            opcode::DATA_OUT => self.data_out(&pdu).await,
            // The answer to our ping: having come is all it says.
            opcode::NOP_OUT if pdu.task_tag() == NO_TAG => Ok(()),
            opcode::NOP_OUT
            | opcode::SCSI_COMMAND
            | opcode::TASK_MANAGEMENT
            | opcode::TEXT
            | opcode::LOGOUT => {
                if pdu.is_immediate() || self.wire.window.take(&pdu) {
                    return self.perform(&pdu).await;
                }
                while let Some(pdu) = self.wire.window.next() {
                    self.perform(&pdu.lend()).await?;
                }
                Ok(())
            }
            opcode::LOGIN => Err(Closed::Protocol("a login request in full feature phase")),
            _ => self.reject(&pdu, NOT_SUPPORTED).await,
        }
    }

    /// A PDU whose data do not match their digest. A command is as if it had never come: without
    /// recovery within a connection the initiator begins the session anew (RFC 7143 §7.8).
    async fn damaged(&mut self, pdu: &Pdu<&[u8]>) -> Result<(), Closed> {
        self.reject(pdu, DATA_DIGEST_ERROR).await?;
        if pdu.opcode() == opcode::DATA_OUT { self.damaged_data_out(pdu).await } else { Ok(()) }
    }

    async fn perform(&mut self, pdu: &Pdu<&[u8]>) -> Result<(), Closed> {
        match pdu.opcode() {
            opcode::SCSI_COMMAND if self.scsi.is_some() => self.command(pdu).await,
            opcode::TASK_MANAGEMENT if self.scsi.is_some() => self.manage(pdu).await,
            opcode::NOP_OUT => self.pong(pdu).await,
            opcode::TEXT => self.text_request(pdu).await,
            opcode::LOGOUT => self.logout(pdu).await,
            _ => self.reject(pdu, PROTOCOL_ERROR).await,
        }
    }

    async fn pong(&mut self, pdu: &Pdu<&[u8]>) -> Result<(), Closed> {
        let length = pdu.data.len().min(self.wire.parameters.max_send as usize);
        let answer = Pdu::new(opcode::NOP_IN, FINAL)
            .with(8, &pdu.lun())
            .with_task_tag(pdu.task_tag())
            .with_u32(20, NO_TAG)
            .with_data(bytes::Bytes::copy_from_slice(pdu.data.get(..length).unwrap_or_default()));
        self.wire.respond(answer, StatSn::Takes).await
    }

    async fn reject(&mut self, pdu: &Pdu<&[u8]>, reason: u8) -> Result<(), Closed> {
        let answer = Pdu::new(opcode::REJECT, FINAL)
            .with(2, &[reason])
            .with_task_tag(NO_TAG)
            .with_data(bytes::Bytes::copy_from_slice(&pdu.header));
        self.wire.respond(answer, StatSn::Takes).await
    }

    fn next_transfer_tag(&mut self) -> u32 {
        self.transfer_tag = self.transfer_tag.wrapping_add(1);
        if self.transfer_tag == NO_TAG {
            self.transfer_tag = 0;
        }
        self.transfer_tag
    }

    /// Looks at the target if it has changed; tasks of units that were reset or are gone are dropped.
    /// Their numbers. In the common case this is two atomic loads.
    fn refresh(&mut self) -> Vec<u16> {
        match &self.scsi {
            Some(scsi) if scsi.cell.generation() != scsi.view.generation || scsi.nexus.is_stale() => {
                self.look()
            }
            _ => Vec::new(),
        }
    }

    fn look(&mut self) -> Vec<u16> {
        let Some(scsi) = &mut self.scsi else { return Vec::new() };
        scsi.view = scsi.cell.view();
        scsi.nexus.set_port(self.place.port.get());
        let aborted = scsi.nexus.refresh(&scsi.view);
        for number in &aborted {
            self.abort_tasks(Some(*number));
        }
        aborted
    }

    fn has_task(&self, tag: u32) -> bool {
        self.tasks.contains_key(&tag) || self.late.iter().any(|task| task.tag == tag)
    }

    fn immediate_tasks(&self) -> usize {
        let late = self.late.iter().filter(|task| !task.numbered).count();
        self.tasks.values().filter(|task| !task.numbered).count() + late
    }

    /// Drops every task of a unit.
    fn abort_tasks(&mut self, number: Option<u16>) {
        let tags: Vec<u32> =
            self.tasks.iter().filter(|(_, task)| task.number == number).map(|(tag, _)| *tag).collect();
        for tag in tags {
            self.take_task(tag);
        }
        for task in self.late.extract(|task| task.number == number) {
            self.give_place(task.numbered);
        }
    }

    /// Drops one task; whether there was one.
    fn abort_task(&mut self, tag: u32) -> bool {
        let late = self.late.extract(|task| task.tag == tag);
        for task in &late {
            self.give_place(task.numbered);
        }
        self.take_task(tag).is_some() || !late.is_empty()
    }

    fn give_place(&mut self, numbered: bool) {
        if numbered {
            self.wire.window.finish();
        }
    }

    /// What a new connection takes over; the tasks end here.
    fn hand_over(&mut self) -> Option<Carried> {
        Some(Carried { scsi: self.scsi.take()? })
    }
}

async fn overdue(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
