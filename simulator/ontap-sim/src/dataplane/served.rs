//! What is served, and what each change of the state makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use blockstore::Volume as Content;
use iscsi_target::{Auth, BlockSize, Identity, Lun as LogicalUnit, Visibility};
use levers::{EventLog, Levers};
use nfs_server::{Export, FileTree, Incoming, NfsServer, NfsVersions, Quota, RootAttributes};
use uuid::Uuid;

use super::contents::{ContentError, Contents};
use super::wire::{wire_auth, wire_policy};
use crate::state::lun::Serial;
use crate::state::{DataPlaneChange, LunId, NodeId, SvmId, VolumeId};

#[derive(Debug, Default)]
pub(super) struct Served {
    pub(super) contents: Contents,
    /// ALUA target port group of each node.
    pub(super) groups: BTreeMap<NodeId, u16>,
    pub(super) nfs: BTreeMap<SvmId, NfsServer>,
    pub(super) trees: BTreeMap<VolumeId, FileTree>,
    pub(super) targets: BTreeMap<SvmId, TargetState>,
    pub(super) luns: BTreeMap<LunId, Disk>,
    /// What has come for volumes and waits for being taken in.
    pub(super) staged: BTreeMap<Uuid, Incoming>,
    /// Whether LUNs keep in mind what is not flushed, for a power cut to come.
    pub(super) armed: bool,
}

/// What a target is built from.
#[derive(Debug)]
pub(super) struct TargetState {
    /// Name and alias, while the service serves.
    pub(super) service: Option<(String, String)>,
    /// The name under which it is on the wire.
    pub(super) shown: Option<String>,
    pub(super) auth: Auth,
    /// How those log in who have a record of their own.
    pub(super) initiators: BTreeMap<String, Auth>,
    /// What each initiator sees.
    pub(super) views: BTreeMap<String, Vec<(u16, LunId)>>,
}

/// A LUN, as the target needs it.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    pub(super) content: Content,
    pub(super) serial: Serial,
    pub(super) unmap: bool,
    pub(super) optimised: u16,
    /// Whether it is a copy that SnapMirror alone writes.
    pub(super) read_only: bool,
}

impl Served {
    pub(super) fn create_svm(&mut self, svm: SvmId, name: &str, events: &EventLog, levers: &Levers) {
        let server = || NfsServer::with_levers(events.clone(), levers.clone(), name);
        self.nfs.entry(svm).or_insert_with(server);
        self.targets.entry(svm).or_insert_with(|| TargetState {
            service: None,
            shown: None,
            auth: Auth::Open,
            initiators: BTreeMap::new(),
            views: BTreeMap::new(),
        });
    }

