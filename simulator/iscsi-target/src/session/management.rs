//! Task management (RFC 7143 §11.5, §11.6) and logout (§11.14, §11.15).

use super::{Session, StatSn};
use crate::pdu::{FINAL, Pdu, opcode};
use crate::scsi::luns;
use crate::transport::Closed;

/// Functions.
const ABORT_TASK: u8 = 1;
const ABORT_TASK_SET: u8 = 2;
const LOGICAL_UNIT_RESET: u8 = 5;
const TARGET_WARM_RESET: u8 = 6;
const TASK_REASSIGN: u8 = 8;

/// Responses.
const COMPLETE: u8 = 0;
const NO_SUCH_TASK: u8 = 1;
const NO_SUCH_UNIT: u8 = 2;
const NO_REASSIGNMENT: u8 = 4;
const FUNCTION_NOT_SUPPORTED: u8 = 5;

/// Logout reasons and responses.
const CLOSE_CONNECTION: u8 = 1;
const RECOVER_CONNECTION: u8 = 2;
const CONNECTION_NOT_FOUND: u8 = 1;
const RECOVERY_NOT_SUPPORTED: u8 = 2;

impl Session {
    /// A task management request. Commands that have their data are never caught half done: they
    /// were carried out in one piece before this was read.
    pub(super) async fn manage(&mut self, pdu: &Pdu) -> Result<(), Closed> {
        let outcome = match pdu.flags() & 0x7f {
            ABORT_TASK => match self.take_task(pdu.u32(20)) {
                Some(_) => COMPLETE,
                None => NO_SUCH_TASK,
            },
            ABORT_TASK_SET => self.abort_task_set(pdu),
            LOGICAL_UNIT_RESET => self.reset(luns::decode(pdu.lun())),
            TARGET_WARM_RESET => self.reset_all(),
            TASK_REASSIGN => NO_REASSIGNMENT,
            _ => FUNCTION_NOT_SUPPORTED,
        };
        let response = Pdu::new(opcode::TASK_MANAGEMENT_RESPONSE, FINAL)
            .with(2, &[outcome])
            .with_task_tag(pdu.task_tag());
        self.respond(response, StatSn::Takes).await
    }

    fn abort_task_set(&mut self, pdu: &Pdu) -> u8 {
        self.refresh();
        let number = luns::decode(pdu.lun());
        if !self.scsi.as_ref().is_some_and(|scsi| scsi.nexus.sees(number)) {
            return NO_SUCH_UNIT;
        }
        self.abort_tasks(|task| task.number == number);
        COMPLETE
    }

    /// Resets a unit for every nexus; each drops its tasks and reports the reset.
    fn reset(&mut self, number: Option<u16>) -> u8 {
        let Some(view) = self.refresh() else { return NO_SUCH_UNIT };
        let Some(scsi) = &self.scsi else { return NO_SUCH_UNIT };
        let Some(lun) = number.and_then(|number| scsi.nexus.find_unit(&view, number)) else {
            return NO_SUCH_UNIT;
        };
        scsi.cell.reset(&[lun.identity.naa]);
        self.refresh();
        COMPLETE
    }

    /// Resets every unit this initiator sees: an array does not let it reset those of others.
    fn reset_all(&mut self) -> u8 {
        let Some(view) = self.refresh() else { return COMPLETE };
        if let Some(scsi) = &self.scsi {
            let numbers = view.target.lun_numbers(&self.login.peer.initiator);
            let seen = numbers.into_iter().filter_map(|number| scsi.nexus.find_unit(&view, number));
            let units: Vec<_> = seen.map(|lun| lun.identity.naa).collect();
            scsi.cell.reset(&units);
        }
        self.refresh();
        COMPLETE
    }

    /// A logout request; the connection ends after the response.
    pub(super) async fn logout(&mut self, pdu: &Pdu) -> Result<(), Closed> {
        let refusal = match pdu.flags() & 0x7f {
            CLOSE_CONNECTION if pdu.u16(20) != self.login.connection_id => Some(CONNECTION_NOT_FOUND),
            RECOVER_CONNECTION => Some(RECOVERY_NOT_SUPPORTED),
            _ => None,
        };
        let response = Pdu::new(opcode::LOGOUT_RESPONSE, FINAL)
            .with(2, &[refusal.unwrap_or(0)])
            .with_task_tag(pdu.task_tag());
        self.respond(response, StatSn::Takes).await?;
        if refusal.is_some() { Ok(()) } else { Err(Closed::LoggedOut) }
    }
}
