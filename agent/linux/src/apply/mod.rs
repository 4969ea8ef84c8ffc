//! One [`Step`] at a time: make it so, see that it is so.
//!
//! Nothing here decides: what a step may do was proven before it was planned. What is checked again is
//! cheap and close to the effect (is this still the device, does something else stand there).

mod block;
mod meaning;
mod mounting;
mod paths;

use agent_core::outcome::{ApplyContext, Outcome, StepError};
use agent_core::step::Step;

use crate::blocking::Bulkheads;
use crate::iscsi::locks::SessionLocks;
use crate::iscsi::{scan, session};
use crate::mount::detach;
use crate::mount::nfs::NfsMount;
use crate::multipath::{assembly, removal};
use crate::root::HostRoot;
use meaning::Failure;
use mounting::Place;
use paths::Wish;

/// Makes a step so.
pub(crate) async fn apply(
    root: &HostRoot,
    bulkheads: &Bulkheads,
    sessions: &SessionLocks,
    step: Step,
    context: &ApplyContext,
) -> Result<Outcome, StepError> {
    let shown = step.to_string();
    match converge(root, bulkheads, sessions, step, context).await {
        Ok(true) => Ok(Outcome::Changed),
        Ok(false) => Ok(Outcome::AlreadySo),
        Err(Failure { cause, disposition }) => Err(StepError { step: shown, cause, disposition }),
    }
}

/// `true`: changed. `false`: it was so.
async fn converge(
    root: &HostRoot,
    bulkheads: &Bulkheads,
    sessions: &SessionLocks,
    step: Step,
    context: &ApplyContext,
) -> Result<bool, Failure> {
    let deadline = context.deadline;
    let ensure = async |wish, path| Ok(paths::ensure(root, bulkheads, wish, path, deadline).await?);
    let place = |at| Place { root, bulkheads, at, deadline };
    match step {
        Step::EnsureDirectory { path } => ensure(Wish::Directory, path).await,
        Step::EnsureFile { path } => ensure(Wish::File, path).await,
        Step::RemoveDirectory { path } => ensure(Wish::NoDirectory, path).await,
        Step::RemoveFile { path } => ensure(Wish::NoFile, path).await,
        Step::MountNfs { server, export, at, options } => {
            Ok(mounting::nfs(place(&at), NfsMount { server, export, options }).await?)
        }
        Step::LogIn { target, portal, authenticated } => {
            let chap =
                if authenticated { Some(context.chap.as_ref().ok_or_else(no_credentials)?) } else { None };
            Ok(session::log_in(root, sessions, &target, &portal, chap, deadline).await?)
        }
        Step::LogOut { sid, target, portal } => {
            Ok(session::log_out(root, sessions, sid, &target, &portal, deadline).await?)
        }
        Step::ForgetPortal { target, portal } => {
            Ok(session::forget(root, sessions, &target, &portal, deadline).await?)
        }
        Step::ScanLun { sid, host, lun } => {
            Ok(scan::scan(root, bulkheads, (sid, host), lun, deadline).await?)
        }
        Step::AwaitMap { wwid, paths, window } => {
            assembly::await_map(root, &wwid, paths, window, deadline).await?;
            Ok(false)
        }
        Step::StopQueueing { wwid } => Ok(removal::stop_queueing(root, &wwid)?),
        Step::AwaitIdle { wwid } => {
            removal::await_idle(root, &wwid, deadline).await?;
            Ok(false)
        }
        Step::FlushMap { wwid } => Ok(block::flush(root, bulkheads, wwid, deadline).await?),
        Step::DeletePath { disk } => Ok(block::delete_path(root, bulkheads, disk, deadline).await?),
        Step::RemoveMap { map } => {
            let map = map.what();
            Ok(removal::remove(root, &map.wwid, map.number, deadline).await?)
        }
        Step::MakeFilesystem { device, blank, fs } => {
            block::make_filesystem(root, bulkheads, device, blank, fs, deadline).await?;
            Ok(true)
        }
        Step::MountDevice { device, fs, at, options } => {
            Ok(mounting::device(place(&at), device, fs, options).await?)
        }
        Step::BindMount { from, to, read_only } => Ok(mounting::bind(place(&to), from, read_only).await?),
        Step::BindDevice { device, to, read_only } => {
            Ok(mounting::bind_device(place(&to), device, read_only).await?)
        }
        Step::Unmount { at, mount_id, detach } => {
            Ok(detach::unmount(root, bulkheads, (&at, mount_id), detach, deadline).await?)
        }
    }
}

fn no_credentials() -> Failure {
    let cause = "the target wants CHAP and this flight has no credentials: the controller gave none".into();
    Failure { cause, disposition: agent_core::outcome::Disposition::Transient }
}
