//! A small initiator, written against RFC 7143 and not against the target's code.

// Code of tests alone: an answer that breaks the protocol fails the test that asked, right here.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) const NODE_A: &str = "iqn.2026-11.example:node-a";
pub(crate) const NODE_B: &str = "iqn.2026-11.example:node-b";

/// Long enough for any answer that comes at all.
const ANSWER: Duration = Duration::from_secs(20);

/// A received PDU.
#[derive(Clone, Debug)]
pub(crate) struct Pdu {
    pub(crate) header: [u8; 48],
    pub(crate) data: Vec<u8>,
}

impl Pdu {
    pub(crate) fn u32(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.header[at..at + 4].try_into().unwrap())
    }

    pub(crate) fn opcode(&self) -> u8 {
        self.header[0] & 0x3f
    }
}

/// What a SCSI command came back with.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u8,
    pub(crate) data: Vec<u8>,
    /// Key, ASC, ASCQ.
    pub(crate) sense: Option<(u8, u8, u8)>,
}

impl Answer {
    #[track_caller]
    pub(crate) fn good(self) -> Vec<u8> {
        assert_eq!((self.status, self.sense), (0, None));
        self.data
    }
}

/// What to say at login.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) name: &'static str,
    pub(crate) target: Option<&'static str>,
    pub(crate) isid: u8,
    pub(crate) digests: bool,
    pub(crate) initial_r2t: bool,
    pub(crate) immediate: bool,
    pub(crate) max_receive: u32,
    pub(crate) max_r2t: u16,
    /// Session handle and connection id of the login.
    pub(crate) tsih: u16,
    pub(crate) cid: u16,
    pub(crate) cmd_sn: u32,
}

impl Offer {
    pub(crate) fn of(name: &'static str, target: &'static str) -> Self {
        Self {
            name,
            target: Some(target),
            isid: 1,
            digests: false,
            initial_r2t: false,
            immediate: true,
            max_receive: 65_536,
            max_r2t: 1,
            tsih: 0,
            cid: 0,
            cmd_sn: 1,
        }
    }

    pub(crate) fn discovery(name: &'static str) -> Self {
        Self { target: None, max_receive: 512, ..Self::of(name, "") }
    }
}

pub(crate) struct Initiator {
    stream: TcpStream,
    offer: Offer,
    digests: bool,
    cmd_sn: u32,
    tag: u32,
    max_cmd_sn: u32,
    stat_sn: u32,
    /// The session handle given at login.
    pub(crate) tsih: u16,
}

impl Initiator {
    /// A connection on which nothing was said yet.
    pub(crate) async fn dial(portal: SocketAddr, offer: Offer) -> Self {
        let stream = TcpStream::connect(portal).await.unwrap();
        let cmd_sn = offer.cmd_sn;
        Self { stream, offer, digests: false, cmd_sn, tag: 0, max_cmd_sn: 1, stat_sn: 0, tsih: 0 }
    }

    /// One login request with these stages and flags, and its answer, if one comes.
    pub(crate) async fn log_in_step(&mut self, stages: u8, text: &str) -> Option<Pdu> {
        self.send(self.login_header(stages), text.as_bytes()).await;
        self.receive().await
    }

    fn login_header(&self, stages: u8) -> [u8; 48] {
        let mut header = [0; 48];
        header[..2].copy_from_slice(&[0x43, stages]);
        header[8..14].copy_from_slice(&[0x40, 0, 0, 0, 0, self.offer.isid]);
        header[14..16].copy_from_slice(&self.offer.tsih.to_be_bytes());
        header[20..22].copy_from_slice(&self.offer.cid.to_be_bytes());
        header[24..28].copy_from_slice(&self.offer.cmd_sn.to_be_bytes());
        header
    }

    /// Dials and logs in; the status of a refusal.
    pub(crate) async fn log_in(portal: SocketAddr, offer: Offer) -> Result<Self, (u8, u8)> {
        let mut this = Self::dial(portal, offer).await;
        let yes_no = |yes: bool| if yes { "Yes" } else { "No" };
        let mut text = format!("InitiatorName={}\0", offer.name);
        match offer.target {
            Some(target) => text += &format!("SessionType=Normal\0TargetName={target}\0"),
            None => text += "SessionType=Discovery\0",
        }
        let digest = if offer.digests { "CRC32C" } else { "None" };
        text += &format!("HeaderDigest={digest}\0DataDigest={digest}\0");
        text +=
            &format!("InitialR2T={}\0ImmediateData={}\0", yes_no(offer.initial_r2t), yes_no(offer.immediate));
        text += &format!(
            "MaxRecvDataSegmentLength={}\0MaxBurstLength=262144\0FirstBurstLength=65536\0MaxOutstandingR2T={}\0",
            offer.max_receive, offer.max_r2t
        );
        let answer = this.log_in_step(0x87, &text).await.expect("a login response");
        assert_eq!(answer.opcode(), 0x23);
        if answer.header[36] != 0 {
            return Err((answer.header[36], answer.header[37]));
        }
        assert_eq!(answer.header[1], 0x87, "full feature phase");
        this.tsih = u16::from_be_bytes([answer.header[14], answer.header[15]]);
        assert_ne!(this.tsih, 0, "a session handle");
        this.digests = offer.digests;
        this.stat_sn = answer.u32(24).wrapping_add(1);
        Ok(this)
    }

