//! The iSCSI client of the benchmark: one session, one connection, any queue depth, reads and
//! writes. It is ours, the same towards every target, and spends as little as it can: PDUs leave in
//! batches, payload is sent from where it lies, and of what arrives only the stamps are looked at.
//!
//! Every logical block carries its own number in its first 8 bytes, so a target that answers with
//! anything else than what was written does not get a score.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::input::Input;
use crate::load::{Load, Places, Score};

/// Logical block length of the units under test, in bytes.
const BLOCK: u32 = 512;
/// What this end takes and offers (RFC 7143 §13): the same words to every target.
const MAX_RECEIVE: usize = 256 << 10;
const FIRST_BURST: usize = 256 << 10;
const OFFER: &[(&str, &str)] = &[
    ("InitiatorName", "iqn.2026-11.example:bench"),
    ("SessionType", "Normal"),
    ("HeaderDigest", "None"),
    ("DataDigest", "None"),
    ("ErrorRecoveryLevel", "0"),
    ("InitialR2T", "No"),
    ("ImmediateData", "Yes"),
    ("MaxRecvDataSegmentLength", "262144"),
    ("FirstBurstLength", "262144"),
    ("MaxBurstLength", "1048576"),
    ("MaxOutstandingR2T", "1"),
    ("MaxConnections", "1"),
    ("DataPDUInOrder", "Yes"),
    ("DataSequenceInOrder", "Yes"),
    ("DefaultTime2Wait", "2"),
    ("DefaultTime2Retain", "0"),
];
/// Up to here a payload is copied behind its header; above, it is sent from where it lies.
const COPIED: usize = 16 << 10;

const NO_TAG: u32 = u32::MAX;
const FINAL: u8 = 0x80;
/// Opcodes (RFC 7143 §11.2.1.2).
const LOGIN_RESPONSE: u8 = 0x23;
const NOP_IN: u8 = 0x20;
const RESPONSE: u8 = 0x21;
const DATA_IN: u8 = 0x25;
const R2T: u8 = 0x31;

type Header = [u8; 48];

/// A logged-in session.
pub(crate) struct Initiator {
    stream: TcpStream,
    input: Input,
    out: Vec<u8>,
    lun: u8,
    cmd_sn: u32,
    max_cmd_sn: u32,
    exp_stat_sn: u32,
    /// What the target said about itself.
    max_send: usize,
    first_burst: usize,
    initial_r2t: bool,
    immediate: bool,
}

/// A command under way.
#[derive(Clone, Copy)]
struct Slot {
    offset: usize,
    read: usize,
}

