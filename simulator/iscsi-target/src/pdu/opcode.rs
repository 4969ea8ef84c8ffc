//! Opcodes (RFC 7143 §11.2.1.2).

pub(crate) const NOP_OUT: u8 = 0x00;
pub(crate) const SCSI_COMMAND: u8 = 0x01;
pub(crate) const TASK_MANAGEMENT: u8 = 0x02;
pub(crate) const LOGIN: u8 = 0x03;
pub(crate) const TEXT: u8 = 0x04;
pub(crate) const DATA_OUT: u8 = 0x05;
pub(crate) const LOGOUT: u8 = 0x06;

pub(crate) const NOP_IN: u8 = 0x20;
pub(crate) const SCSI_RESPONSE: u8 = 0x21;
pub(crate) const TASK_MANAGEMENT_RESPONSE: u8 = 0x22;
pub(crate) const LOGIN_RESPONSE: u8 = 0x23;
pub(crate) const TEXT_RESPONSE: u8 = 0x24;
pub(crate) const DATA_IN: u8 = 0x25;
pub(crate) const LOGOUT_RESPONSE: u8 = 0x26;
pub(crate) const READY_TO_TRANSFER: u8 = 0x31;
pub(crate) const ASYNC_MESSAGE: u8 = 0x32;
pub(crate) const REJECT: u8 = 0x3f;