    /// The number the next command will have.
    pub(crate) fn next_cmd_sn(&self) -> u32 {
        self.cmd_sn
    }

    /// The end of the connection: whether it was a reset.
    pub(crate) async fn was_reset(&mut self) -> bool {
        let mut byte = [0];
        let end = timeout(ANSWER, self.stream.read(&mut byte)).await.expect("an end in time");
        end.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
    }

    /// Sends a PDU of which one bit flips on the way, at this byte.
    pub(crate) async fn send_damaged(&mut self, header: [u8; 48], data: &[u8], at: usize) {
        let mut bytes = self.encode(header, data);
        bytes[at] ^= 1;
        let _ = self.stream.write_all(&bytes).await;
    }

    pub(crate) async fn send(&mut self, header: [u8; 48], data: &[u8]) {
        let bytes = self.encode(header, data);
        // A connection the target has closed shows at the next read.
        let _ = self.stream.write_all(&bytes).await;
    }

    fn encode(&self, mut header: [u8; 48], data: &[u8]) -> Vec<u8> {
        header[5..8].copy_from_slice(&(data.len() as u32).to_be_bytes()[1..]);
        let mut bytes = header.to_vec();
        if self.digests {
            bytes.extend(crc32c::crc32c(&header).to_le_bytes());
        }
        let mut padded = data.to_vec();
        padded.resize(data.len().next_multiple_of(4), 0);
        bytes.extend(&padded);
        if self.digests && !data.is_empty() {
            bytes.extend(crc32c::crc32c(&padded).to_le_bytes());
        }
        bytes
    }

    /// The next PDU; `None` at the end of the connection. Checks digests and numbering.
    pub(crate) async fn receive(&mut self) -> Option<Pdu> {
        timeout(ANSWER, self.read()).await.expect("an answer in time")
    }

