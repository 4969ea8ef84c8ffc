//! Scene b: a LUN with two portals survives a cut fabric during writes and moves to another node
//! (journeys J6 and J7, hazards H05 and H08).

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use csi_proto::v1::volume_capability::access_mode::Mode;
use vm::Fabric;

use super::{FILE, SOURCE, digest, random_source};
use crate::lab::{Lab, Worker};
use crate::orchestrator::{Claim, InUse, View};

const CLAIM: Claim = Claim {
    name: "pvc-0b10c000-0000-4000-8000-00000000000b",
    parameters: &[("backendType", "ontap-san")],
    size: 1 << 30,
    view: View::Directory("ext4"),
    mode: Mode::SingleNodeWriter,
};

/// MiB written in all, and how many of them must be on the medium before the fabric is cut.
const TOTAL: u32 = 64;
const BEFORE_THE_CUT: u32 = 8;

/// Long enough for failed NOPs, the replacement timeout and multipathd's checker; bounds, not measures.
const WRITES_END: Duration = Duration::from_secs(120);
const PATH_IS_BACK: Duration = Duration::from_secs(90);

/// udev keeps the second disk from multipathd for a second, less than the agent waits for it: only an
/// agent that waits answers with both paths (hazard H05). Without it both mostly are there by chance.
const SECOND_DISK_IS_LATE: &str = r#"mkdir -p /run/udev/rules.d && printf '%s\n' \
    'ACTION=="add", SUBSYSTEM=="block", KERNEL=="sd*", PROGRAM="/bin/sh -c \"mkdir /run/first-disk 2>/dev/null || sleep 1\""' \
    > /run/udev/rules.d/50-late.rules && udevadm control --reload"#;

/// ext4 on a two-path map; a fabric cut during writes without an I/O error; the path back; moved to
/// the other node with equal checksum.
///
/// # Errors
/// When a call fails, a write fails, a path stays away or the checksum differs.
pub async fn play(lab: &Lab) -> Result<()> {
    story(lab, SecondDisk::AsItComes).await
}

