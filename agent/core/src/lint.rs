//! The last guard: properties every plan has, checked against the facts it came from, by code that
//! shares nothing with the code that made it.

use crate::facts::{Content, Facts, PathFact, Probe};
use crate::intent::Intent;
use crate::outcome::Disposition;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::refusal::{Hazard, Refusal};
use crate::step::Step;

/// More steps than any honest plan has: 64 portals, each with a scan, and a few more.
const MAX_STEPS: usize = 160;

/// Checks `plan`.
///
/// # Errors
/// A [`Refusal`] with [`Disposition::Broken`]: a plan that breaks a rule is a defect of this program.
pub(crate) fn check(intent: &Intent, facts: &Facts, progress: &Progress, plan: &Plan) -> Result<(), Refusal> {
    let broken = |hazard, step: &Step, rule: &str| {
        Err(Refusal::refused(
            hazard,
            format!("the plan breaks a rule ({rule}) with `{step}`"),
            "nothing was done; this is a defect of the agent, please report it with its log",
        )
        .with(Disposition::Broken))
    };
    let teardown = matches!(intent, Intent::Unstage(_) | Intent::Unpublish(_));
    for (count, step) in plan.steps().enumerate() {
        let verdict = match step {
            _ if count >= MAX_STEPS => Err((Hazard::H03, "a plan is short")),
            Step::LogIn { .. }
            | Step::MountNfs { .. }
            | Step::BindMount { .. }
            | Step::BindDevice { .. }
            | Step::ScanLun { .. }
                if teardown =>
            {
                Err((Hazard::H03, "teardown adds nothing"))
            }
            Step::MakeFilesystem { device, blank, .. } => {
                let same = device.what().number == blank.device();
                let fresh = [device.generation(), blank.generation()] == [facts.generation; 2];
                let seen = matches!(&facts.content, Probe::Present(Content::Blank(_)));
                let mounted = facts.mounts.iter().any(|mount| mount.device == blank.device());
                require(
                    same && fresh && seen && !mounted && matches!(intent, Intent::Stage(_)),
                    Hazard::H01,
                    "only a device proven blank, now, and not mounted is formatted, and only by a stage",
                )
            }
            Step::MountDevice { device, fs, .. } => {
                let holds =
                    matches!(&facts.content, Probe::Present(Content::Filesystem(found)) if found.kind == *fs);
                let makes = plan.steps().take(count).any(|earlier| {
                    matches!(earlier, Step::MakeFilesystem { device: made, fs: new, .. }
                        if new == fs && made.what() == device.what())
                });
                require(
                    device.generation() == facts.generation && (holds || makes) && !teardown,
                    Hazard::H02,
                    "only a device identified now, with that filesystem, is mounted",
                )
            }
            Step::DeletePath { disk } => {
                let seen = facts.paths.iter().find(|path| path.hctl == disk.what().hctl);
                let free = seen.is_some_and(|path| path.name == disk.what().name && !path.mounted);
                let map_used = facts.map.present().is_some_and(|map| {
                    map.paths.contains(&disk.what().name)
                        && facts
                            .mounts
                            .iter()
                            .any(|mount| mount.device == map.number || mount.node_of == Some(map.number))
                });
                require(free && !map_used, Hazard::H10, "no disk under a mount is deleted")
            }
            Step::RemoveMap { map } => {
                let mounted = facts.mounts.iter().any(|mount| {
                    mount.device == map.what().number || mount.node_of == Some(map.what().number)
                });
                require(!mounted && teardown, Hazard::H10, "no map under a mount is removed")
            }
            Step::StopQueueing { .. } => require(teardown, Hazard::H10, "queueing stops only in teardown"),
            Step::LogOut { sid, .. } => {
                let alone =
                    facts.sessions.iter().any(|session| session.sid == *sid && session.other_luns == 0);
                require(
                    alone && !progress.target_shared && teardown && bare(facts, plan, *sid),
                    Hazard::H10,
                    "no session that another volume uses, or that still has a disk, is ended",
                )
            }
            _ => Ok(()),
        };
        if let Err((hazard, rule)) = verdict {
            return broken(hazard, step, rule);
        }
    }
    Ok(())
}

/// Whether the plan deletes every disk that was seen on the session.
fn bare(facts: &Facts, plan: &Plan, sid: u32) -> bool {
    let deleted = |path: &PathFact| {
        plan.steps().any(|step| matches!(step, Step::DeletePath { disk } if disk.what().hctl == path.hctl))
    };
    facts.paths.iter().filter(|path| path.sid == Some(sid)).all(deleted)
}

fn require(holds: bool, hazard: Hazard, rule: &'static str) -> Result<(), (Hazard, &'static str)> {
    if holds { Ok(()) } else { Err((hazard, rule)) }
}
