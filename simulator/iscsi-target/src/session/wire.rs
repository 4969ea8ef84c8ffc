//! What a session says: PDUs with their numbers, Data-In, status (RFC 7143 §11.4, §11.7).

use bytes::{BufMut, Bytes, BytesMut};

use super::window::CommandWindow;
use crate::login::Parameters;
use crate::pdu::{FINAL, NO_TAG, Pdu, opcode};
use crate::scsi::Sense;
use crate::transport::{Closed, Transport};

/// Flags of a response and of the last Data-In.
const OVERFLOW: u8 = 0x04;
const UNDERFLOW: u8 = 0x02;
const STATUS: u8 = 0x01;

/// SCSI status (SAM-5 §5.3).
const GOOD: u8 = 0x00;

/// What a numbered response does to StatSN.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StatSn {
    /// Takes one up.
    Takes,
    /// Shows the next one.
    Shows,
    /// Has no place for it.
    Absent,
}

/// What a command's end needs to know of its beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub(super) tag: u32,
    /// Expected data transfer length, in bytes, towards the initiator and away from it.
    pub(super) expected_in: u32,
    pub(super) expected_out: u32,
    /// Bytes the command itself wanted from the initiator.
    pub(super) wanted_out: u64,
    /// R2Ts sent, which the response counts.
    pub(super) r2t_count: u32,
}

impl Ending {
    fn expected(&self) -> u32 {
        self.expected_in.max(self.expected_out)
    }
}

/// Residual count with the flag that gives its sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Residual {
    flag: u8,
    count: u32,
}

impl Residual {
    /// Compares what a command has to transfer with what the initiator expected.
    fn of(has: u64, expected: u32) -> Self {
        let expected = u64::from(expected);
        let (flag, count) = match has.cmp(&expected) {
            std::cmp::Ordering::Greater => (OVERFLOW, has - expected),
            std::cmp::Ordering::Less => (UNDERFLOW, expected - has),
            std::cmp::Ordering::Equal => (0, 0),
        };
        Self { flag, count: u32::try_from(count).unwrap_or(u32::MAX) }
    }
}

/// The sending side of a session.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) transport: Transport,
    pub(super) parameters: Parameters,
    pub(super) window: CommandWindow,
    pub(super) stat_sn: u32,
}

impl Wire {
    /// Numbers a PDU and queues it.
    pub(super) async fn respond(&mut self, mut pdu: Pdu, stat_sn: StatSn) -> Result<(), Closed> {
        pdu = self.number(pdu, stat_sn);
        self.transport.send(&pdu).await
    }

    fn number(&mut self, mut pdu: Pdu, stat_sn: StatSn) -> Pdu {
        if stat_sn != StatSn::Absent {
            pdu = pdu.with_u32(24, self.stat_sn);
        }
        if stat_sn == StatSn::Takes {
            self.stat_sn = self.stat_sn.wrapping_add(1);
        }
        pdu.with_u32(28, self.window.expected()).with_u32(32, self.window.maximum())
    }

    /// Ends a command that has its outcome at hand: data if any, then status.
    pub(super) async fn finish(
        &mut self,
        ending: Ending,
        outcome: Result<Bytes, Sense>,
    ) -> Result<(), Closed> {
        match outcome {
            Err(sense) => self.check(ending, sense).await,
            Ok(data) if data.is_empty() || ending.expected_in == 0 => {
                let has = if ending.wanted_out > 0 { ending.wanted_out } else { data.len() as u64 };
                let residual = Residual::of(has, ending.expected());
                self.status(ending, GOOD, residual, Bytes::new()).await
            }
            Ok(data) => {
                let piece = |at: u64, place: &mut [u8]| {
                    let from = data.get(at as usize..).and_then(|rest| rest.get(..place.len()));
                    place.copy_from_slice(from.unwrap_or_default());
                    Ok(())
                };
                self.data_in(ending, data.len() as u64, piece).await
            }
        }
    }

    /// Any status but GOOD.
    async fn check(&mut self, ending: Ending, sense: Sense) -> Result<(), Closed> {
        let sense_data = sense.data();
        let mut data = BytesMut::with_capacity(2 + sense_data.len());
        if !sense_data.is_empty() {
            data.put_u16(sense_data.len() as u16);
            data.put_slice(&sense_data);
        }
        self.status(ending, sense.status(), Residual::of(0, ending.expected()), data.freeze()).await
    }

    async fn status(
        &mut self,
        ending: Ending,
        status: u8,
        residual: Residual,
        sense: Bytes,
    ) -> Result<(), Closed> {
        let response = Pdu::new(opcode::SCSI_RESPONSE, FINAL | residual.flag)
            .with(3, &[status])
            .with_task_tag(ending.tag)
            .with_u32(36, ending.r2t_count)
            .with_u32(44, residual.count)
            .with_data(sense);
        self.respond(response, StatSn::Takes).await
    }

    /// Ends a command with `length` bytes of data, of which `fill` puts those from an offset on in
    /// place: Data-In PDUs of at most the initiator's length, F at the end of each burst, GOOD status
    /// in the last (RFC 7143 §11.7).
    pub(super) async fn data_in(
        &mut self,
        ending: Ending,
        length: u64,
        fill: impl Fn(u64, &mut [u8]) -> Result<(), Sense>,
    ) -> Result<(), Closed> {
        let residual = Residual::of(length, ending.expected_in);
        let total = length.min(ending.expected_in.into()) as usize;
        if total == 0 {
            return self.status(ending, GOOD, residual, Bytes::new()).await;
        }
        let burst = self.parameters.max_burst as usize;
        let (mut at, mut data_sn) = (0, 0u32);
        while at < total {
            let burst_end = (at / burst + 1) * burst;
            let end = total.min(burst_end).min(at + self.parameters.max_send as usize);
            let last = end == total;
            let mut flags = if last || end == burst_end { FINAL } else { 0 };
            let mut pdu = Pdu::new(opcode::DATA_IN, 0)
                .with_task_tag(ending.tag)
                .with_u32(20, NO_TAG)
                .with_u32(36, data_sn)
                .with_u32(40, at as u32);
            if last {
                flags |= STATUS | residual.flag;
                pdu = pdu.with(3, &[GOOD]).with_u32(44, residual.count);
            }
            pdu.header[1] = flags;
            let before = self.stat_sn;
            let pdu = self.number(pdu, if last { StatSn::Takes } else { StatSn::Absent });
            let output = &mut self.transport.output;
            if let Err(sense) = output.push_with(pdu.header, end - at, |place| fill(at as u64, place)) {
                self.stat_sn = before;
                return self.check(Ending { r2t_count: data_sn, ..ending }, sense).await;
            }
            self.transport.relieve().await?;
            at = end;
            data_sn += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn residuals_have_the_sign_of_the_difference() {
        assert_eq!(Residual::of(512, 512), Residual { flag: 0, count: 0 });
        assert_eq!(Residual::of(512, 1024), Residual { flag: UNDERFLOW, count: 512 });
        assert_eq!(Residual::of(1024, 0), Residual { flag: OVERFLOW, count: 1024 });
    }
}
