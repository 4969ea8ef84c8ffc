//! A stage that is planned and never begun, at the agent's start.
//!
//! What the agent cannot read on this node is said then, and not by the first volume; and that one
//! finds the way trodden: code and tables are in memory, as for every later one.

use agent_core::intent::{Intent, Stage, Usage};
use agent_core::plan;
use agent_core::progress::Progress;
use contract::{DeviceIdentity, FsType, IscsiAttachment, LunNumber, NfsAttachment, Portal, PublishContext};

use super::{Coordinator, Host, budget};

/// Addresses of no host (RFC 5737).
const NOWHERE: [u8; 4] = [192, 0, 2, 1];

impl<H: Host> Coordinator<H> {
    /// Looks at this node as the stage of an export and of a LUN would, and plans both. Reads mount
    /// table, maps, sessions and disks; asks no array and changes nothing.
    pub async fn rehearse(&self) {
        for stage in [export(), lun()].into_iter().flatten() {
            let (intent, progress) = (Intent::Stage(stage), Progress::default());
            let query = plan::query(&intent, None, &progress);
            match tokio::time::timeout(budget::OBSERVE, self.host.observe(&query)).await {
                Ok(Ok(facts)) => match plan::plan(&intent, &facts, None, &progress) {
                    Ok(plan) => tracing::debug!(%plan, "rehearsed"),
                    Err(refusal) => tracing::debug!(%refusal, "rehearsed"),
                },
                Ok(Err(error)) => {
                    tracing::warn!(error = %telemetry::chain(&error), "this node cannot be looked at");
                }
                Err(_elapsed) => tracing::warn!("this node could not be looked at in time"),
            }
        }
    }
}

fn stage(attachment: PublishContext) -> Option<Stage> {
    Some(Stage {
        volume: "rehearsal".parse().ok()?,
        attachment,
        staging: "/nowhere/rehearsal".parse().ok()?,
        usage: Usage::Filesystem { fs: None, mount_options: Vec::new() },
    })
}

fn export() -> Option<Stage> {
    let export = "/rehearsal".to_owned();
    stage(PublishContext::Nfs(NfsAttachment { server: NOWHERE.into(), export, mount_options: Vec::new() }))
}

/// No device has an identity of zeros: none is asked.
fn lun() -> Option<Stage> {
    stage(PublishContext::Iscsi(IscsiAttachment {
        target: "iqn.2026-01.dev.tine:rehearsal".parse().ok()?,
        portals: vec![Portal { address: NOWHERE.into(), port: 3260, tag: Portal::UNKNOWN_TAG }],
        lun: LunNumber(0),
        identity: DeviceIdentity {
            wwid: format!("3{:032}", 0).parse().ok()?,
            serial: "rehearsal".parse().ok()?,
        },
        size: 0,
        authenticated: false,
        default_fs: FsType::Ext4,
    }))
}
