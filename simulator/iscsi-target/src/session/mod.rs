//! Full feature phase of one session, which is one connection (RFC 7143 §4.2, §11).
//!
//! ```text
//! PDU ─ immediate ────────────────┐
//!     ─ numbered → CommandWindow ─┴→ nop · command → nexus → unit · management · text · logout
//!     ─ Data-Out → the WriteTask it belongs to
//! ```
//! Everything runs in the connection's own task: the store is memory, and a command that has its
//! data is carried out at once.

mod command;
mod management;
mod send_targets;
mod text;
mod window;
mod write;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::directory::{Registry, TargetCell};
use crate::login::Accepted;
use crate::login::Parameters;
use crate::pdu::{FINAL, NO_TAG, Pdu, opcode};
use crate::portal::PortGroup;
use crate::scsi::nexus::Nexus;
use crate::transport::{Closed, Transport};
use text::TextExchange;
use window::CommandWindow;
use write::WriteTask;

/// Silence after which the initiator is asked whether it is there.
const PING_AFTER: Duration = Duration::from_secs(60);
/// How long it may take to answer.
const PING_DEADLINE: Duration = Duration::from_secs(60);

/// Reject reasons (RFC 7143 §11.17.1).
const PROTOCOL_ERROR: u8 = 0x04;
const NOT_SUPPORTED: u8 = 0x05;
const TOO_MANY_IMMEDIATE: u8 = 0x06;
const TASK_IN_PROGRESS: u8 = 0x07;
/// Immediate commands that may wait for data. The window does not bound them, and each holds its
/// data (RFC 7143 §4.2.2.1 asks for one at least).
const IMMEDIATE_LIMIT: usize = 8;

/// Where a session's connection came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The portal's key.
    pub(crate) portal: SocketAddr,
    /// The portal's SCSI port.
    pub(crate) port: PortGroup,
    /// Our address as this initiator dialled it.
    pub(crate) local: SocketAddr,
}

/// What a numbered response does to StatSN.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StatSn {
    /// Takes one up.
    Takes,
    /// Shows the next one.
    Shows,
    /// Has no place for it.
    Absent,
}

/// A session in full feature phase.
#[derive(Debug)]
pub(crate) struct Session {
    registry: Arc<Registry>,
    place: Place,
    transport: Transport,
    parameters: Parameters,
    login: Box<Accepted>,
    /// None in a discovery session.
    scsi: Option<ScsiSide>,
    window: CommandWindow,
    stat_sn: u32,
    tasks: HashMap<u32, WriteTask>,
    transfer_tag: u32,
    text: TextExchange,
}

/// What a normal session has beyond a discovery session.
#[derive(Debug)]
struct ScsiSide {
    cell: Arc<TargetCell>,
    nexus: Nexus,
}

impl Session {
    /// A session just logged in; `cell` is its target, none for discovery.
    pub(crate) fn new(
        registry: Arc<Registry>,
        place: Place,
        transport: Transport,
        login: Box<Accepted>,
        cell: Option<Arc<TargetCell>>,
    ) -> Self {
        let nexus = Nexus::new(login.peer.initiator.clone());
        Self {
            registry,
            place,
            transport,
            parameters: login.parameters,
            window: CommandWindow::new(login.exp_cmd_sn),
            stat_sn: login.stat_sn,
            login,
            scsi: cell.map(|cell| ScsiSide { cell, nexus }),
            tasks: HashMap::new(),
            transfer_tag: 0,
            text: TextExchange::default(),
        }
    }

    /// Serves the session to its end.
    pub(crate) async fn run(mut self) -> Closed {
        // The nexus begins now: what changes from here on is news to it.
        self.refresh();
        loop {
            if let Err(closed) = self.step().await {
                self.transport.shut_down().await;
                return closed;
            }
        }
    }

    async fn step(&mut self) -> Result<(), Closed> {
        let pdu = match self.transport.receive_ready() {
            Some(pdu) => pdu?,
            None => {
                self.transport.flush().await?;
                self.await_pdu().await?
            }
        };
        self.accept(pdu).await
    }

    /// The next PDU; a silent initiator is asked for a sign of life.
    async fn await_pdu(&mut self) -> Result<Pdu, Closed> {
        if let Ok(pdu) = timeout(PING_AFTER, self.transport.receive()).await {
            return pdu;
        }
        let tag = self.next_transfer_tag();
        let ping = Pdu::new(opcode::NOP_IN, FINAL).with_task_tag(NO_TAG).with_u32(20, tag);
        self.respond(ping, StatSn::Shows).await?;
        self.transport.flush().await?;
        timeout(PING_DEADLINE, self.transport.receive()).await.map_err(|_| Closed::PeerStuck)?
    }

