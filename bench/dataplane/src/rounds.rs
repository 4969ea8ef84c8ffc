//! The comparison itself: every load on ours and on the rival, in turn, several times.

use std::process::Command;

use anyhow::{Context, Result};

use crate::Comparison;
use crate::initiator::{Initiator, image};
use crate::load::{Load, Score, Until};
use crate::nfs::Nfs;
use crate::placement::Processors;
use crate::process::Server;
use crate::report::{Line, Report, Unit};
use crate::{rivals, serve};

/// Plays all of it and prints.
pub(crate) fn play(comparison: &Comparison) -> Result<()> {
    rivals::prepare_namespaces()?;
    let processors = Processors::find()?;
    let mut report = Report::default();
    iscsi(comparison, processors, &mut report).context("iSCSI")?;
    nfs(comparison, processors, &mut report).context("NFS")?;
    report.print(comparison.json)
}

fn ours() -> Result<Server> {
    let me = std::env::current_exe().context("find this program")?;
    Server::start("ours", Command::new(me).arg("serve"), serve::NFS)
}

fn iscsi(comparison: &Comparison, processors: Processors, report: &mut Report) -> Result<()> {
    let until = Until::Time(comparison.time());
    let load = |name, write, random, size, depth| Load { name, write, random, size, depth, until };
    let loads = [
        load("iscsi 4 KiB random read, depth 1", false, true, 4 << 10, 1),
        load("iscsi 4 KiB random read, depth 32", false, true, 4 << 10, 32),
        load("iscsi 4 KiB random write, depth 1", true, true, 4 << 10, 1),
        load("iscsi 4 KiB random write, depth 32", true, true, 4 << 10, 32),
        load("iscsi 256 KiB sequential read, depth 8", false, false, 256 << 10, 8),
        load("iscsi 256 KiB sequential write, depth 8", true, false, 256 << 10, 8),
    ];
    if !loads.iter().any(|load| comparison.includes(load.name)) {
        return Ok(());
    }
    let image = image(serve::SPAN);
    let (our_server, tgtd) = (ours()?, rivals::tgt()?);
    let mut ours = Initiator::log_in(serve::ISCSI, serve::TARGET, 1).context("ours")?;
    let mut tgt = Initiator::log_in(rivals::TGT, rivals::TGT_TARGET, 1).context("tgt")?;
    report.note(format!("ours: {}", ours.terms()));
    report.note(format!("tgt:  {}", tgt.terms()));
    let fill = Load { until: Until::Operations((serve::SPAN >> 18) as u64), ..loads[5] };
    ours.run(&fill, &image).context("fill ours")?;
    tgt.run(&fill, &image).context("fill tgt")?;
    for load in loads.iter().filter(|load| comparison.includes(load.name)) {
        let unit = if load.random { Unit::Operations } else { Unit::Throughput };
        for placement in processors.placements() {
            processors.apply(*placement, [our_server.id(), tgtd.id()])?;
            let line = alternate(
                comparison,
                Line::new(load.name, unit, *placement, tgtd.name()),
                (&our_server, &tgtd),
                || ours.run(load, &image),
                || tgt.run(load, &image),
            )?;
            report.add(line);
        }
    }
    Ok(())
}

fn nfs(comparison: &Comparison, processors: Processors, report: &mut Report) -> Result<()> {
    let names = [
        "nfs sequential write",
        "nfs sequential read",
        "nfs small files, one at a time",
        "nfs small files, 16 at a time",
    ];
    if !names.iter().any(|name| comparison.includes(name)) {
        return Ok(());
    }
    let our_server = ours()?;
    let (ganesha, _rpcbind) = rivals::ganesha()?;
    let mut ours = Nfs::mount(serve::NFS, serve::NFS, serve::EXPORT).context("ours")?;
    let mut mount_at = rivals::GANESHA;
    mount_at.set_port(mount_at.port() + 1);
    let mut theirs = Nfs::mount(rivals::GANESHA, mount_at, rivals::GANESHA_EXPORT).context("ganesha")?;
    let servers = (&our_server, &ganesha);
    for (name, depth) in [(names[0], 0), (names[1], 1), (names[2], 2), (names[3], 3)] {
        if !comparison.includes(name) {
            continue;
        }
        let play = |client: &mut Nfs| match depth {
            0 => client.write_file("big"),
            1 => client.write_file_once("big").and_then(|()| client.read_file("big")),
            2 => client.small_files(comparison.time(), 1),
            _ => client.small_files(comparison.time(), 16),
        };
        let unit = if depth < 2 { Unit::Throughput } else { Unit::Operations };
        for placement in processors.placements() {
            processors.apply(*placement, [our_server.id(), ganesha.id()])?;
            let line = Line::new(name, unit, *placement, ganesha.name());
            let line = alternate(comparison, line, servers, || play(&mut ours), || play(&mut theirs))?;
            report.add(line);
        }
    }
    Ok(())
}

/// `ours`, `theirs`, `theirs`, `ours`, …: whoever goes first has no advantage over all rounds.
fn alternate(
    comparison: &Comparison,
    mut line: Line,
    (our_server, their_server): (&Server, &Server),
    mut ours: impl FnMut() -> Result<Score>,
    mut theirs: impl FnMut() -> Result<Score>,
) -> Result<Line> {
    let name = line.name();
    for round in 0..comparison.rounds {
        let mut one = None;
        let before = (our_server.ticks(), their_server.ticks());
        if round % 2 == 0 {
            one = Some(ours().with_context(|| format!("ours: {name}"))?);
        }
        let their = theirs().with_context(|| format!("{}: {name}", their_server.name()))?;
        let our = match one {
            Some(score) => score,
            None => ours().with_context(|| format!("ours: {name}"))?,
        };
        let ticks = (our_server.ticks() - before.0, their_server.ticks() - before.1);
        line.add((our, ticks.0), (their, ticks.1));
    }
    Ok(line)
}
