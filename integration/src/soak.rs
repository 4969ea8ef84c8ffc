//! The soak: verified load in worker nodes while portals fail, cables are cut, LUNs grow, snapshots
//! are taken and the NFS service is started anew, in an order that a seed decides.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use blockstore::Snapshot;
use iscsi_target::{Auth, PortalFault};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use vm::{Fabric, Node, Process};

use crate::bare::{self, node, script};
use crate::planes::load::{EXERCISE, Fio, Rounds, Verified, install};
use crate::planes::nas::{self, Nas};
use crate::planes::san::{self, San, Unit};

/// xfs is not made smaller than 300 MB.
const SIZE: u64 = 384 << 20;
/// A LUN grows by so much at a time, to twice its size.
const GROWTH: u64 = 16 << 20;
const CAPACITY: u64 = 1 << 30;
/// Snapshots kept of all LUNs together; the oldest goes first.
const SNAPSHOTS: usize = 6;
/// Files of the tree that is built on the NFS volume before anything fails.
const TREE: u32 = 10_000;
const FILE_SYSTEMS: [&str; 2] = ["ext4", "xfs"];
/// For the tree, and for an exercise to see that it shall end.
const LONG: Duration = Duration::from_secs(900);

/// What happened, by name, and what was verified meanwhile.
#[derive(Debug, Default)]
pub struct Counts {
    events: BTreeMap<&'static str, u64>,
    verified: BTreeMap<&'static str, Verified>,
    told: Vec<String>,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.events {
            writeln!(f, "{count:>6}  {what}")?;
        }
        for (kind, verified) in &self.verified {
            let Verified { rounds, written, verified } = verified;
            writeln!(f, "{kind}: {rounds} rounds of fio, {written} blocks written, {verified} verified")?;
        }
        self.told.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Soaks for about so long; after that time nothing more is made to fail, and the load is brought
/// to its end and judged.
///
/// # Errors
/// When an application in a node saw an error, a file system is not clean, or a path stays away.
pub fn run(duration: Duration, seed: u64) -> Result<Counts> {
    bare::scenario(async |network, template| {
        let (first, second) = tokio::try_join!(node(&network, &template, 1), node(&network, &template, 2))?;
        let until = Instant::now() + duration;
        let mut soak = Soak::start(first, second, seed).await?;
        while Instant::now() < until {
            soak.step().await?;
        }
        soak.finish().await
    })
}

struct Soak {
    dice: StdRng,
    block: Node,
    file: Node,
    san: San,
    nas: Nas,
    loads: Vec<(&'static str, Rounds)>,
    exercises: Vec<(&'static str, Process)>,
    snapshots: Vec<Snapshot>,
    counts: Counts,
}

impl Soak {
    /// The first node works on LUNs, the second on NFS.
    async fn start(block: Node, file: Node, seed: u64) -> Result<Self> {
        let san = San::start(vec![Unit::new(0, SIZE), Unit::new(1, SIZE)]).await?;
        let nas = Nas::start(CAPACITY).await?;
        san.publish(Auth::Open, &[block.initiator_name()])?;
        let mut soak = Self {
            dice: StdRng::seed_from_u64(seed),
            block,
            file,
            san,
            nas,
            loads: Vec::new(),
            exercises: Vec::new(),
            snapshots: Vec::new(),
            counts: Counts::default(),
        };
        soak.start_block().await?;
        soak.start_file().await?;
        Ok(soak)
    }

    async fn start_block(&mut self) -> Result<()> {
        let guest = self.block.guest();
        self.san.attach(&guest, &[]).await?;
        for (unit, kind) in self.san.units.iter().zip(FILE_SYSTEMS) {
            let map = unit.map();
            script(&guest, &format!("mkfs.{kind} -q {map}; mkdir /mnt/{kind}; mount {map} /mnt/{kind}"))
                .await?;
            let load = Fio::DATABASE.rounds(&guest, kind, &format!("/mnt/{kind}/data")).await?;
            self.loads.push((kind, load));
        }
        Ok(())
    }

    async fn start_file(&mut self) -> Result<()> {
        let guest = self.file.guest();
        install(&guest).await?;
        nas::mount(&guest, nas::V3).await?;
        let tree = guest.shell(&format!("{EXERCISE} tree /mnt/v/tree {TREE}"), LONG).await?;
        self.counts.told.push(format!("NFS: {}", tree.stdout_text().trim()));
        let random = format!(
            "set -e; n=0; while [ ! -e /run/stop ]; do n=$((n+1))
            {EXERCISE} fsx /mnt/v/fsx --seed $n --operations 1000; done"
        );
        let churn = format!("exec {EXERCISE} churn /mnt/v/churn /run/stop");
        for (name, text) in [("fsx", random), ("churn", churn)] {
            let process = guest.spawn(["/bin/sh", "-c", &text], &[], &format!("/run/{name}.log")).await?;
            self.exercises.push((name, process));
        }
        Ok(())
    }

    /// One thing goes wrong, or changes, and is over when this returns.
    async fn step(&mut self) -> Result<()> {
        let happened = match self.dice.random_range(0..10) {
            0..=1 => self.fail_portal(PortalFault::Refuse, "portals refused").await?,
            2..=3 => self.fail_portal(PortalFault::Blackhole, "portals fell silent").await?,
            4..=5 => self.cut_cable().await?,
            6 => self.grow().await?,
            7 => self.snapshot(),
            _ => self.restart_nfs().await?,
        };
        *self.counts.events.entry(happened).or_default() += 1;
        Ok(())
    }

    async fn fail_portal(&mut self, fault: PortalFault, what: &'static str) -> Result<&'static str> {
        let portal = self.dice.random_range(0..self.san.portals.len());
        let address = *self.san.portals.get(portal).context("a portal")?;
        let guest = self.block.guest();
        self.san.server.set_portal_fault(address, fault);
        self.san.await_failed_path(&guest).await.context(what)?;
        self.san.server.set_portal_fault(address, PortalFault::None);
        self.san.await_paths(&guest, 2).await.context(what)?;
        Ok(what)
    }

    async fn cut_cable(&mut self) -> Result<&'static str> {
        let fabric = if self.dice.random() { Fabric::A } else { Fabric::B };
        let guest = self.block.guest();
        self.block.set_link(fabric, false).await?;
        self.san.await_failed_path(&guest).await?;
        self.block.set_link(fabric, true).await?;
        self.san.await_paths(&guest, 2).await?;
        Ok("cables cut")
    }

    /// Grows a LUN, its map and its file system under load.
    async fn grow(&mut self) -> Result<&'static str> {
        let at = self.dice.random_range(0..FILE_SYSTEMS.len());
        let (unit, kind) = self.san.units.iter().zip(FILE_SYSTEMS).nth(at).context("a unit")?;
        let size = unit.volume.size() + GROWTH;
        if size > 2 * SIZE {
            return Ok("LUNs left at their size");
        }
        unit.volume.resize(size);
        let (map, wwid) = (unit.map(), unit.wwid());
        let grow = match kind {
            "ext4" => format!("resize2fs {map}"),
            _ => format!("xfs_growfs /mnt/{kind}"),
        };
        let text = format!(
            "iscsiadm -m session -R >&2; multipathd resize map {wwid} >&2; {grow} >&2; blockdev --getsize64 {map}"
        );
        let seen = script(&self.block.guest(), &text).await.context("a LUN grows")?;
        ensure!(seen.trim() == size.to_string(), "the map is {} bytes, the LUN {size}", seen.trim());
        Ok("LUNs grown")
    }

    fn snapshot(&mut self) -> &'static str {
        let at = self.dice.random_range(0..self.san.units.len());
        if let Some(unit) = self.san.units.get(at) {
            self.snapshots.push(unit.volume.snapshot());
        }
        if self.snapshots.len() > SNAPSHOTS {
            self.snapshots.remove(0);
        }
        "snapshots taken"
    }

