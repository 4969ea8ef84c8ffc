//! An NFS v3 client of a few lines: its own reading of RFC 1813, so that no shared mistake passes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

pub(crate) const NFS: (u32, u32) = (100_003, 3);
pub(crate) const MOUNT: (u32, u32) = (100_005, 3);

/// Arguments being written.
#[derive(Clone, Default)]
pub(crate) struct Args(pub(crate) Vec<u8>);

impl Args {
    pub(crate) fn word(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn long(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn bytes(mut self, data: &[u8]) -> Self {
        self = self.word(data.len() as u32);
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// `sattr3` with a mode alone.
    pub(crate) fn mode(self, mode: u32) -> Self {
        self.word(1).word(mode).word(0).word(0).word(0).word(0).word(0)
    }
}

/// Results being read.
#[derive(Clone, Debug)]
pub(crate) struct Results(pub(crate) Vec<u8>);

impl Results {
    pub(crate) fn word(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().unwrap())
    }

    pub(crate) fn long(&mut self) -> u64 {
        u64::from_be_bytes(self.take(8).try_into().unwrap())
    }

    pub(crate) fn take(&mut self, length: usize) -> Vec<u8> {
        self.0.drain(..length).collect()
    }

    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        let length = self.word() as usize;
        let mut data = self.take(length.next_multiple_of(4));
        data.truncate(length);
        data
    }

    /// `post_op_attr`.
    pub(crate) fn attributes(&mut self) -> Option<Attributes> {
        (self.word() == 1).then(|| self.plain_attributes())
    }

    /// `fattr3`.
    pub(crate) fn plain_attributes(&mut self) -> Attributes {
        let _kind = self.word();
        let mode = self.word();
        let links = self.word();
        let (uid, gid) = (self.word(), self.word());
        let size = self.long();
        self.take(8 + 8 + 8);
        let inode = self.long();
        let _accessed = self.long();
        let (modified, changed) = (self.long(), self.long());
        Attributes { mode, links, uid, gid, size, inode, modified, changed }
    }

    /// `wcc_data`: size, mtime, ctime before; attributes after.
    pub(crate) fn wcc(&mut self) -> (Option<(u64, u64, u64)>, Option<Attributes>) {
        let before = (self.word() == 1).then(|| (self.long(), self.long(), self.long()));
        (before, self.attributes())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) links: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) inode: u64,
    pub(crate) modified: u64,
    pub(crate) changed: u64,
}

/// Whose calls: uid, gid and groups of AUTH_SYS, or AUTH_NONE.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    Nobody,
    User(u32, u32, Vec<u32>),
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) xid: u32,
    pub(crate) caller: Caller,
}

