//! The networks of a test: one namespace, three bridges, a tap per node and network.
//!
//! Nothing here touches the host's own network: every interface lives in a namespace that dies
//! with the test.

use std::net::Ipv4Addr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use tokio::sync::oneshot;
use vm_guest::command::{Command, CommandError};

/// One of a node's three networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fabric {
    /// 192.168.49.0/24: gRPC and whatever is not storage.
    Management,
    /// 192.168.0.0/24: storage.
    A,
    /// 192.168.1.0/24: storage.
    B,
}

impl Fabric {
    /// All three, in the order of a node's interfaces `eth0`, `eth1`, `eth2`.
    pub const ALL: [Self; 3] = [Self::Management, Self::A, Self::B];

    /// The host's address, `.1`.
    pub fn host(self) -> Ipv4Addr {
        self.at(1)
    }

    /// The address with this last byte. Every prefix is 24 bits long.
    pub fn at(self, last: u8) -> Ipv4Addr {
        match self {
            Self::Management => Ipv4Addr::new(192, 168, 49, last),
            Self::A => Ipv4Addr::new(192, 168, 0, last),
            Self::B => Ipv4Addr::new(192, 168, 1, last),
        }
    }

    /// Name of the bridge, and of QEMU's device.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Management => "management",
            Self::A => "fabric-a",
            Self::B => "fabric-b",
        }
    }

    /// The interface in the node.
    pub(crate) fn nic(self) -> &'static str {
        match self {
            Self::Management => "eth0",
            Self::A => "eth1",
            Self::B => "eth2",
        }
    }

    /// The tap of one node.
    pub(crate) fn tap(self, index: u8) -> String {
        match self {
            Self::Management => format!("m{index}"),
            Self::A => format!("a{index}"),
            Self::B => format!("b{index}"),
        }
    }
}

/// Host addresses beside `.1`: an array's LIFs.
#[derive(Clone, Debug, Default)]
pub struct LifAddresses {
    /// On fabric A, 192.168.0.0/24.
    pub a: Vec<Ipv4Addr>,
    /// On fabric B, 192.168.1.0/24.
    pub b: Vec<Ipv4Addr>,
}

/// Why there is no network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The kernel refuses a namespace.
    #[error("cannot enter a network namespace of its own: run as root (CAP_SYS_ADMIN)")]
    Namespace(#[source] nix::Error),
    /// The namespace could not be furnished.
    #[error("cannot set up the networks of the nodes")]
    Furnish(#[from] CommandError),
    /// A setting or thread could not be made.
    #[error("cannot set up the networks of the nodes: {0}")]
    Io(&'static str, #[source] std::io::Error),
    /// The namespace's thread is gone.
    #[error("the thread that holds the nodes' networks has ended")]
    Closed,
}

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace with the bridges of all three fabrics. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Network {
    /// A thread in the namespace, where programs are started whatever thread asks. It lives as
    /// long as the last clone: QEMU is to die with the thread that started it
    /// (PR_SET_PDEATHSIG), so this must be none that a runtime may retire.
    jobs: Arc<mpsc::Sender<Job>>,
}

impl Network {
    /// Moves the *calling thread* into a fresh network namespace (network_namespaces(7): threads
    /// it starts later inherit it, those already running do not) and furnishes it. Call it before
    /// a tokio runtime is built.
    ///
    /// # Errors
    /// Not root, or `ip` fails.
    pub fn create(lifs: &LifAddresses) -> Result<Self, NetworkError> {
        unshare(CloneFlags::CLONE_NEWNET).map_err(NetworkError::Namespace)?;
        run_ip_batch(&furniture(lifs))?;
        // Simulators listen on the ports of the real services, 111 and 443 and 2049, and need no
        // privilege for it here.
        std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")
            .map_err(|source| NetworkError::Io("ip_unprivileged_port_start", source))?;
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name("node-network".to_owned())
            .spawn(move || queue.iter().for_each(|job| job()))
            .map_err(|source| NetworkError::Io("no thread", source))?;
        Ok(Self { jobs: Arc::new(jobs) })
    }

    /// Runs something in the namespace, on its own thread.
    pub(crate) async fn within<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NetworkError> {
        let (done, result) = oneshot::channel();
        let job = Box::new(move || {
            // Nobody waits any more: the result is dropped, which undoes what it holds.
            let _unwanted = done.send(job());
        });
        self.jobs.send(job).map_err(|_| NetworkError::Closed)?;
        result.await.map_err(|_| NetworkError::Closed)
    }

    /// Makes a node's taps and plugs them into the bridges.
    pub(crate) async fn plug(&self, index: u8) -> Result<(), NetworkError> {
        let batch = Fabric::ALL
            .map(|fabric| {
                let (tap, bridge) = (fabric.tap(index), fabric.name());
                format!(
                    "tuntap add dev {tap} mode tap\nlink set dev {tap} master {bridge}\nlink set dev {tap} up\n"
                )
            })
            .concat();
        Ok(self.within(move || run_ip_batch(&batch)).await??)
    }

    /// Removes a node's taps.
    pub(crate) fn unplug(&self, index: u8) {
        let batch = Fabric::ALL.map(|fabric| format!("link del dev {}\n", fabric.tap(index))).concat();
        let job = Box::new(move || {
            if let Err(error) = run_ip_batch(&batch) {
                tracing::warn!(%error, index, "a node's taps stay behind until the namespace goes");
            }
        });
        // A namespace that is gone has no taps.
        let _gone = self.jobs.send(job);
    }
}

fn furniture(lifs: &LifAddresses) -> String {
    let mut batch = String::from("link set dev lo up\n");
    for fabric in Fabric::ALL {
        let bridge = fabric.name();
        batch += &format!("link add dev {bridge} type bridge forward_delay 0\n");
        let lifs = match fabric {
            Fabric::Management => &[][..],
            Fabric::A => &lifs.a,
            Fabric::B => &lifs.b,
        };
        for address in std::iter::once(&fabric.host()).chain(lifs) {
            batch += &format!("address add {address}/24 dev {bridge}\n");
        }
        batch += &format!("link set dev {bridge} up\n");
    }
    batch
}

fn run_ip_batch(batch: &str) -> Result<(), CommandError> {
    Command::new("/usr/sbin/ip", Duration::from_secs(20))
        .args(["-batch", "-"])
        .input(batch.as_bytes().to_vec())
        .require_success()
        .map(|_| ())
}

/// Runs a scenario in a network of its own: on a new thread, in a tokio runtime built there, so
/// that every socket it opens is in the network. Blocks until it ends.
///
/// # Errors
/// As [`Network::create`]. A panic of the scenario goes on in the caller.
pub fn in_network<T: Send>(
    lifs: &LifAddresses,
    scenario: impl AsyncFnOnce(Network) -> T + Send,
) -> Result<T, NetworkError> {
    let run = || {
        let network = Network::create(lifs)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .enable_all()
            .build()
            .map_err(|source| NetworkError::Io("no runtime", source))?;
        Ok(runtime.block_on(scenario(network)))
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("scenario".to_owned())
            .spawn_scoped(scope, run)
            .map_err(|source| NetworkError::Io("no thread", source))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