    /// Whether the target stays silent for a while.
    pub(crate) async fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        timeout(Duration::from_millis(300), self.stream.peek(&mut byte)).await.is_err()
    }

    async fn read(&mut self) -> Option<Pdu> {
        let mut header = [0; 48];
        self.stream.read_exact(&mut header).await.ok()?;
        let length = u32::from_be_bytes([0, header[5], header[6], header[7]]) as usize;
        let mut digest = [0; 4];
        if self.digests {
            self.stream.read_exact(&mut digest).await.ok()?;
            assert_eq!(u32::from_le_bytes(digest), crc32c::crc32c(&header), "header digest");
        }
        assert!(length <= self.offer.max_receive as usize || header[0] == 0x23);
        let mut data = vec![0; length.next_multiple_of(4)];
        self.stream.read_exact(&mut data).await.ok()?;
        if self.digests && length > 0 {
            self.stream.read_exact(&mut digest).await.ok()?;
            assert_eq!(u32::from_le_bytes(digest), crc32c::crc32c(&data), "data digest");
        }
        data.truncate(length);
        let pdu = Pdu { header, data };
        let opcode = pdu.opcode();
        if opcode != 0x23 {
            let ahead = pdu.u32(32).wrapping_sub(self.max_cmd_sn);
            assert!(ahead < 1 << 31, "MaxCmdSN went back");
            self.max_cmd_sn = pdu.u32(32);
            let ping = opcode == 0x20 && pdu.u32(16) == u32::MAX;
            let numbered = opcode != 0x31 && !ping && (opcode != 0x25 || header[1] & 1 != 0);
            if numbered {
                assert_eq!(pdu.u32(24), self.stat_sn, "StatSN in order");
                self.stat_sn = self.stat_sn.wrapping_add(1);
            }
        }
        Some(pdu)
    }

    /// Sends a command PDU with its immediate and unsolicited data; its tag.
    pub(crate) async fn begin(&mut self, lun: u8, cdb: &[u8], expected_in: u32, out: &[u8]) -> u32 {
        self.tag += 1;
        let first = out.len().min(65_536);
        let immediate = if self.offer.immediate { first.min(8192) } else { 0 };
        let unsolicited = if self.offer.initial_r2t { immediate } else { first };
        let mut header = [0; 48];
        header[0] = 0x01;
        header[1] = match (expected_in > 0, out.is_empty()) {
            (true, _) => 0x40,
            (false, false) => 0x20,
            (false, true) => 0,
        };
        if unsolicited == immediate {
            header[1] |= 0x80;
        }
        header[9] = lun;
        header[16..20].copy_from_slice(&self.tag.to_be_bytes());
        header[20..24].copy_from_slice(&expected_in.max(out.len() as u32).to_be_bytes());
        header[24..28].copy_from_slice(&self.cmd_sn.to_be_bytes());
        header[32..32 + cdb.len()].copy_from_slice(cdb);
        self.cmd_sn += 1;
        let tag = self.tag;
        self.send(header, &out[..immediate]).await;
        if unsolicited > immediate {
            self.data_out(tag, u32::MAX, &out[..unsolicited], immediate).await;
        }
        tag
    }

    /// Sends `data[from..]` as one sequence of Data-Out.
    pub(crate) async fn data_out(&mut self, tag: u32, transfer_tag: u32, data: &[u8], from: usize) {
        let (mut at, mut data_sn) = (from, 0u32);
        while at < data.len() {
            let end = data.len().min(at + 20_000);
            let mut header = [0; 48];
            header[0] = 0x05;
            header[1] = if end == data.len() { 0x80 } else { 0 };
            header[16..20].copy_from_slice(&tag.to_be_bytes());
            header[20..24].copy_from_slice(&transfer_tag.to_be_bytes());
            header[36..40].copy_from_slice(&data_sn.to_be_bytes());
            header[40..44].copy_from_slice(&(at as u32).to_be_bytes());
            self.send(header, &data[at..end]).await;
            at = end;
            data_sn += 1;
        }
    }

    /// Serves R2Ts and collects data until all the commands are answered.
    pub(crate) async fn finish(&mut self, mut open: HashMap<u32, Vec<u8>>) -> HashMap<u32, Answer> {
        let mut answers: HashMap<u32, Answer> = open.keys().map(|tag| (*tag, Answer::default())).collect();
        while !open.is_empty() {
            let pdu = self.receive().await.expect("the connection stays");
            let tag = pdu.u32(16);
            let answer = answers.get_mut(&tag).expect("an answer to an open command");
            match pdu.opcode() {
                0x31 => {
                    let (offset, length) = (pdu.u32(40) as usize, pdu.u32(44) as usize);
                    assert!(length <= 262_144, "no more than MaxBurstLength");
                    let data = open[&tag][..offset + length].to_vec();
                    self.data_out(tag, pdu.u32(20), &data, offset).await;
                }
                0x25 => {
                    assert_eq!(pdu.u32(40) as usize, answer.data.len(), "data in order");
                    answer.data.extend(&pdu.data);
                    if pdu.header[1] & 1 != 0 {
                        answer.status = pdu.header[3];
                        open.remove(&tag);
                    }
                }
                0x21 => {
                    answer.status = pdu.header[3];
                    if pdu.data.len() > 15 {
                        answer.sense = Some((pdu.data[4], pdu.data[14], pdu.data[15]));
                    }
                    open.remove(&tag);
                }
                other => panic!("opcode {other:02x}"),
            }
        }
        answers
    }

    pub(crate) async fn command(&mut self, lun: u8, cdb: &[u8], expected_in: u32, out: &[u8]) -> Answer {
        let tag = self.begin(lun, cdb, expected_in, out).await;
        self.finish(HashMap::from([(tag, out.to_vec())])).await.remove(&tag).unwrap()
    }

    pub(crate) async fn test_unit_ready(&mut self, lun: u8) -> Option<(u8, u8, u8)> {
        self.command(lun, &[0; 6], 0, &[]).await.sense
    }

    /// A request that is answered by one PDU.
    pub(crate) async fn ask(&mut self, opcode: u8, flags: u8, fields: &[(usize, &[u8])], data: &[u8]) -> Pdu {
        self.tag += 1;
        let mut header = [0; 48];
        header[..2].copy_from_slice(&[opcode | 0x40, flags | 0x80]);
        header[16..20].copy_from_slice(&self.tag.to_be_bytes());
        header[20..24].copy_from_slice(&[0xff; 4]);
        header[24..28].copy_from_slice(&self.cmd_sn.to_be_bytes());
        for (at, bytes) in fields {
            header[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
        self.send(header, data).await;
        self.receive().await.expect("an answer")
    }

    /// SendTargets, over as many PDUs as it takes.
    pub(crate) async fn send_targets(&mut self, which: &str) -> Vec<String> {
        let mut text = Vec::new();
        let mut tag = [0xff; 4];
        let mut request = format!("SendTargets={which}\0").into_bytes();
        loop {
            let answer = self.ask(0x04, 0, &[(20, &tag)], &request).await;
            assert_eq!(answer.opcode(), 0x24);
            text.extend(&answer.data);
            if answer.header[1] & 0x80 != 0 {
                break;
            }
            tag.copy_from_slice(&answer.header[20..24]);
            request.clear();
        }
        String::from_utf8(text).unwrap().split_terminator('\0').map(str::to_owned).collect()
    }
}

/// WRITE(10) or READ(10) of whole 512-byte blocks.
pub(crate) fn transfer(opcode: u8, lba: u32, length: usize) -> [u8; 10] {
    let mut cdb = [0; 10];
    cdb[0] = opcode;
    cdb[2..6].copy_from_slice(&lba.to_be_bytes());
    cdb[7..9].copy_from_slice(&((length / 512) as u16).to_be_bytes());
    cdb
}