impl Client {
    /// Connects from 127.0.0.`last`.
    pub(crate) async fn connect(server: SocketAddr, last: u8) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0).into()).unwrap();
        let stream = socket.connect(server).await.unwrap();
        Self { stream, xid: 1, caller: Caller::User(0, 0, Vec::new()) }
    }

    pub(crate) fn with_user(mut self, uid: u32, gid: u32, groups: &[u32]) -> Self {
        self.caller = Caller::User(uid, gid, groups.to_vec());
        self
    }

    fn header(&self, (program, version): (u32, u32), procedure: u32) -> Args {
        let head = Args::default().word(self.xid).word(0).word(2).word(program).word(version).word(procedure);
        let head = match &self.caller {
            Caller::Nobody => head.word(0).word(0),
            Caller::User(uid, gid, groups) => {
                let body = Args::default().word(0).bytes(b"tester").word(*uid).word(*gid);
                let body =
                    groups.iter().fold(body.word(groups.len() as u32), |body, group| body.word(*group));
                head.word(1).bytes(&body.0)
            }
        };
        head.word(0).word(0)
    }

    pub(crate) async fn send_record(&mut self, record: &[u8]) {
        self.try_send_record(record).await.unwrap();
    }

    async fn try_send_record(&mut self, record: &[u8]) -> std::io::Result<()> {
        let mark = (record.len() as u32 | 1 << 31).to_be_bytes();
        self.stream.write_all(&[&mark[..], record].concat()).await
    }

    /// The next reply record; `None` at the end of the connection.
    pub(crate) async fn receive_record(&mut self) -> Option<Vec<u8>> {
        let mut mark = [0; 4];
        self.stream.read_exact(&mut mark).await.ok()?;
        let mut record = vec![0; (u32::from_be_bytes(mark) & !(1 << 31)) as usize];
        self.stream.read_exact(&mut record).await.ok()?;
        Some(record)
    }

    /// Sends a call without waiting; its xid.
    pub(crate) async fn send(&mut self, program: (u32, u32), procedure: u32, args: Args) -> u32 {
        self.try_send(program, procedure, args).await.unwrap();
        self.xid - 1
    }

    /// As [`Self::send`], to a server that may be gone.
    pub(crate) async fn try_send(
        &mut self,
        program: (u32, u32),
        procedure: u32,
        args: Args,
    ) -> std::io::Result<()> {
        let mut record = self.header(program, procedure);
        record.0.extend(args.0);
        self.xid += 1;
        self.try_send_record(&record.0).await
    }

    /// The whole reply to a call, after its xid.
    pub(crate) async fn reply_to(&mut self, program: (u32, u32), procedure: u32, args: Args) -> Results {
        let xid = self.send(program, procedure, args).await;
        let mut reply = Results(self.receive_record().await.expect("a reply"));
        assert_eq!(reply.word(), xid);
        reply
    }

    /// The results of an accepted call.
    pub(crate) async fn call(&mut self, program: (u32, u32), procedure: u32, args: Args) -> Results {
        let mut reply = self.reply_to(program, procedure, args).await;
        let head: Vec<_> = (0..5).map(|_| reply.word()).collect();
        assert_eq!(head, [1, 0, 0, 0, 0], "REPLY, ACCEPTED, AUTH_NONE, SUCCESS");
        reply
    }

    /// Status and, if that is 0, the results behind it.
    pub(crate) async fn nfs(&mut self, procedure: u32, args: Args) -> (u32, Results) {
        let mut results = self.call(NFS, procedure, args).await;
        (results.word(), results)
    }

    /// The root handle of an export, or the status.
    pub(crate) async fn mount(&mut self, path: &str) -> Result<Vec<u8>, u32> {
        let mut results = self.call(MOUNT, 1, Args::default().bytes(path.as_bytes())).await;
        match results.word() {
            0 => Ok(results.bytes()),
            status => Err(status),
        }
    }

    pub(crate) async fn getattr(&mut self, handle: &[u8]) -> Result<Attributes, u32> {
        match self.nfs(1, Args::default().bytes(handle)).await {
            (0, mut results) => Ok(results.plain_attributes()),
            (status, _) => Err(status),
        }
    }

    pub(crate) async fn lookup(&mut self, dir: &[u8], name: &str) -> Result<Vec<u8>, u32> {
        match self.nfs(3, Args::default().bytes(dir).bytes(name.as_bytes())).await {
            (0, mut results) => Ok(results.bytes()),
            (status, _) => Err(status),
        }
    }

    /// CREATE, guarded.
    pub(crate) async fn create(&mut self, dir: &[u8], name: &str, mode: u32) -> Result<Vec<u8>, u32> {
        let args = Args::default().bytes(dir).bytes(name.as_bytes()).word(1).mode(mode);
        created(self.nfs(8, args).await)
    }

    pub(crate) async fn mkdir(&mut self, dir: &[u8], name: &str, mode: u32) -> Result<Vec<u8>, u32> {
        created(self.nfs(9, Args::default().bytes(dir).bytes(name.as_bytes()).mode(mode)).await)
    }

    /// WRITE, unstable.
    pub(crate) async fn write(&mut self, file: &[u8], offset: u64, data: &[u8]) -> (u32, Results) {
        let args = Args::default().bytes(file).long(offset).word(data.len() as u32).word(0).bytes(data);
        self.nfs(7, args).await
    }

    pub(crate) async fn read(
        &mut self,
        file: &[u8],
        offset: u64,
        count: u32,
    ) -> Result<(Vec<u8>, bool), u32> {
        match self.nfs(6, Args::default().bytes(file).long(offset).word(count)).await {
            (0, mut results) => {
                results.attributes();
                let (count, end) = (results.word(), results.word() == 1);
                let data = results.bytes();
                assert_eq!(count as usize, data.len());
                Ok((data, end))
            }
            (status, _) => Err(status),
        }
    }

    /// REMOVE (12) or RMDIR (13).
    pub(crate) async fn unlink(&mut self, procedure: u32, dir: &[u8], name: &str) -> u32 {
        self.nfs(procedure, Args::default().bytes(dir).bytes(name.as_bytes())).await.0
    }

    /// READDIR from a cookie: entries (cookie, name), and whether the list has ended.
    pub(crate) async fn readdir(
        &mut self,
        dir: &[u8],
        cookie: u64,
        count: u32,
    ) -> Result<(Vec<(u64, String)>, bool), u32> {
        let args = Args::default().bytes(dir).long(cookie).long(0).word(count);
        let (status, mut results) = self.nfs(16, args).await;
        if status != 0 {
            return Err(status);
        }
        assert!(results.0.len() + 4 <= count as usize, "the listing exceeds the count asked for");
        results.attributes();
        results.long();
        let mut entries = Vec::new();
        while results.word() == 1 {
            results.long();
            let name = String::from_utf8(results.bytes()).unwrap();
            entries.push((results.long(), name));
        }
        Ok((entries, results.word() == 1))
    }
}

fn created((status, mut results): (u32, Results)) -> Result<Vec<u8>, u32> {
    if status != 0 {
        return Err(status);
    }
    assert_eq!(results.word(), 1, "a handle");
    Ok(results.bytes())
}
