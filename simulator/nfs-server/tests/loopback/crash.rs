//! The server killed in the middle of its work.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nfs_server::Durability;
use tempfile::TempDir;

use super::*;

/// Names the directory to a process that is to be the server.
const SERVER_DIR: &str = "SERVE_TREE_IN";
const ROUNDS: u32 = 6;
const OPEN: RootAttributes = RootAttributes { mode: 0o777, uid: 0, gid: 0 };

/// A server in a process of its own; killed with this.
struct Server {
    process: Child,
    lif: SocketAddr,
}

impl Server {
    /// This test program again, which then takes the other branch of the test.
    fn start(dir: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::what_was_answered_survives_a_kill_at_any_moment", "--nocapture"])
            .env(SERVER_DIR, dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let told =
            lines.map(Result::unwrap).find_map(|line| Some(line.split_once("LIF ")?.1.parse().unwrap()));
        Self { process, lif: told.expect("the server tells where it listens") }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn serve(dir: &Path) {
    let tree = FileTree::open(dir, Durability::Process)
        .or_else(|_| FileTree::create_in(dir, Durability::Process, 1 << 30, OPEN))
        .unwrap();
    let server = NfsServer::new(EventLog::new());
    let policy = ExportPolicy { name: "p".into(), rules: vec![open_to("0.0.0.0/0")] };
    server.put_export(Export { path: "/v".into(), tree, policy: Arc::new(policy) });
    let lif = server.bind_lif("127.0.0.1:0".parse().unwrap()).await.unwrap();
    println!("LIF {lif}");
    std::future::pending().await
}

/// The bytes of file `n`: told by its number, over several chunks.
fn data(n: u32) -> Vec<u8> {
    (0..200_000u32).map(|at| (at.wrapping_mul(31).wrapping_add(n) >> 3) as u8).collect()
}

/// One file from its creation to its final name. `None` when the server died on the way.
async fn make(client: &mut Client, root: &[u8], n: u32) -> Option<()> {
    let temporary = format!("t{n}");
    let create = Args::default().bytes(root).bytes(temporary.as_bytes()).word(1).mode(0o644);
    let mut made = ask(client, 8, create).await?;
    assert_eq!((made.word(), made.word()), (0, 1));
    let file = made.bytes();
    let bytes = data(n);
    let stable = if n.is_multiple_of(2) { 2 } else { 0 };
    let write = Args::default().bytes(&file).long(0).word(bytes.len() as u32).word(stable).bytes(&bytes);
    assert_eq!(ask(client, 7, write).await?.word(), 0);
    assert_eq!(ask(client, 21, Args::default().bytes(&file).long(0).word(0)).await?.word(), 0);
    let name = format!("f{n}");
    let rename = Args::default().bytes(root).bytes(temporary.as_bytes()).bytes(root).bytes(name.as_bytes());
    assert_eq!(ask(client, 14, rename).await?.word(), 0);
    Some(())
}

/// The results of a call, after the header; `None` when the connection ended instead.
async fn ask(client: &mut Client, procedure: u32, args: Args) -> Option<Results> {
    client.try_send(NFS, procedure, args).await.ok()?;
    let mut reply = Results(client.receive_record().await?);
    reply.take(24);
    Some(reply)
}

#[tokio::test]
async fn what_was_answered_survives_a_kill_at_any_moment() {
    if let Some(dir) = std::env::var_os(SERVER_DIR) {
        return serve(Path::new(&dir)).await;
    }
    let dir = TempDir::new().unwrap();
    let (mut finished, mut next, mut root) = (Vec::new(), 0, Vec::new());
    for round in 0..ROUNDS {
        let mut server = Server::start(dir.path());
        let mut client = Client::connect(server.lif, 1).await;
        if round == 0 {
            root = client.mount("/v").await.unwrap();
        }
        for n in &finished {
            let file = client.lookup(&root, &format!("f{n}")).await.expect("a file that was answered");
            let (bytes, end) = client.read(&file, 0, 1 << 20).await.unwrap();
            assert!(bytes == data(*n) && end, "file {n} is another after the kill");
        }
        assert!(client.getattr(&root).await.is_ok(), "the handle of the first mount");
        let work = async {
            loop {
                next += 1;
                match make(&mut client, &root, next).await {
                    Some(()) => finished.push(next),
                    None => return,
                }
            }
        };
        // Somewhere in the middle of a call: where, differs by round.
        let moment = Duration::from_micros(40_000 + u64::from(round) * 7_300);
        let killer = async {
            tokio::time::sleep(moment).await;
            server.kill();
        };
        tokio::join!(work, killer);
    }
    assert!(finished.len() > ROUNDS as usize, "the rounds were too short to tell anything");
}