    pub(super) fn make(&mut self, change: &DataPlaneChange) -> Result<(), ContentError> {
        match change {
            DataPlaneChange::CreateTree { volume, shape } => {
                let tree = self.contents.tree(*volume, *shape)?;
                self.trees.insert(*volume, tree);
            }
            DataPlaneChange::CloneTree { volume, parent, snapshot, shape } => {
                self.clone_tree(*volume, *parent, snapshot, *shape)?;
            }
            DataPlaneChange::ReceiveTree { volume, content, .. } => self.receive_tree(*volume, *content)?,
            DataPlaneChange::ReceiveLun { lun, content, snapshots, serial, unmap, optimised, .. } => {
                let content = self.receive_lun(*lun, *content, snapshots)?;
                self.put_disk(*lun, content, (*serial, *unmap, *optimised));
                self.protect(*lun, true);
            }
            DataPlaneChange::CopyFile { volume, source, destination, replace } => {
                self.copy_file(*volume, source, destination, *replace)?;
            }
            DataPlaneChange::CopyRanges { volume, source, destination, ranges } => {
                self.copy_ranges(*volume, source, destination, ranges)?;
            }
            DataPlaneChange::CreateLun { lun, serial, size, unmap, optimised, .. } => {
                let content = self.contents.lun(*lun, *size)?;
                self.put_disk(*lun, content, (*serial, *unmap, *optimised));
            }
            DataPlaneChange::CloneLun { lun, serial, size, unmap, optimised, source, snapshot, .. } => {
                let content = self.cloned_content(*lun, *source, *snapshot, *size)?;
                self.put_disk(*lun, content, (*serial, *unmap, *optimised));
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn unmake(&mut self, change: &DataPlaneChange) {
        match change {
            DataPlaneChange::CreateTree { volume, .. } | DataPlaneChange::CloneTree { volume, .. } => {
                self.remove_tree(*volume);
            }
            DataPlaneChange::CreateLun { lun, .. } | DataPlaneChange::CloneLun { lun, .. } => {
                self.remove_lun(*lun);
            }
            DataPlaneChange::CopyFile { volume, destination, .. } => {
                self.administer(*volume, |tree| tree.remove_file(destination));
            }
            DataPlaneChange::TakeSnapshot { volume, snapshot, name, luns } => {
                self.drop_snapshot(*volume, *snapshot, name, luns);
            }
            DataPlaneChange::ReceiveTree { volume, base: Some(base), .. } => self.restore_tree(*volume, base),
            DataPlaneChange::ReceiveLun { lun, content, snapshots, .. } => {
                match (self.return_lun(*lun, *content, snapshots), self.luns.get_mut(lun)) {
                    (Some(content), Some(disk)) => disk.content = content,
                    _ => drop(self.luns.remove(lun)),
                }
            }
            _ => {}
        }
    }

    pub(super) fn remove_tree(&mut self, volume: VolumeId) {
        self.trees.remove(&volume);
        self.contents.remove_tree(volume);
    }

    pub(super) fn remove_lun(&mut self, lun: LunId) {
        self.luns.remove(&lun);
        self.contents.remove_lun(lun);
    }

    /// Applies one change; returns the SVM whose target must be put again.
    pub(super) fn apply(&mut self, change: DataPlaneChange) -> Option<SvmId> {
        match change {
            DataPlaneChange::CreateTree { .. }
            | DataPlaneChange::CloneTree { .. }
            | DataPlaneChange::TakeSnapshot { .. }
            | DataPlaneChange::ReceiveTree { .. }
            | DataPlaneChange::CopyFile { .. }
            | DataPlaneChange::CopyRanges { .. }
            | DataPlaneChange::CreateLun { .. } => None,
            // What was seen before its LUN was there is seen now.
            DataPlaneChange::CloneLun { svm, .. } => Some(svm),
            DataPlaneChange::ReshapeTree { volume, before, after } => {
                self.reshape_tree(volume, before, after);
                None
            }
            DataPlaneChange::ReceiveLun { svm, content, .. } => {
                self.settle_lun(content);
                Some(svm)
            }
            DataPlaneChange::ProtectLun { svm, lun, read_only } => {
                self.protect(lun, read_only);
                Some(svm)
            }
            DataPlaneChange::DropLunSnapshots { snapshot, luns } => {
                self.drop_lun_snapshots(snapshot, &luns);
                None
            }
            DataPlaneChange::RenameSnapshot { volume, from, to } => {
                self.rename_snapshot(volume, &from, &to);
                None
            }
            DataPlaneChange::DropSnapshot { volume, snapshot, name, luns } => {
                self.drop_snapshot(volume, snapshot, &name, &luns);
                None
            }
            DataPlaneChange::RestoreTree { volume, name } => {
                self.restore_tree(volume, &name);
                None
            }
            DataPlaneChange::CreateQtree { volume, id, name, mode, uid, gid } => {
                self.administer(volume, |tree| {
                    tree.create_qtree(id, &name, RootAttributes { mode, uid, gid })
                });
                None
            }
            DataPlaneChange::RenameQtree { volume, from, to } => {
                self.administer(volume, |tree| tree.rename_qtree(&from, &to));
                None
            }
            DataPlaneChange::SetQtreeRoot { volume, name, mode, uid, gid } => {
                self.administer(volume, |tree| tree.set_qtree_root(&name, RootAttributes { mode, uid, gid }));
                None
            }
            DataPlaneChange::RemoveQtree { volume, name } => {
                self.administer(volume, |tree| tree.remove_qtree(&name));
                None
            }
            DataPlaneChange::SetQuota { volume, qtree, bytes, files } => {
                self.administer(volume, |tree| tree.set_quota(&qtree, Quota { bytes, files }));
                None
            }
            DataPlaneChange::NfsVersions { svm, v3, v4_0, v4_1 } => {
                if let Some(server) = self.nfs.get(&svm) {
                    server.set_versions(NfsVersions { v3, v4_0, v4_1, v4_2: v4_1 });
                }
                None
            }
            DataPlaneChange::RestoreLun { svm, lun, snapshot, serial, unmap, optimised } => {
                let content = self.restored_content(lun, snapshot)?;
                self.put_disk(lun, content, (serial, unmap, optimised));
                Some(svm)
            }
            DataPlaneChange::Reoptimise { svm, lun, optimised } => {
                self.luns.get_mut(&lun)?.optimised = self.groups.get(&optimised).copied().unwrap_or(1);
                Some(svm)
            }
            DataPlaneChange::RemoveTree { volume } => {
                self.remove_tree(volume);
                None
            }
            DataPlaneChange::Export { svm, path, volume, policy } => {
                if let (Some(server), Some(tree)) = (self.nfs.get(&svm), self.trees.get(&volume)) {
                    let policy = Arc::new(wire_policy(&policy));
                    server.put_export(Export { path, tree: tree.clone(), policy });
                }
                None
            }
            DataPlaneChange::Unexport { svm, path } => {
                if let Some(server) = self.nfs.get(&svm) {
                    server.remove_export(&path);
                }
                None
            }
            DataPlaneChange::ResizeLun { svm, lun, size } => {
                if let Some(disk) = self.luns.get(&lun) {
                    disk.content.resize(size);
                }
                Some(svm)
            }
            DataPlaneChange::RemoveLun { svm, lun } => {
                self.remove_lun(lun);
                Some(svm)
            }
            DataPlaneChange::Mask { svm, initiator, luns } => {
                let target = self.targets.get_mut(&svm)?;
                if luns.is_empty() {
                    target.views.remove(&initiator);
                } else {
                    target.views.insert(initiator, luns);
                }
                Some(svm)
            }
            DataPlaneChange::Authenticate { svm, initiator, authentication } => {
                let target = self.targets.get_mut(&svm)?;
                match (initiator, authentication.map(wire_auth)) {
                    (None, auth) => target.auth = auth.unwrap_or(Auth::Open),
                    (Some(initiator), Some(auth)) => drop(target.initiators.insert(initiator, auth)),
                    (Some(initiator), None) => drop(target.initiators.remove(&initiator)),
                }
                Some(svm)
            }
            DataPlaneChange::PutTarget { svm, iqn, alias, enabled } => {
                self.targets.get_mut(&svm)?.service = enabled.then_some((iqn, alias));
                Some(svm)
            }
            DataPlaneChange::RemoveTarget { svm } => {
                let target = self.targets.get_mut(&svm)?;
                target.service = None;
                target.auth = Auth::Open;
                target.initiators.clear();
                Some(svm)
            }
            // These concern more than what is served here; [`DataPlanes::apply`] carries them out.
            DataPlaneChange::CreateSvm { .. }
            | DataPlaneChange::RemoveSvm { .. }
            | DataPlaneChange::RaiseLif(_)
            | DataPlaneChange::LowerLif { .. }
            | DataPlaneChange::MoveLif { .. }
            | DataPlaneChange::Errand(_) => None,
        }
    }

    /// Puts a LUN behind the targets; what it calls itself, whether it can unmap, and its node.
    pub(super) fn put_disk(
        &mut self,
        lun: LunId,
        content: Content,
        (serial, unmap, optimised): (Serial, bool, NodeId),
    ) {
        if self.armed {
            content.arm_power_cut();
        }
        let optimised = self.groups.get(&optimised).copied().unwrap_or(1);
        let read_only = self.luns.get(&lun).is_some_and(|disk| disk.read_only);
        self.luns.insert(lun, Disk { content, serial, unmap, optimised, read_only });
    }

    pub(super) fn protect(&mut self, lun: LunId, read_only: bool) {
        if let Some(disk) = self.luns.get_mut(&lun) {
            disk.read_only = read_only;
        }
    }

    /// The logical units of a target: one entry for each number a LUN has, with those who see it so.
    pub(super) fn units_of(&self, target: &TargetState) -> Vec<LogicalUnit> {
        let mut seen: BTreeMap<(u16, LunId), BTreeSet<String>> = BTreeMap::new();
        for (initiator, view) in &target.views {
            for place in view {
                seen.entry(*place).or_default().insert(initiator.clone());
            }
        }
        let unit = |((number, lun), initiators): ((u16, LunId), BTreeSet<String>)| {
            let disk = self.luns.get(&lun)?;
            let serial = disk.serial.to_string();
            Some(LogicalUnit {
                number,
                volume: disk.content.clone(),
                identity: Identity {
                    vendor: "NETAPP".into(),
                    product: "LUN C-Mode".into(),
                    revision: "9151".into(),
                    t10: format!("LUN {serial}"),
                    serial,
                    naa: disk.serial.naa(),
                    eui: None,
                },
                block_size: BlockSize::Emulated512,
                access: Visibility::Initiators(initiators),
                thin: disk.unmap,
                read_only: disk.read_only,
                optimized_groups: BTreeSet::from([disk.optimised]),
                governor: None,
            })
        };
        seen.into_iter().filter_map(unit).collect()
    }
}
