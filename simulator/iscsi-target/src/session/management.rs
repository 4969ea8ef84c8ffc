//! Task management (RFC 7143 §11.5, §11.6) and logout (§11.14, §11.15).

use serde_json::json;

use super::wire::StatSn;
use super::{PROTOCOL_ERROR, Session};
use crate::pdu::{FINAL, Pdu, opcode};
use crate::scsi::luns;
use crate::target::normal_name;
use crate::transport::Closed;

/// Functions.
const ABORT_TASK: u8 = 1;
const ABORT_TASK_SET: u8 = 2;
const CLEAR_TASK_SET: u8 = 4;
const LOGICAL_UNIT_RESET: u8 = 5;
const TARGET_WARM_RESET: u8 = 6;
const TARGET_COLD_RESET: u8 = 7;
const TASK_REASSIGN: u8 = 8;

/// Responses.
const COMPLETE: u8 = 0;
const NO_SUCH_TASK: u8 = 1;
const NO_SUCH_UNIT: u8 = 2;
const NO_REASSIGNMENT: u8 = 4;
const FUNCTION_NOT_SUPPORTED: u8 = 5;

/// Logout reasons and responses.
const CLOSE_SESSION: u8 = 0;
const CLOSE_CONNECTION: u8 = 1;
const RECOVER_CONNECTION: u8 = 2;
const CONNECTION_NOT_FOUND: u8 = 1;
const RECOVERY_NOT_SUPPORTED: u8 = 2;

impl Session {
    /// A task management request. Commands that have their data are never caught half done: they
    /// were carried out in one piece before this was read.
    pub(super) async fn manage(&mut self, pdu: &Pdu<&[u8]>) -> Result<(), Closed> {
        let function = pdu.flags() & 0x7f;
        let outcome = match function {
            ABORT_TASK => self.abort_one(pdu),
            ABORT_TASK_SET | CLEAR_TASK_SET => self.abort_task_set(pdu, function == CLEAR_TASK_SET),
            LOGICAL_UNIT_RESET => self.reset(luns::decode(pdu.lun())),
            TARGET_WARM_RESET => self.reset_all(),
            TARGET_COLD_RESET => COMPLETE,
            TASK_REASSIGN => NO_REASSIGNMENT,
            _ => FUNCTION_NOT_SUPPORTED,
        };
        self.events.record(
            "iscsi.task_management",
            json!({
                "initiator": self.login.peer.initiator_name, "target": self.login.peer.target,
                "portal": self.place.portal, "function": function, "lun": luns::decode(pdu.lun()),
                "response": outcome,
            }),
        );
        let response = Pdu::new(opcode::TASK_MANAGEMENT_RESPONSE, FINAL)
            .with(2, &[outcome])
            .with_task_tag(pdu.task_tag());
        self.wire.respond(response, StatSn::Takes).await?;
        self.ask_on().await?;
        if function == TARGET_COLD_RESET { self.restart_target().await } else { Ok(()) }
    }

    /// ABORT TASK. A task that has ended, or whose request has still to come, is none to be aborted;
    /// the latter will not be carried out (RFC 7143 §11.6.1).
    fn abort_one(&mut self, pdu: &Pdu<&[u8]>) -> u8 {
        let number = luns::decode(pdu.lun());
        if !self.sees(number) {
            return NO_SUCH_UNIT;
        }
        let aborted = self.abort_task(pdu.u32(20)) || self.wire.window.renounce(pdu.u32(32), pdu.cmd_sn());
        if aborted { COMPLETE } else { NO_SUCH_TASK }
    }

    /// ABORT TASK SET: the tasks of this nexus. CLEAR TASK SET: those of every nexus, which the
    /// others are told of.
    fn abort_task_set(&mut self, pdu: &Pdu<&[u8]>, of_all: bool) -> u8 {
        let number = luns::decode(pdu.lun());
        if !self.sees(number) {
            return NO_SUCH_UNIT;
        }
        self.abort_tasks(number);
        if of_all && let (Some(scsi), Some(number)) = (&self.scsi, number) {
            scsi.nexus.clear_others(number);
        }
        COMPLETE
    }

    fn sees(&mut self, number: Option<u16>) -> bool {
        self.refresh();
        self.scsi.as_ref().is_some_and(|scsi| scsi.nexus.sees(number))
    }

    /// Resets a unit for every nexus; each drops its tasks and reports the reset.
    fn reset(&mut self, number: Option<u16>) -> u8 {
        self.refresh();
        let Some(scsi) = &self.scsi else { return NO_SUCH_UNIT };
        let unit = number.and_then(|number| scsi.nexus.find_unit(&scsi.view, number, &[]));
        let Some(unit) = unit else {
            return NO_SUCH_UNIT;
        };
        unit.state.reset();
        scsi.cell.reset(&[unit.lun.identity.naa]);
        self.refresh();
        COMPLETE
    }

    /// Resets every unit this initiator sees: an array does not let it reset those of others.
    fn reset_all(&mut self) -> u8 {
        self.refresh();
        if let Some(scsi) = &self.scsi {
            let numbers = scsi.view.target.lun_numbers(&self.login.peer.initiator);
            let seen = numbers.into_iter().filter_map(|number| scsi.nexus.find_unit(&scsi.view, number, &[]));
            let units: Vec<_> =
                seen.inspect(|unit| unit.state.reset()).map(|unit| unit.lun.identity.naa).collect();
            scsi.cell.reset(&units);
        }
        self.refresh();
        COMPLETE
    }

    /// TARGET COLD RESET, as a power cycle: every connection to the target ends, this one last
    /// (RFC 7143 §11.5.1).
    async fn restart_target(&mut self) -> Result<(), Closed> {
        self.reset_all();
        self.wire.transport.flush().await?;
        if let Some(target) = &self.login.peer.target {
            self.registry.stop_sessions_of(&normal_name(target));
        }
        Err(Closed::ByTarget)
    }

    /// A logout request; the connection ends after the response.
    pub(super) async fn logout(&mut self, pdu: &Pdu<&[u8]>) -> Result<(), Closed> {
        let reason = pdu.flags() & 0x7f;
        let refusal = match reason {
            CLOSE_SESSION => None,
            CLOSE_CONNECTION if pdu.u16(20) == self.login.connection_id => None,
            CLOSE_CONNECTION => Some(CONNECTION_NOT_FOUND),
            RECOVER_CONNECTION => Some(RECOVERY_NOT_SUPPORTED),
            _ => return self.reject(pdu, PROTOCOL_ERROR).await,
        };
        let response = Pdu::new(opcode::LOGOUT_RESPONSE, FINAL)
            .with(2, &[refusal.unwrap_or(0)])
            .with_task_tag(pdu.task_tag());
        self.wire.respond(response, StatSn::Takes).await?;
        if refusal.is_some() {
            return Ok(());
        }
        self.events.record(
            "iscsi.logout",
            json!({
                "initiator": self.login.peer.initiator_name, "target": self.login.peer.target,
                "portal": self.place.portal, "reason": reason,
            }),
        );
        Err(Closed::LoggedOut)
    }
}