    async fn accept(&mut self, pdu: Pdu) -> Result<(), Closed> {
        match pdu.opcode() {
            opcode::DATA_OUT => self.data_out(&pdu).await,
            // The answer to our ping: having come is all it says.
            opcode::NOP_OUT if pdu.task_tag() == NO_TAG => Ok(()),
            opcode::NOP_OUT
            | opcode::SCSI_COMMAND
            | opcode::TASK_MANAGEMENT
            | opcode::TEXT
            | opcode::LOGOUT => {
                if pdu.is_immediate() {
                    return self.perform(&pdu).await;
                }
                self.window.take(pdu);
                while let Some(pdu) = self.window.next() {
                    self.perform(&pdu).await?;
                }
                Ok(())
            }
            opcode::LOGIN => Err(Closed::Protocol("a login request in full feature phase")),
            _ => self.reject(&pdu, NOT_SUPPORTED).await,
        }
    }

    async fn perform(&mut self, pdu: &Pdu) -> Result<(), Closed> {
        match pdu.opcode() {
            opcode::SCSI_COMMAND if self.scsi.is_some() => self.command(pdu).await,
            opcode::TASK_MANAGEMENT if self.scsi.is_some() => self.manage(pdu).await,
            opcode::NOP_OUT => self.pong(pdu).await,
            opcode::TEXT => self.text_request(pdu).await,
            opcode::LOGOUT => self.logout(pdu).await,
            _ => self.reject(pdu, PROTOCOL_ERROR).await,
        }
    }

    async fn pong(&mut self, pdu: &Pdu) -> Result<(), Closed> {
        let echo = pdu.data.slice(..pdu.data.len().min(self.parameters.max_send as usize));
        let answer = Pdu::new(opcode::NOP_IN, FINAL)
            .with(8, &pdu.lun())
            .with_task_tag(pdu.task_tag())
            .with_u32(20, NO_TAG)
            .with_data(echo);
        self.respond(answer, StatSn::Takes).await
    }

    async fn reject(&mut self, pdu: &Pdu, reason: u8) -> Result<(), Closed> {
        let answer = Pdu::new(opcode::REJECT, FINAL)
            .with(2, &[reason])
            .with_task_tag(NO_TAG)
            .with_data(bytes::Bytes::copy_from_slice(&pdu.header));
        self.respond(answer, StatSn::Takes).await
    }

    /// Numbers a PDU and queues it.
    async fn respond(&mut self, pdu: Pdu, stat_sn: StatSn) -> Result<(), Closed> {
        let mut pdu = pdu.with_u32(28, self.window.expected()).with_u32(32, self.window.maximum());
        if stat_sn != StatSn::Absent {
            pdu = pdu.with_u32(24, self.stat_sn);
        }
        if stat_sn == StatSn::Takes {
            self.stat_sn = self.stat_sn.wrapping_add(1);
        }
        self.transport.send(&pdu).await
    }

    fn next_transfer_tag(&mut self) -> u32 {
        self.transfer_tag = self.transfer_tag.wrapping_add(1);
        if self.transfer_tag == NO_TAG {
            self.transfer_tag = 0;
        }
        self.transfer_tag
    }

    /// Looks at the target as it is now; tasks of units that were reset or are gone are dropped.
    fn refresh(&mut self) -> Option<crate::directory::TargetView> {
        let scsi = self.scsi.as_mut()?;
        let view = scsi.cell.view();
        for number in scsi.nexus.refresh(&view) {
            self.abort_tasks(|task| task.number == Some(number));
        }
        Some(view)
    }

    fn abort_tasks(&mut self, condition: impl Fn(&WriteTask) -> bool) {
        let tags: Vec<u32> =
            self.tasks.iter().filter(|(_, task)| condition(task)).map(|(tag, _)| *tag).collect();
        for tag in tags {
            self.take_task(tag);
        }
    }

    /// Removes a task and gives its place in the window free.
    fn take_task(&mut self, tag: u32) -> Option<WriteTask> {
        let task = self.tasks.remove(&tag)?;
        if task.numbered {
            self.window.finish();
        }
        Some(task)
    }
}