    async fn restart_nfs(&mut self) -> Result<&'static str> {
        self.nas.restart().await?;
        // The service is there again when a write has gone through it.
        script(&self.file.guest(), "echo x >/mnt/v/after; sync /mnt/v/after").await?;
        Ok("NFS services started anew")
    }

    async fn finish(mut self) -> Result<Counts> {
        let guest = self.file.guest();
        script(&guest, "touch /run/stop").await?;
        for (name, process) in self.exercises {
            let ended = process.await_exit(LONG).await?;
            let log = script(&guest, &format!("tail -n 30 /run/{name}.log")).await?;
            ensure!(ended.is_success(), "{name} on NFS ended with {ended:?}:\n{log}");
            let count = script(&guest, &format!("wc -l </run/{name}.log")).await?;
            let last = log.lines().last().unwrap_or_default();
            self.counts.told.push(format!("NFS, {name}: {} runs; the last: {last}", count.trim()));
        }
        let guest = self.block.guest();
        for (kind, load) in self.loads {
            self.counts.verified.insert(kind, load.finish().await.context(kind)?);
        }
        let [ext4, xfs] = FILE_SYSTEMS.map(|kind| format!("/mnt/{kind}"));
        let maps: Vec<String> = self.san.units.iter().map(Unit::map).collect();
        let (first, second) = (maps.first().context("a map")?, maps.get(1).context("a map")?);
        script(&guest, &format!("umount {ext4} {xfs}; e2fsck -fn {first}; xfs_repair -n {second}")).await?;
        self.san.require_no_error(&guest).await?;
        san::detach(&guest).await?;
        Ok(self.counts)
    }
}
