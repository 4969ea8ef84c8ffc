//! Scene e: after all unstages a node is what it was before (hazards H03 and H06).

use std::time::Instant;

use anyhow::{Result, ensure};
use vm::NodeState;

use crate::lab::Lab;

/// What both nodes show before anything is attached: block devices, iSCSI sessions, device-mapper
/// maps and mounts.
///
/// # Errors
/// When a node does not answer.
pub async fn before(lab: &Lab) -> Result<[NodeState; 2]> {
    let (first, second) = lab.workers();
    Ok([first.state().await?, second.state().await?])
}

/// Compares with [`before`].
///
/// # Errors
/// When something is left, or something is missing.
pub async fn compare(lab: &Lab, before: &[NodeState; 2]) -> Result<()> {
    let (first, second) = lab.workers();
    lab.timeline().heading("e. after all unstages: nothing is left");
    for (worker, before) in [first, second].into_iter().zip(before) {
        let since = Instant::now();
        let after = worker.state().await?;
        ensure!(
            &after == before,
            "{} is not what it was:\nbefore {before:#?}\nafter {after:#?}",
            worker.name()
        );
        let records =
            worker.shell("find /etc/iscsi/nodes /var/lib/tine -type f -name '*' 2>/dev/null | sort").await?;
        let left: Vec<_> =
            records.lines().filter(|path| path.contains("/nodes/") || path.contains("/volumes/")).collect();
        ensure!(left.is_empty(), "{} keeps records of volumes that are gone: {left:?}", worker.name());
        lab.timeline().row("sysfs, dm, mountinfo, sessions as before", worker.name(), since, "");
    }
    lab.timeline().prove("e", "both nodes show the same block devices, maps, mounts and sessions as before");
    Ok(())
}
