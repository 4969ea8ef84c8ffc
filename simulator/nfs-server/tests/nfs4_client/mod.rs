//! COMPOUNDs of a few lines: an own reading of RFC 8881, so that no shared mistake passes.

use super::client::{Args, Client, Results};

pub(crate) const NFS4: (u32, u32) = (100_003, 4);

pub(crate) const ACCESS: u32 = 3;
pub(crate) const CLOSE: u32 = 4;
pub(crate) const CREATE: u32 = 6;
pub(crate) const GETATTR: u32 = 9;
pub(crate) const GETFH: u32 = 10;
pub(crate) const LOCK: u32 = 12;
pub(crate) const LOOKUP: u32 = 15;
pub(crate) const LOOKUPP: u32 = 16;
pub(crate) const OPEN: u32 = 18;
pub(crate) const OPEN_CONFIRM: u32 = 20;
pub(crate) const PUTFH: u32 = 22;
pub(crate) const PUTROOTFH: u32 = 24;
pub(crate) const READ: u32 = 25;
pub(crate) const READDIR: u32 = 26;
pub(crate) const REMOVE: u32 = 28;
pub(crate) const SETCLIENTID: u32 = 35;
pub(crate) const SETCLIENTID_CONFIRM: u32 = 36;
pub(crate) const WRITE: u32 = 38;
pub(crate) const EXCHANGE_ID: u32 = 42;
pub(crate) const CREATE_SESSION: u32 = 43;
pub(crate) const SEQUENCE: u32 = 53;
pub(crate) const RECLAIM_COMPLETE: u32 = 58;

/// Operations to send.
#[derive(Clone, Default)]
pub(crate) struct Ops {
    count: u32,
    args: Args,
}

impl Ops {
    pub(crate) fn op(mut self, number: u32, args: impl FnOnce(Args) -> Args) -> Self {
        self.count += 1;
        self.args = args(self.args.word(number));
        self
    }

    pub(crate) fn plain(self, number: u32) -> Self {
        self.op(number, |args| args)
    }

    pub(crate) fn lookup(self, name: &str) -> Self {
        self.op(LOOKUP, |args| args.bytes(name.as_bytes()))
    }

    /// GETATTR of attributes below 64.
    pub(crate) fn attributes(self, ids: &[u32]) -> Self {
        self.op(GETATTR, |args| bitmap(args, ids))
    }

    fn compound(self, minor: u32) -> Args {
        let head = Args::default().bytes(b"tag").word(minor).word(self.count);
        Args([head.0, self.args.0].concat())
    }
}

fn bitmap(args: Args, ids: &[u32]) -> Args {
    let word = |at: u32| ids.iter().filter(|id| **id / 32 == at).fold(0, |word, id| word | 1 << (id % 32));
    args.word(2).word(word(0)).word(word(1))
}

/// What came back: the status of all, and the operations' results from the first on.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u32,
    pub(crate) count: u32,
    pub(crate) results: Results,
}

impl Reply {
    fn parse(mut results: Results) -> Self {
        let status = results.word();
        assert_eq!(results.bytes(), b"tag", "the tag comes back");
        let count = results.word();
        Self { status, count, results }
    }

    /// Goes on to the results of the next operation, which must be that one; its status.
    pub(crate) fn next(&mut self, number: u32) -> u32 {
        assert_eq!(self.results.word(), number);
        self.results.word()
    }

    pub(crate) fn ok(&mut self, number: u32) -> &mut Results {
        assert_eq!(self.next(number), 0, "operation {number}");
        &mut self.results
    }

    /// Goes past operations that answer nothing.
    pub(crate) fn pass(&mut self, numbers: &[u32]) {
        for number in numbers {
            self.ok(*number);
        }
    }

    /// The attributes of GETATTR: their bytes.
    pub(crate) fn attributes(&mut self) -> Results {
        let results = self.ok(GETATTR);
        for _ in 0..results.word() {
            results.word();
        }
        Results(results.bytes())
    }
}