impl Initiator {
    /// Logs in to `target` without authentication, for its unit `lun`.
    pub(crate) fn log_in(address: SocketAddr, target: &str, lun: u8) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        let mut session = Self {
            input: Input::new(stream.try_clone()?)?,
            stream,
            out: Vec::new(),
            lun,
            cmd_sn: 1,
            max_cmd_sn: 1,
            exp_stat_sn: 0,
            max_send: 8192,
            first_burst: FIRST_BURST,
            initial_r2t: false,
            immediate: true,
        };
        session.negotiate(target).context("log in")?;
        session.await_ready()?;
        Ok(session)
    }

    fn negotiate(&mut self, target: &str) -> Result<()> {
        let mut text = String::new();
        for (key, value) in OFFER.iter().chain([&("TargetName", target)]) {
            text.push_str(&format!("{key}={value}\0"));
        }
        loop {
            // Immediate login, transit from operational negotiation to full feature phase.
            let mut header = [0; 48];
            header[0] = 0x43;
            header[1] = 0x87;
            header[8] = 0x80;
            put(&mut header, 24, self.cmd_sn);
            put(&mut header, 28, self.exp_stat_sn);
            self.push(header, text.as_bytes())?;
            self.flush()?;
            let (header, answer) = self.receive()?;
            ensure!(header[0] & 0x3f == LOGIN_RESPONSE, "opcode {:#x} answers a login", header[0]);
            ensure!(header[36] == 0, "login status {:02x}{:02x}", header[36], header[37]);
            self.exp_stat_sn = get(&header, 24).wrapping_add(1);
            self.max_cmd_sn = get(&header, 32);
            for pair in answer.split(|byte| *byte == 0) {
                self.agreed(&String::from_utf8_lossy(pair))?;
            }
            if header[1] & FINAL != 0 {
                return Ok(());
            }
            text.clear();
        }
    }

    fn agreed(&mut self, pair: &str) -> Result<()> {
        match pair.split_once('=') {
            Some(("MaxRecvDataSegmentLength", value)) => self.max_send = value.parse()?,
            Some(("FirstBurstLength", value)) => self.first_burst = value.parse()?,
            Some(("InitialR2T", value)) => self.initial_r2t = value == "Yes",
            Some(("ImmediateData", value)) => self.immediate = value == "Yes",
            _ => {}
        }
        Ok(())
    }

    /// TEST UNIT READY until it is GOOD: unit attentions wait for the first command of a session.
    fn await_ready(&mut self) -> Result<()> {
        let mut sense = Vec::new();
        for _ in 0..8 {
            let mut header = [0; 48];
            header[0] = 0x01;
            header[1] = FINAL | 0x01;
            header[9] = self.lun;
            put(&mut header, 24, self.cmd_sn);
            put(&mut header, 28, self.exp_stat_sn);
            self.cmd_sn = self.cmd_sn.wrapping_add(1);
            self.push(header, &[])?;
            self.flush()?;
            let (header, data) = self.receive()?;
            ensure!(header[0] & 0x3f == RESPONSE, "opcode {:#x} answers a command", header[0]);
            self.exp_stat_sn = get(&header, 24).wrapping_add(1);
            self.max_cmd_sn = get(&header, 32);
            if header[3] == 0 {
                return Ok(());
            }
            sense = data;
        }
        bail!("the unit does not become ready: sense {sense:02x?}")
    }

    /// What was negotiated, for the record.
    pub(crate) fn terms(&self) -> String {
        format!(
            "MaxRecvDataSegmentLength {}, FirstBurstLength {}, InitialR2T {}, ImmediateData {}",
            self.max_send, self.first_burst, self.initial_r2t, self.immediate
        )
    }

    /// Keeps `load.depth` commands under way until its time is over, over the blocks of `image`.
    pub(crate) fn run(&mut self, load: &Load, image: &[u8]) -> Result<Score> {
        let mut places = Places::new(load, image.len());
        let mut slots = vec![Slot { offset: 0, read: 0 }; load.depth];
        let mut free: Vec<usize> = (0..load.depth).collect();
        let mut done = 0;
        let since = Instant::now();
        loop {
            while load.goes_on(since, done + (load.depth - free.len()) as u64) && self.window_is_open() {
                let Some(tag) = free.pop() else { break };
                let offset = places.next();
                if let Some(slot) = slots.get_mut(tag) {
                    *slot = Slot { offset, read: 0 };
                }
                self.command(load, u32::try_from(tag)?, offset, image)?;
            }
            self.flush()?;
            if free.len() == load.depth {
                break;
            }
            self.input.fill()?;
            while let Some((header, length)) = self.next_header()? {
                let tag = get(&header, 16);
                if self.handle(&header, length, &mut slots, image)? {
                    let slot = slots.get(tag as usize).context("a status for a command never sent")?;
                    ensure!(load.write || slot.read == load.size, "{} bytes read", slot.read);
                    free.push(tag as usize);
                    done += 1;
                }
            }
        }
        Ok(Score { operations: done, bytes: done * load.size as u64, took: since.elapsed() })
    }

    fn window_is_open(&self) -> bool {
        self.max_cmd_sn.wrapping_sub(self.cmd_sn) < 1 << 31
    }

    /// READ(10) or WRITE(10) (SBC-3 §5.11, §5.36), with all the data that may go unasked.
    fn command(&mut self, load: &Load, tag: u32, offset: usize, image: &[u8]) -> Result<()> {
        let size = load.size;
        let now =
            if load.write && self.immediate { size.min(self.max_send).min(self.first_burst) } else { 0 };
        let unasked = if load.write && !self.initial_r2t { size.min(self.first_burst) } else { now };
        let mut header = [0; 48];
        header[0] = 0x01;
        header[1] = match (load.write, unasked > now) {
            (false, _) => FINAL | 0x41,
            (true, false) => FINAL | 0x21,
            (true, true) => 0x21,
        };
        header[9] = self.lun;
        put(&mut header, 16, tag);
        put(&mut header, 20, u32::try_from(size)?);
        put(&mut header, 24, self.cmd_sn);
        put(&mut header, 28, self.exp_stat_sn);
        header[32] = if load.write { 0x2a } else { 0x28 };
        put(&mut header, 34, u32::try_from(offset)? / BLOCK);
        let blocks = u16::try_from(size as u32 / BLOCK)?.to_be_bytes();
        header[39] = blocks[0];
        header[40] = blocks[1];
        self.cmd_sn = self.cmd_sn.wrapping_add(1);
        let data = image.get(offset..offset + size).context("a place beyond the image")?;
        self.push(header, data.get(..now).unwrap_or_default())?;
        self.data_out(tag, NO_TAG, now, data.get(..unasked).unwrap_or_default())
    }

    /// Data-Out PDUs for `data` from `from` on.
    fn data_out(&mut self, tag: u32, transfer: u32, from: usize, data: &[u8]) -> Result<()> {
        let mut at = from;
        let mut data_sn = 0;
        while at < data.len() {
            let end = data.len().min(at + self.max_send);
            let mut header = [0; 48];
            header[0] = 0x05;
            header[1] = if end == data.len() { FINAL } else { 0 };
            header[9] = self.lun;
            put(&mut header, 16, tag);
            put(&mut header, 20, transfer);
            put(&mut header, 28, self.exp_stat_sn);
            put(&mut header, 36, data_sn);
            put(&mut header, 40, u32::try_from(at)?);
            self.push(header, data.get(at..end).unwrap_or_default())?;
            at = end;
            data_sn += 1;
        }
        Ok(())
    }

    /// One PDU from the target. Whether it ends the command it names.
    fn handle(&mut self, header: &Header, length: usize, slots: &mut [Slot], image: &[u8]) -> Result<bool> {
        let opcode = header[0] & 0x3f;
        let window = get(header, 32);
        if window.wrapping_sub(self.max_cmd_sn) < 1 << 31 {
            self.max_cmd_sn = window;
        }
        let tag = get(header, 16);
        match opcode {
            DATA_IN => {
                let slot = slots.get_mut(tag as usize).context("data for a command never sent")?;
                let place = slot.offset + get(header, 40) as usize;
                let stamp = self.input.peek(8)?;
                ensure!(image.get(place..place + 8) == Some(stamp), "other data than written at {place}");
                slot.read += length;
                self.input.skip(length.next_multiple_of(4))?;
                return Ok(header[1] & 1 != 0 && self.status(header)?);
            }
            RESPONSE => {
                ensure!(header[2] == 0, "iSCSI response {:#x}", header[2]);
                if header[3] != 0 {
                    bail!("status {:#x}, sense {:02x?}", header[3], self.input.peek(length)?);
                }
                self.input.skip(length.next_multiple_of(4))?;
                return self.status(header);
            }
            R2T => {
                let offset = slots.get(tag as usize).context("R2T for a command never sent")?.offset;
                let (from, wanted) = (get(header, 40) as usize, get(header, 44) as usize);
                let data = image.get(offset..offset + from + wanted).context("R2T beyond the command")?;
                self.data_out(tag, get(header, 20), from, data)?;
            }
            NOP_IN => {
                self.input.skip(length.next_multiple_of(4))?;
                if get(header, 20) != NO_TAG {
                    let mut pong = [0; 48];
                    pong[0] = 0x40;
                    pong[1] = FINAL;
                    put(&mut pong, 16, NO_TAG);
                    put(&mut pong, 20, get(header, 20));
                    put(&mut pong, 24, self.cmd_sn);
                    put(&mut pong, 28, self.exp_stat_sn);
                    self.push(pong, &[])?;
                }
            }
            other => bail!("PDU {other:#x} during I/O"),
        }
        Ok(false)
    }

    fn status(&mut self, header: &Header) -> Result<bool> {
        ensure!(header[3] == 0, "status {:#x}", header[3]);
        self.exp_stat_sn = get(header, 24).wrapping_add(1);
        Ok(true)
    }

    /// The next header, when it and its data are here.
    fn next_header(&mut self) -> Result<Option<(Header, usize)>> {
        let Some(header) = self.input.try_peek(48) else { return Ok(None) };
        let header: Header = header.try_into()?;
        let length = get(&header, 4) as usize & 0xff_ffff;
        if self.input.try_peek(48 + length.next_multiple_of(4)).is_none() {
            ensure!(length <= MAX_RECEIVE, "a data segment of {length} bytes");
            return Ok(None);
        }
        self.input.skip(48 + usize::from(header[4]) * 4)?;
        Ok(Some((header, length)))
    }

    fn receive(&mut self) -> Result<(Header, Vec<u8>)> {
        loop {
            if let Some((header, length)) = self.next_header()? {
                let data = self.input.peek(length)?.to_vec();
                self.input.skip(length.next_multiple_of(4))?;
                return Ok((header, data));
            }
            self.input.fill()?;
        }
    }

    fn push(&mut self, mut header: Header, data: &[u8]) -> Result<()> {
        let length = u32::try_from(data.len())?.to_be_bytes();
        header[5..8].copy_from_slice(&length[1..]);
        self.out.extend_from_slice(&header);
        if data.len() <= COPIED {
            self.out.extend_from_slice(data);
            self.out.resize(self.out.len().next_multiple_of(4), 0);
            return Ok(());
        }
        self.flush()?;
        self.stream.write_all(data).context("send")
    }

    fn flush(&mut self) -> Result<()> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out).context("send")?;
            self.out.clear();
        }
        Ok(())
    }
}

/// What a unit of `size` bytes holds: its block numbers, each in the first bytes of its block.
pub(crate) fn image(size: usize) -> Vec<u8> {
    let mut image = vec![0x5a; size];
    for (number, block) in (0_u64..).zip(image.chunks_exact_mut(BLOCK as usize)) {
        if let Some(stamp) = block.first_chunk_mut() {
            *stamp = number.to_be_bytes();
        }
    }
    image
}

fn get(header: &Header, at: usize) -> u32 {
    header.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn put(header: &mut Header, at: usize, value: u32) {
    if let Some(place) = header.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = value.to_be_bytes();
    }
}
