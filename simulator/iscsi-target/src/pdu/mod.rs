//! Protocol data units (RFC 7143 §11): the 48-byte header as named fields, and the buffers that cut
//! them from the stream and line them up for it.

mod input;
pub(crate) mod opcode;
mod output;

pub(crate) use input::{DecodeError, Digests, HEADER, Input, Received};
pub(crate) use output::Output;

use bytes::Bytes;

use crate::field::{put, u16_at, u32_at};

/// The tag that names no task (RFC 7143 §11.4.2 and others).
pub(crate) const NO_TAG: u32 = 0xffff_ffff;

/// Bit 7 of byte 1: Final, Transit or plain "1" by opcode.
pub(crate) const FINAL: u8 = 0x80;
/// Bit 6 of byte 1 of text and login: more text follows.
pub(crate) const CONTINUE: u8 = 0x40;

/// One PDU, either way. Lengths, padding and digests are the business of the buffers. One received
/// lends its data from there (`Pdu<&[u8]>`): data-out is copied once, to where it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pdu<Data = Bytes> {
    /// Basic header segment.
    pub(crate) header: [u8; HEADER],
    /// Data segment without padding.
    pub(crate) data: Data,
}

impl Pdu {
    pub(crate) fn new(opcode: u8, flags: u8) -> Self {
        let mut header = [0; HEADER];
        header[0] = opcode;
        header[1] = flags;
        Self { header, data: Bytes::new() }
    }

    /// The same, as one received.
    pub(crate) fn lend(&self) -> Pdu<&[u8]> {
        Pdu { header: self.header, data: &self.data }
    }
}

impl Pdu<&[u8]> {
    /// A copy that outlives the buffer.
    pub(crate) fn keep(&self) -> Pdu {
        Pdu { header: self.header, data: Bytes::copy_from_slice(self.data) }
    }
}

impl<Data> Pdu<Data> {
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

    pub(crate) fn with_data(mut self, data: Data) -> Self {
        self.data = data;
        self
    }
}