/// `seqid`, `other`.
pub(crate) type StateId = Vec<u8>;

pub(crate) async fn compound(client: &mut Client, minor: u32, ops: Ops) -> Reply {
    Reply::parse(client.call(NFS4, 1, ops.compound(minor)).await)
}

/// A client with a session.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) id: u64,
    pub(crate) session: Vec<u8>,
    pub(crate) sequence: u32,
    minor: u32,
}

pub(crate) async fn exchange(client: &mut Client, owner: &str, verifier: u64) -> (u64, u32) {
    let ops = Ops::default()
        .op(EXCHANGE_ID, |args| args.long(verifier).bytes(owner.as_bytes()).word(0).word(0).word(0));
    let mut reply = compound(client, 1, ops).await;
    let results = reply.ok(EXCHANGE_ID);
    (results.long(), results.word())
}

pub(crate) async fn create_session(client: &mut Client, id: u64, sequence: u32) -> Vec<u8> {
    let channel = |args: Args| args.word(0).word(1 << 20).word(1 << 20).word(4096).word(16).word(8).word(0);
    let ops = Ops::default().op(CREATE_SESSION, |args| {
        let args = args.long(id).word(sequence).word(2);
        channel(channel(args)).word(0x4000_0000).word(1).word(0)
    });
    compound(client, 1, ops).await.ok(CREATE_SESSION).take(16)
}

impl Session {
    /// With a session, not yet done with reclaiming.
    pub(crate) async fn reclaiming(mut client: Client, owner: &str, verifier: u64) -> Self {
        let (id, sequence) = exchange(&mut client, owner, verifier).await;
        let session = create_session(&mut client, id, sequence).await;
        Self { client, id, session, sequence: 0, minor: 1 }
    }

    pub(crate) async fn start(client: Client, owner: &str) -> Self {
        let mut session = Self::reclaiming(client, owner, 1).await;
        session.reclaim_complete().await;
        session
    }

    pub(crate) async fn reclaim_complete(&mut self) {
        self.run(Ops::default().op(RECLAIM_COMPLETE, |args| args.word(0))).await.ok(RECLAIM_COMPLETE);
    }

    /// SEQUENCE and the operations, as arguments of COMPOUND.
    pub(crate) fn compound(&self, ops: Ops, keep: bool) -> Args {
        let mut args = Args::default().word(SEQUENCE);
        args.0.extend(&self.session);
        let args = args.word(self.sequence).word(0).word(0).word(keep.into());
        let ops = Ops { count: ops.count + 1, args: Args([args.0, ops.args.0].concat()) };
        ops.compound(self.minor)
    }

    /// Runs the operations in the session's first slot; results start behind SEQUENCE.
    pub(crate) async fn run(&mut self, ops: Ops) -> Reply {
        let mut reply = self.try_run(ops).await;
        reply.ok(SEQUENCE).take(16 + 5 * 4);
        reply
    }

    /// As [`Self::run`], SEQUENCE not looked at.
    pub(crate) async fn try_run(&mut self, ops: Ops) -> Reply {
        self.run_keeping(ops, true).await
    }

    /// As [`Self::try_run`]; `keep` asks the server to keep the reply for a retransmission.
    async fn run_keeping(&mut self, ops: Ops, keep: bool) -> Reply {
        self.sequence += 1;
        let args = self.compound(ops, keep);
        Reply::parse(self.client.call(NFS4, 1, args).await)
    }

    /// The handle at a path of names from the root.
    pub(crate) async fn walk(&mut self, names: &[&str]) -> Result<Vec<u8>, u32> {
        let ops = names.iter().fold(Ops::default().plain(PUTROOTFH), |ops, name| ops.lookup(name));
        let mut reply = self.run(ops.plain(GETFH)).await;
        if reply.status != 0 {
            return Err(reply.status);
        }
        reply.ok(PUTROOTFH);
        for _ in names {
            reply.ok(LOOKUP);
        }
        Ok(reply.ok(GETFH).bytes())
    }

