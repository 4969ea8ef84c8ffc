//! The NFS v3 client of the benchmark (RFC 1813 over RFC 5531, AUTH_SYS as root): one connection,
//! calls under way at once, payload sent from where it lies.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::input::Input;
use crate::load::Score;

/// Length of the sequential file, in bytes.
pub(crate) const FILE: u64 = 1 << 30;
/// Bytes a READ or WRITE of it moves: what the Linux client asks for by default.
const CHUNK: usize = 256 << 10;
/// Calls under way at once on the sequential file.
const DEPTH: usize = 8;
/// Length of a small file, in bytes.
const SMALL: usize = 4 << 10;

const NFS: (u32, u32) = (100_003, 3);
const MOUNT: (u32, u32) = (100_005, 3);
/// Procedures (RFC 1813 §3.3).
const LOOKUP: u32 = 3;
const READ: u32 = 6;
const WRITE: u32 = 7;
const CREATE: u32 = 8;
const REMOVE: u32 = 12;
const COMMIT: u32 = 21;
/// stable_how.
const UNSTABLE: u32 = 0;
const FILE_SYNC: u32 = 2;

/// A mounted export.
pub(crate) struct Nfs {
    stream: TcpStream,
    input: Input,
    out: Vec<u8>,
    xid: u32,
    root: Vec<u8>,
    payload: Vec<u8>,
    written: bool,
}

/// XDR being written (RFC 4506).
#[derive(Default)]
struct Arguments(Vec<u8>);

impl Arguments {
    fn word(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn long(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn bytes(self, value: &[u8]) -> Self {
        let mut this = self.word(u32::try_from(value.len()).unwrap_or(u32::MAX));
        this.0.extend_from_slice(value);
        this.0.resize(this.0.len().next_multiple_of(4), 0);
        this
    }
}

/// XDR being read.
struct Results<'a>(&'a [u8]);

impl<'a> Results<'a> {
    fn word(&mut self) -> Result<u32> {
        let (word, rest) = self.0.split_first_chunk().context("a reply ends early")?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*word))
    }

    fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.word()? as usize;
        let data = self.0.get(..length).context("a reply ends early")?;
        self.0 = self.0.get(length.next_multiple_of(4)..).context("a reply ends early")?;
        Ok(data)
    }

    fn attributes(&mut self) -> Result<()> {
        if self.word()? == 1 {
            self.0 = self.0.get(84..).context("a reply ends early")?;
        }
        Ok(())
    }
}

/// A small file on its way: what is asked next of it.
#[derive(Clone, Default)]
struct Life {
    step: usize,
    name: String,
    file: Vec<u8>,
}

impl Nfs {
    /// Asks MOUNT for the root of `export` and connects.
    pub(crate) fn mount(nfs: SocketAddr, mount: SocketAddr, export: &str) -> Result<Self> {
        let mut asked = Self::connect(mount)?;
        asked.call(MOUNT, 1, Arguments::default().bytes(export.as_bytes()), &[])?;
        asked.flush()?;
        let root = asked.reply(|_, results| {
            let status = results.word()?;
            ensure!(status == 0, "MOUNT refuses {export}: {status}");
            Ok(results.bytes()?.to_vec())
        })?;
        let mut mounted = Self::connect(nfs)?;
        mounted.root = root;
        Ok(mounted)
    }

    fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            input: Input::new(stream.try_clone()?)?,
            stream,
            out: Vec::new(),
            xid: 1,
            root: Vec::new(),
            payload: (0..CHUNK).map(|n| (n % 251) as u8).collect(),
            written: false,
        })
    }

    /// Writes the sequential file UNSTABLE and commits it.
    pub(crate) fn write_file(&mut self, name: &str) -> Result<Score> {
        let since = Instant::now();
        let file = self.create(name)?;
        let payload = std::mem::take(&mut self.payload);
        let operations = self.pipeline(DEPTH, FILE / CHUNK as u64, |client, n| {
            let arguments = Arguments::default().bytes(&file).long(n * CHUNK as u64).word(CHUNK as u32);
            let arguments = arguments.word(UNSTABLE).word(CHUNK as u32);
            client.call(NFS, WRITE, arguments, &payload).map(drop)
        });
        self.payload = payload;
        let operations = operations?;
        self.call(NFS, COMMIT, Arguments::default().bytes(&file).long(0).word(0), &[])?;
        self.flush()?;
        self.reply(succeeded)?;
        self.written = true;
        Ok(Score { operations, bytes: FILE, took: since.elapsed() })
    }

    /// The same, unless it was written before.
    pub(crate) fn write_file_once(&mut self, name: &str) -> Result<()> {
        if !self.written {
            self.write_file(name)?;
        }
        Ok(())
    }

    /// Reads the sequential file from its start to its end.
    pub(crate) fn read_file(&mut self, name: &str) -> Result<Score> {
        let arguments = Arguments::default().bytes(&self.root).bytes(name.as_bytes());
        self.call(NFS, LOOKUP, arguments, &[])?;
        self.flush()?;
        let file = self.reply(|_, results| {
            ensure!(results.word()? == 0, "LOOKUP of the file just written fails");
            Ok(results.bytes()?.to_vec())
        })?;
        let since = Instant::now();
        let first = self.payload.get(..64).context("a payload")?.to_vec();
        let mut sent = 0;
        let mut answered = 0;
        let count = FILE / CHUNK as u64;
        while answered < count {
            while sent < count && sent - answered < DEPTH as u64 {
                let arguments = Arguments::default().bytes(&file).long(sent * CHUNK as u64);
                self.call(NFS, READ, arguments.word(CHUNK as u32), &[])?;
                sent += 1;
            }
            self.flush()?;
            self.reply(|_, results| {
                ensure!(results.word()? == 0, "READ fails");
                results.attributes()?;
                let (length, _eof) = (results.word()?, results.word()?);
                let data = results.bytes()?;
                ensure!(length as usize == CHUNK && data.len() == CHUNK, "a short READ of {length}");
                ensure!(data.starts_with(&first), "other data than written");
                Ok(())
            })?;
            answered += 1;
        }
        Ok(Score { operations: count, bytes: FILE, took: since.elapsed() })
    }

    /// Creates, writes (4 KiB, FILE_SYNC), looks up, reads and removes files, `width` at a time.
    /// An operation is one file's whole life.
    pub(crate) fn small_files(&mut self, time: Duration, width: usize) -> Result<Score> {
        let since = Instant::now();
        let first_xid = self.xid;
        let mut lives = vec![Life::default(); width];
        // A call's life is that of its place: xid -> index, for calls of this load only.
        let mut places = Vec::new();
        let (mut born, mut gone) = (0_u64, 0);
        for (index, life) in lives.iter_mut().enumerate() {
            *life = Life { name: format!("f{born}"), ..Life::default() };
            born += 1;
            self.step(life)?;
            places.push(index);
        }
        while gone < born {
            self.flush()?;
            let (xid, handle) = self.reply(|xid, results| Ok((xid, small_result(results)?)))?;
            let index = *places.get(xid.wrapping_sub(first_xid) as usize).context("a reply to no call")?;
            let life = lives.get_mut(index).context("a place")?;
            if let (0, Some(handle)) = (life.step, handle) {
                life.file = handle;
            }
            life.step += 1;
            if life.step == 5 {
                gone += 1;
                if since.elapsed() >= time {
                    continue;
                }
                *life = Life { name: format!("f{born}"), ..Life::default() };
                born += 1;
            }
            let mut life = std::mem::take(life);
            self.step(&life)?;
            places.push(index);
            if let Some(place) = lives.get_mut(index) {
                std::mem::swap(place, &mut life);
            }
        }
        Ok(Score { operations: gone, bytes: gone * SMALL as u64, took: since.elapsed() })
    }

    /// The next call in a small file's life.
    fn step(&mut self, life: &Life) -> Result<()> {
        let name = life.name.as_bytes();
        let file = || Arguments::default().bytes(&life.file);
        let named = || Arguments::default().bytes(&self.root).bytes(name);
        let (procedure, arguments) = match life.step {
            0 => (CREATE, unchecked(named())),
            1 => {
                let data = self.payload.get(..SMALL).unwrap_or_default();
                (WRITE, file().long(0).word(SMALL as u32).word(FILE_SYNC).bytes(data))
            }
            2 => (LOOKUP, named()),
            3 => (READ, file().long(0).word(SMALL as u32)),
            _ => (REMOVE, named()),
        };
        self.call(NFS, procedure, arguments, &[])
    }

    fn create(&mut self, name: &str) -> Result<Vec<u8>> {
        let arguments = unchecked(Arguments::default().bytes(&self.root).bytes(name.as_bytes()));
        self.call(NFS, CREATE, arguments, &[])?;
        self.flush()?;
        self.reply(|_, results| small_result(results)?.context("CREATE gives no handle"))
    }

    /// `count` calls, `depth` under way at once; each must succeed.
    fn pipeline(
        &mut self,
        depth: usize,
        count: u64,
        mut send: impl FnMut(&mut Self, u64) -> Result<()>,
    ) -> Result<u64> {
        let (mut sent, mut answered) = (0, 0);
        while answered < count {
            while sent < count && sent - answered < depth as u64 {
                send(self, sent)?;
                sent += 1;
            }
            self.flush()?;
            self.reply(succeeded)?;
            answered += 1;
        }
        Ok(count)
    }

    /// Puts a call into the buffer, with `payload` (a multiple of 4 bytes) behind its arguments.
    fn call(
        &mut self,
        program: (u32, u32),
        procedure: u32,
        arguments: Arguments,
        payload: &[u8],
    ) -> Result<()> {
        let head = Arguments::default().word(self.xid).word(0).word(2).word(program.0).word(program.1);
        let credential = Arguments::default().word(0).bytes(b"bench").word(0).word(0).word(0);
        let head = head.word(procedure).word(1).bytes(&credential.0).word(0).word(0);
        self.xid = self.xid.wrapping_add(1);
        let length = head.0.len() + arguments.0.len() + payload.len();
        let mark = u32::try_from(length)? | 1 << 31;
        for part in [&mark.to_be_bytes()[..], &head.0, &arguments.0] {
            self.out.extend_from_slice(part);
        }
        if !payload.is_empty() {
            self.flush()?;
            self.stream.write_all(payload).context("send")?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out).context("send")?;
            self.out.clear();
        }
        Ok(())
    }

    /// Waits for a reply and reads it where it lies.
    fn reply<T>(&mut self, read: impl FnOnce(u32, &mut Results<'_>) -> Result<T>) -> Result<T> {
        let length = loop {
            if let Some(mark) = self.input.try_peek(4) {
                let mark = Results(mark).word()?;
                ensure!(mark >> 31 == 1, "a reply in fragments");
                let length = (mark & 0x7fff_ffff) as usize;
                if self.input.try_peek(4 + length).is_some() {
                    break length;
                }
            }
            self.input.fill()?;
        };
        let record = self.input.peek(4 + length)?;
        let mut results = Results(record.get(4..).unwrap_or_default());
        let xid = results.word()?;
        let (kind, verdict) = (results.word()?, results.word()?);
        results.word()?;
        results.bytes()?;
        let accepted = results.word()?;
        if (kind, verdict, accepted) != (1, 0, 0) {
            bail!("the call was not accepted: {kind} {verdict} {accepted}");
        }
        let outcome = read(xid, &mut results)?;
        self.input.skip(4 + length)?;
        Ok(outcome)
    }
}

/// createhow3: UNCHECKED, mode 0644, nothing else set.
fn unchecked(place: Arguments) -> Arguments {
    place.word(0).word(1).word(0o644).word(0).word(0).word(0).word(0).word(0)
}

fn succeeded(_xid: u32, results: &mut Results<'_>) -> Result<()> {
    let status = results.word()?;
    ensure!(status == 0, "NFS status {status}");
    Ok(())
}

/// Status, and the handle that follows it in a CREATE's reply.
fn small_result(results: &mut Results<'_>) -> Result<Option<Vec<u8>>> {
    succeeded(0, results)?;
    Ok(match results.word() {
        Ok(1) => results.bytes().ok().map(<[u8]>::to_vec),
        _ => None,
    })
}
