//! What many volumes cost when nobody uses them, and what a clone of a large one takes.

use std::time::Instant;

use anyhow::{Context, Result};
use blockstore::Volume;
use iscsi_target::{IscsiServer, PortGroup, Portal};
use levers::EventLog;
use nfs_server::NfsServer;
use serde::Serialize;

use crate::serve::{export, target, unit};

const UNITS: u16 = 1000;
const UNIT_SIZE: u64 = 100 << 30;
const LARGE: u64 = 1 << 40;
/// Extents written to the volume that is cloned: a clone must not cost by what was written.
const WRITTEN: u64 = 4096;

#[derive(Debug, Serialize)]
struct Cost {
    /// Version of this document's shape.
    schema: u32,
    units: u16,
    exports: u16,
    /// Resident memory of the whole process, in bytes.
    resident: u64,
    /// What a clone of a sparse volume of 1 TiB took, in microseconds: the longest of a hundred.
    clone_us: u128,
}

/// Measures in this process and prints.
pub(crate) fn run(json: bool) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let cost = runtime.block_on(measure())?;
    if json {
        println!("{}", serde_json::to_string_pretty(&cost)?);
        return Ok(());
    }
    println!(
        "{} LUNs mapped and {} exports, idle: {:.1} MiB resident",
        cost.units,
        cost.exports,
        cost.resident as f64 / f64::from(1 << 20)
    );
    println!("clone of a sparse volume of 1 TiB: {} µs at most", cost.clone_us);
    Ok(())
}

async fn measure() -> Result<Cost> {
    let events = EventLog::new();
    let iscsi = IscsiServer::new(events.clone());
    let group = PortGroup { id: 1000, relative_port: 1 };
    let portal = iscsi.bind_portal(Portal { listen: ([127, 0, 0, 1], 0).into(), tag: 1030, group }).await?;
    iscsi.put_target(target(portal, (0..UNITS).map(|number| unit(number, Volume::new(UNIT_SIZE))).collect()));
    let nfs = NfsServer::new(events);
    nfs.bind_lif(([127, 0, 0, 1], 0).into()).await?;
    (0..UNITS).for_each(|number| nfs.put_export(export(&format!("/vol{number}"))));
    let resident = resident()?;
    Ok(Cost { schema: 1, units: UNITS, exports: UNITS, resident, clone_us: slowest_clone()? })
}

fn slowest_clone() -> Result<u128> {
    let large = Volume::new(LARGE);
    for n in 0..WRITTEN {
        large.write_at(n * (LARGE / WRITTEN), &[1; 4096]).context("write to the large volume")?;
    }
    let mut slowest = 0;
    let mut clones = Vec::new();
    for n in 0..100 {
        let since = Instant::now();
        clones.push(large.snapshot());
        slowest = slowest.max(since.elapsed().as_micros());
        large.write_at(n * 4096, &[2; 4096]).context("write after a clone")?;
    }
    Ok(slowest)
}

/// VmRSS of this process (proc(5)), in bytes.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().context("VmRSS is a number")?;
    Ok(kib * 1024)
}