    /// OPEN of a name, made if it is not there; stateid and handle.
    pub(crate) async fn open(
        &mut self,
        dir: &[u8],
        name: &str,
        (access, deny): (u32, u32),
    ) -> Result<(StateId, Vec<u8>), u32> {
        let ops = Ops::default().op(PUTFH, |args| args.bytes(dir)).op(OPEN, |args| {
            let args = args.word(0).word(access).word(deny).long(0).bytes(b"opener");
            // CREATE, UNCHECKED4, mode 0644, CLAIM_NULL.
            bitmap(args.word(1).word(0), &[33]).word(4).word(0o644).word(0).bytes(name.as_bytes())
        });
        opened(self.run(ops.plain(GETFH)).await)
    }

    /// CLAIM_PREVIOUS of a file.
    pub(crate) async fn reclaim(&mut self, file: &[u8]) -> Result<(StateId, Vec<u8>), u32> {
        let ops = Ops::default()
            .op(PUTFH, |args| args.bytes(file))
            .op(OPEN, |args| args.word(0).word(3).word(0).long(0).bytes(b"opener").word(0).word(1).word(0));
        opened(self.run(ops.plain(GETFH)).await)
    }

    pub(crate) async fn write(&mut self, file: &[u8], state: &[u8], data: &[u8]) -> u32 {
        let ops = Ops::default().op(PUTFH, |args| args.bytes(file)).op(WRITE, |mut args| {
            args.0.extend(state);
            args.long(0).word(2).bytes(data)
        });
        self.run(ops).await.status
    }

    /// All of the file. Nobody has a server keep what can be read again.
    pub(crate) async fn read(&mut self, file: &[u8], state: &[u8]) -> Result<(bool, Vec<u8>), u32> {
        self.read_keeping(file, state, false).await
    }

    pub(crate) async fn read_keeping(
        &mut self,
        file: &[u8],
        state: &[u8],
        keep: bool,
    ) -> Result<(bool, Vec<u8>), u32> {
        let ops = Ops::default().op(PUTFH, |args| args.bytes(file)).op(READ, |mut args| {
            args.0.extend(state);
            args.long(0).word(1 << 20)
        });
        let mut reply = self.run_keeping(ops, keep).await;
        reply.ok(SEQUENCE).take(16 + 5 * 4);
        reply.ok(PUTFH);
        match reply.next(READ) {
            0 => Ok((reply.results.word() == 1, reply.results.bytes())),
            status => Err(status),
        }
    }

    pub(crate) async fn close(&mut self, file: &[u8], state: &[u8]) -> u32 {
        let ops = Ops::default().op(PUTFH, |args| args.bytes(file)).op(CLOSE, |mut args| {
            args = args.word(0);
            args.0.extend(state);
            args
        });
        self.run(ops).await.status
    }

    /// LOCK to write under an open; the results behind the status.
    pub(crate) async fn lock(
        &mut self,
        file: &[u8],
        open: &[u8],
        (offset, length): (u64, u64),
    ) -> (u32, Results) {
        let ops = Ops::default().op(PUTFH, |args| args.bytes(file)).op(LOCK, |args| {
            let mut args = args.word(2).word(0).long(offset).long(length).word(1).word(0);
            args.0.extend(open);
            args.word(0).long(0).bytes(b"locker")
        });
        let mut reply = self.run(ops).await;
        reply.ok(PUTFH);
        (reply.next(LOCK), reply.results)
    }
}

fn opened(mut reply: Reply) -> Result<(StateId, Vec<u8>), u32> {
    if reply.status != 0 {
        return Err(reply.status);
    }
    reply.ok(PUTFH);
    let results = reply.ok(OPEN);
    let state = results.take(16);
    results.take(4 + 16 + 4);
    for _ in 0..results.word() {
        results.word();
    }
    assert_eq!(results.word(), 0, "no delegation");
    Ok((state, reply.ok(GETFH).bytes()))
}