/// The same, and on the other node the second disk is late: it must be waited for.
///
/// # Errors
/// As [`play`], and when the volume is staged before its second path is there.
pub async fn play_with_a_late_disk(lab: &Lab) -> Result<()> {
    story(lab, SecondDisk::Late).await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SecondDisk {
    AsItComes,
    Late,
}

async fn story(lab: &Lab, second_disk: SecondDisk) -> Result<()> {
    let (first, second) = lab.workers();
    lab.timeline()
        .heading("b. ontap-san, two portals: a fabric cut during writes, then moved to the other node");
    let calls = lab.orchestrator();
    let bound = calls.provision(&CLAIM).await?;
    let in_use = calls.attach(&bound, first).await?;
    let device = Map::under(first, &in_use).await?;
    ensure!(device.filesystem == "ext4", "{} carries {}", device.name, device.filesystem);
    ensure!(device.active_paths(first).await? == 2, "{} has not two active paths", device.name);

    let expected = random_source(first, TOTAL).await?;
    write_through_a_cut(lab, first, &in_use, &device).await?;
    let stored = digest(first, &format!("{}/{FILE}", in_use.target)).await?;
    ensure!(stored == expected, "{} wrote {expected} and reads back {stored}", first.name());
    calls.detach(&bound, &in_use, first).await?;

    if second_disk == SecondDisk::Late {
        second.shell(SECOND_DISK_IS_LATE).await?;
    }
    let moved = calls.attach(&bound, second).await?;
    let device = Map::under(second, &moved).await?;
    ensure!(
        device.active_paths(second).await? == 2,
        "{} was staged before its second path was there",
        device.name
    );
    if second_disk == SecondDisk::Late {
        second
            .shell("rm -r /run/udev/rules.d/50-late.rules /run/first-disk && udevadm control --reload")
            .await?;
    }
    let since = Instant::now();
    let seen = digest(second, &format!("{}/{FILE}", moved.target)).await?;
    lab.timeline().row("read 64 MiB, compare the checksum", second.name(), since, "");
    ensure!(seen == expected, "{} wrote {expected}, {} reads {seen}", first.name(), second.name());
    calls.detach(&bound, &moved, second).await?;
    calls.delete(&bound).await?;
    lab.timeline().prove(
        "b",
        format!(
            "{TOTAL} MiB written through a cut fabric without an error, both paths back, equal on {}",
            second.name()
        ),
    );
    Ok(())
}

async fn write_through_a_cut(lab: &Lab, worker: &Worker, in_use: &InUse, map: &Map) -> Result<()> {
    let path = format!("{}/{FILE}", in_use.target);
    // Direct writes, each on the medium before the next; the writer tells after each MiB.
    let script = format!(
        "i=0; while [ $i -lt {TOTAL} ]; do \
         dd if={SOURCE} of='{path}' bs=1M count=1 skip=$i seek=$i conv=notrunc oflag=direct 2>/dev/null || exit 1; \
         i=$((i+1)); echo $i; done"
    );
    lab.timeline().working("write 64 MiB", worker.name());
    let since = Instant::now();
    let writer = worker.spawn_shell("writer", &script).await?;
    writer.await_line(&BEFORE_THE_CUT.to_string(), WRITES_END).await.context("the writer got under way")?;
    let cut = Instant::now();
    worker.cut(Fabric::A).await?;
    lab.timeline().row(
        "cut fabric A during writes",
        worker.name(),
        cut,
        &format!("after {BEFORE_THE_CUT} MiB"),
    );
    lab.timeline().working("write on, while the initiator gives the path up", worker.name());
    let written_at_cut = writer.lines().await?;
    writer.await_success(WRITES_END).await.context("every write succeeds although a fabric is cut")?;
    ensure!(written_at_cut < TOTAL as usize, "all was written before the fabric was cut: nothing was proven");
    let failed = map.failed_paths(worker).await?;
    ensure!(failed == 1, "{failed} paths of {} are failed after the cut, expected one", map.name);
    lab.timeline().row("write 64 MiB, no I/O error", worker.name(), since, "on one path since the cut");

    lab.timeline().working("the path comes back", worker.name());
    let since = Instant::now();
    worker.restore(Fabric::A).await?;
    worker
        .await_shell(
            "multipathd show paths raw format '%d %t' | grep -c ' active' | grep -qx 2",
            PATH_IS_BACK,
        )
        .await
        .context("the path comes back after the fabric is restored")?;
    lab.timeline().row("fabric A restored, path back", worker.name(), since, "two active paths");
    let log = worker
        .shell("dmesg | grep -iE 'I/O error, dev dm-|EXT4-fs error|Remounting filesystem read-only' || true")
        .await?;
    ensure!(log.trim().is_empty(), "the kernel saw errors on the map:\n{log}");
    Ok(())
}

/// The dm-multipath map under a mounted volume.
struct Map {
    name: String,
    filesystem: String,
}

impl Map {
    async fn under(worker: &Worker, in_use: &InUse) -> Result<Self> {
        let found =
            worker.shell(&format!("findmnt -n -o SOURCE,FSTYPE --target '{}'", in_use.target)).await?;
        let mut words = found.split_whitespace();
        let source = words.next().context("findmnt names a source")?;
        let source = worker.shell(&format!("readlink -f {source}")).await?;
        let kernel_name = source.trim().trim_start_matches("/dev/").to_owned();
        let uuid = worker.shell(&format!("cat /sys/block/{kernel_name}/dm/uuid")).await?;
        ensure!(uuid.starts_with("mpath-"), "{source} is no multipath map: its uuid is `{uuid}`");
        let filesystem = words.next().context("findmnt names a filesystem")?.to_owned();
        let name = worker.shell(&format!("cat /sys/block/{kernel_name}/dm/name")).await?.trim().to_owned();
        Ok(Self { name, filesystem })
    }

    async fn active_paths(&self, worker: &Worker) -> Result<usize> {
        Ok(self.states(worker).await?.matches('A').count())
    }

    async fn failed_paths(&self, worker: &Worker) -> Result<usize> {
        Ok(self.states(worker).await?.matches('F').count())
    }

    /// `A` and `F` of each path, as the kernel's multipath target reports them (dm-mpath.c).
    async fn states(&self, worker: &Worker) -> Result<String> {
        let status = worker.shell(&format!("dmsetup status --target multipath '{}'", self.name)).await?;
        let mut states = String::new();
        let words: Vec<_> = status.split_whitespace().collect();
        for pair in words.windows(2) {
            if let [device, state @ ("A" | "F")] = pair
                && device.contains(':')
            {
                states.push_str(state);
            }
        }
        Ok(states)
    }
}
