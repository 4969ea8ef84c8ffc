//! Protocol data units (RFC 7143 §11): the 48-byte header as named fields, and its framing.

mod codec;
pub(crate) mod opcode;

pub(crate) use codec::{DecodeError, Digests, PduDecoder, encode};

use bytes::Bytes;

use crate::field::{put, u16_at, u32_at};

/// The tag that names no task (RFC 7143 §11.4.2 and others).
pub(crate) const NO_TAG: u32 = 0xffff_ffff;

/// Bit 7 of byte 1: Final, Transit or plain "1" by opcode.
pub(crate) const FINAL: u8 = 0x80;
/// Bit 6 of byte 1 of text and login: more text follows.
pub(crate) const CONTINUE: u8 = 0x40;

/// One PDU, either way. Lengths, padding and digests are the codec's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pdu {
    /// Basic header segment.
    pub(crate) header: [u8; 48],
    /// Data segment without padding.
    pub(crate) data: Bytes,
}

impl Pdu {
    pub(crate) fn new(opcode: u8, flags: u8) -> Self {
        let mut header = [0; 48];
        header[0] = opcode;
        header[1] = flags;
        Self { header, data: Bytes::new() }
    }

    pub(crate) fn opcode(&self) -> u8 {
        self.header[0] & 0x3f
    }

    pub(crate) fn is_immediate(&self) -> bool {
        self.header[0] & 0x40 != 0
    }

    pub(crate) fn flags(&self) -> u8 {
        self.header[1]
    }

    pub(crate) fn is_final(&self) -> bool {
        self.header[1] & FINAL != 0
    }

    pub(crate) fn lun(&self) -> [u8; 8] {
        let mut lun = [0; 8];
        lun.copy_from_slice(&self.header[8..16]);
        lun
    }

    pub(crate) fn task_tag(&self) -> u32 {
        self.u32(16)
    }

    /// Target transfer tag, in the PDUs that have one.
    pub(crate) fn transfer_tag(&self) -> u32 {
        self.u32(20)
    }

    pub(crate) fn cmd_sn(&self) -> u32 {
        self.u32(24)
    }

    pub(crate) fn u16(&self, at: usize) -> u16 {
        u16_at(&self.header, at)
    }

    pub(crate) fn u32(&self, at: usize) -> u32 {
        u32_at(&self.header, at)
    }

    pub(crate) fn with(mut self, at: usize, value: &[u8]) -> Self {
        put(&mut self.header, at, value);
        self
    }

    pub(crate) fn with_u32(self, at: usize, value: u32) -> Self {
        self.with(at, &value.to_be_bytes())
    }

    pub(crate) fn with_task_tag(self, tag: u32) -> Self {
        self.with_u32(16, tag)
    }

    pub(crate) fn with_data(mut self, data: Bytes) -> Self {
        self.data = data;
        self
    }
}
