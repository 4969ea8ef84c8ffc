//! How long things may take. A step gives up by itself at its deadline; a little later it is dropped.

use std::time::Duration;

use agent_core::step::Step;

/// An observation: sysfs, a few inquiries, at most a few MiB read.
pub(super) const OBSERVE: Duration = Duration::from_secs(30);
/// What a step may overrun its own deadline before it is dropped.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// Rounds of observe, plan, apply in one flight; an honest flight needs five.
pub(super) const MAX_ROUNDS: usize = 12;

/// Time for one step.
pub(super) fn of(step: &Step) -> Duration {
    Duration::from_secs(match step {
        Step::EnsureDirectory { .. }
        | Step::EnsureFile { .. }
        | Step::RemoveDirectory { .. }
        | Step::RemoveFile { .. }
        | Step::ForgetPortal { .. }
        | Step::StopQueueing { .. }
        | Step::BindMount { .. }
        | Step::BindDevice { .. } => 10,
        Step::ScanLun { .. } => 15,
        Step::LogIn { .. }
        | Step::LogOut { .. }
        | Step::AwaitMap { .. }
        | Step::AwaitIdle { .. }
        | Step::RemoveMap { .. }
        | Step::DeletePath { .. }
        | Step::Unmount { .. } => 25,
        Step::MountNfs { .. } => 60,
        // Journal replay, a flush of what is dirty: as much as was written.
        Step::MountDevice { .. } | Step::FlushMap { .. } => 120,
        Step::MakeFilesystem { .. } => 600,
    })
}
