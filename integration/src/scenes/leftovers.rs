//! Scene e: after all unstages a node is what it was before (hazards H03 and H06).

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use vm::NodeState;

use crate::lab::Lab;

/// What there is before anything is attached.
#[derive(Debug)]
pub struct Before {
    nodes: [NodeState; 2],
    arrays: Vec<Value>,
}

/// What both nodes show before anything is attached (block devices, iSCSI sessions, device-mapper
/// maps and mounts), and both arrays (volumes, LUNs, maps, initiator groups, export policies).
///
/// # Errors
/// When a node does not answer.
pub async fn before(lab: &Lab) -> Result<Before> {
    let (first, second) = lab.workers();
    Ok(Before { nodes: [first.state().await?, second.state().await?], arrays: arrays(lab).await? })
}

/// What a deleted volume or revoked access would leave on the arrays.
async fn arrays(lab: &Lab) -> Result<Vec<Value>> {
    let mut shown = Vec::new();
    for collection in [
        "storage/volumes",
        "storage/luns",
        "protocols/san/lun-maps",
        "protocols/san/igroups",
        "protocols/nfs/export-policies",
    ] {
        let answer = lab.ontap().rest(&format!("/api/{collection}")).await?;
        shown.push(json!({ collection: answer["records"] }));
    }
    let answer = lab.solidfire().element("ListActiveVolumes", json!({})).await?;
    shown.push(json!({ "ListActiveVolumes": answer["volumes"] }));
    Ok(shown)
}

/// Compares nodes and arrays with [`before`], when every volume since is deleted.
///
/// # Errors
/// When something is left, or something is missing.
pub async fn compare(lab: &Lab, before: &Before) -> Result<()> {
    lab.timeline().heading("e. after all unstages: nothing is left");
    compare_nodes(lab, before).await?;
    let after = arrays(lab).await?;
    ensure!(after == before.arrays, "the arrays keep:\nbefore {:#?}\nafter {after:#?}", before.arrays);
    lab.timeline().prove(
        "e",
        "both nodes show the same block devices, maps, mounts and sessions as before, both arrays the same objects",
    );
    Ok(())
}

/// Compares the nodes alone, while volumes are still there.
///
/// # Errors
/// When something is left, or something is missing.
pub async fn compare_nodes(lab: &Lab, before: &Before) -> Result<()> {
    let (first, second) = lab.workers();
    for (worker, before) in [first, second].into_iter().zip(&before.nodes) {
        let since = Instant::now();
        let after = worker.state().await?;
        ensure!(
            &after == before,
            "{} is not what it was:\nbefore {before:#?}\nafter {after:#?}",
            worker.name()
        );
        let records = worker.shell("find /etc/iscsi /var/lib/tine -mindepth 2 2>/dev/null | sort").await?;
        let left: Vec<_> =
            records.lines().filter(|path| path.contains("/nodes/") || path.contains("/volumes/")).collect();
        ensure!(left.is_empty(), "{} keeps records of volumes that are gone: {left:?}", worker.name());
        lab.timeline().row("sysfs, dm, mountinfo, sessions as before", worker.name(), since, "");
    }
    Ok(())
}
