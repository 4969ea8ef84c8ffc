//! Asking disks who they are, all at the same time.

use std::time::Instant;

use agent_core::facts::{PathState, Probe};
use contract::DeviceIdentity;
use std::os::fd::AsFd;

use crate::blocking::Bulkheads;
use crate::error_text::unknown;
use crate::own_time::OwnTime;
use crate::root::HostRoot;
use crate::scsi;
use crate::sysfs::scsi::Disk;

/// What one disk said.
pub(super) struct Answer {
    pub(super) identity: Probe<DeviceIdentity>,
    pub(super) size: Probe<u64>,
}

impl Answer {
    fn unknown(why: &str) -> Self {
        Self { identity: Probe::unknown(why), size: Probe::unknown(why) }
    }
}

/// One answer a disk, in their order.
pub(super) async fn ask(
    root: &HostRoot,
    bulkheads: &Bulkheads,
    disks: &[&Disk],
    deadline: Instant,
) -> Vec<Answer> {
    let mut asked = Vec::new();
    for disk in disks {
        let (root, bulkheads) = (root.clone(), bulkheads.clone());
        let disk = Disk::clone(disk);
        let ask = async move { ask_one(&root, &bulkheads, disk, deadline).await };
        asked.push(tokio::spawn(OwnTime::current().count_polls(ask)));
    }
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await.unwrap_or_else(|error| Answer::unknown(&error.to_string())));
    }
    answers
}

async fn ask_one(root: &HostRoot, bulkheads: &Bulkheads, disk: Disk, deadline: Instant) -> Answer {
    // A command to a disk in any other state waits for the session to come back.
    if disk.state != PathState::Running {
        return Answer::unknown(&format!("disk {} is {:?}", disk.name, disk.state));
    }
    let node = root.dev(&disk.name);
    let call = move |_: &_| {
        let device = match scsi::open(&node, disk.number) {
            Ok(device) => device,
            Err(error) => return Answer { identity: unknown(&error), size: unknown(&error) },
        };
        Answer {
            identity: scsi::identity(device.as_fd()).map_or_else(|error| unknown(&error), Probe::Present),
            size: scsi::size(device.as_fd()).map_or_else(|error| unknown(&error), Probe::Present),
        }
    };
    let what = format!("the identity of disk {} ({})", disk.name, disk.hctl);
    match bulkheads.run(what, deadline, call).await {
        Ok(answer) => answer,
        Err(error) => Answer { identity: unknown(&error), size: unknown(&error) },
    }
}
