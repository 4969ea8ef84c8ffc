//! A small kernel in memory, enough to be wrong in the ways that matter: sessions, disks that
//! appear by scanning, maps that follow their disks, mounts, files, node records. It is used by the
//! tests of agent-core (directly) and of the agent (behind its `Host`).
//!
//! Limits, stated: one SCSI channel and target id a host; no udev, no transient openers; a map is
//! there as soon as its first disk is; a disk's identity is whatever the array maps at its number
//! *now*; time does not pass.
#![allow(
    clippy::expect_used,
    clippy::panic,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "several test binaries use different parts of it"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use agent_core::areas::signature_areas;
use agent_core::facts::{
    BlankScan, Content, Daemon, DeviceNumber, Facts, Filesystem, Hctl, HostFacts, KernelFeature, MapFact,
    MountFact, PathFact, PathKind, PathState, Probe, Program, Query, SessionFact, SessionState,
};
use agent_core::outcome::{ApplyContext, Disposition, Outcome, StepError};
use agent_core::proof::{Device, Verified};
use agent_core::step::Step;
use contract::{
    ChapCredentials, DeviceIdentity, FsType, Iqn, IscsiAttachment, LunNumber, NfsAttachment, Portal,
    PublishContext, Wwid,
};

pub const GIB: u64 = 1 << 30;

/// What a LUN holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    Zeros,
    Filesystem(FsType),
    Foreign(&'static str),
    Unreadable,
}

#[derive(Debug, Clone)]
pub struct Lun {
    pub identity: DeviceIdentity,
    pub size: u64,
    pub data: Data,
}

#[derive(Debug, Clone)]
struct Session {
    sid: u32,
    target: Iqn,
    portal: Portal,
}

#[derive(Debug, Clone)]
struct Disk {
    name: String,
    host: u32,
    lun: u16,
    /// The WWID the kernel saw when it scanned.
    seen: Wwid,
}

#[derive(Debug, Clone)]
struct Map {
    wwid: Wwid,
    minor: u32,
    size: u64,
}

/// The array and the node.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Array: what is mapped to this node.
    pub luns: BTreeMap<(Iqn, u16), Lun>,
    /// Array: portals that do not answer.
    pub dead: BTreeSet<SocketAddr>,
    /// Array: credentials its targets want.
    pub chap: Option<ChapCredentials>,
    sessions: Vec<Session>,
    records: Vec<(Iqn, Portal)>,
    disks: Vec<Disk>,
    maps: Vec<Map>,
    mounts: Vec<MountFact>,
    files: BTreeMap<String, PathKind>,
    /// Devices a workload holds open.
    pub opened: BTreeSet<Wwid>,
    next: u32,
    generation: u64,
    /// Steps applied, as they print.
    pub applied: Vec<String>,
    /// Things that must never happen and did.
    pub harm: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Said(String);

impl World {
    /// What must be equal before and after: everything a node can be left with.
    pub fn residue(&self) -> String {
        format!(
            "sessions {:?}\nrecords {:?}\ndisks {:?}\nmaps {:?}\nmounts {:?}",
            self.sessions, self.records, self.disks, self.maps, self.mounts
        )
    }

    pub fn is_clean(&self) -> bool {
        self.sessions.is_empty()
            && self.records.is_empty()
            && self.disks.is_empty()
            && self.maps.is_empty()
            && self.mounts.is_empty()
    }

    pub fn mounts(&self) -> &[MountFact] {
        &self.mounts
    }

    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    pub fn disks(&self) -> usize {
        self.disks.len()
    }

    pub fn file(&self, path: &str) -> Option<PathKind> {
        self.files.get(path).copied()
    }

    /// Something that is none of ours is mounted.
    pub fn mount_foreign(&mut self, at: &str, source: &str, fs_type: &str) {
        let device = DeviceNumber { major: 8, minor: 99 };
        self.push_mount(device, "/", at, fs_type, source, false);
    }

    /// A mount that stands on the one at `parent`.
    pub fn mount_below(&mut self, parent: &str, at: &str, source: &str, fs_type: &str) {
        let parent = self.mounts.iter().rfind(|mount| mount.mount_point == parent).map(|mount| mount.id);
        self.mount_foreign(at, source, fs_type);
        if let (Some(parent), Some(mount)) = (parent, self.mounts.last_mut()) {
            mount.parent = parent;
        }
    }

    /// Somebody binds what is mounted at `from`.
    pub fn bind(&mut self, from: &str, to: &str) {
        let source = self.mounts.iter().rfind(|mount| mount.mount_point == from).cloned();
        let id = self.number();
        self.mounts.extend(source.map(|source| MountFact { id, mount_point: to.to_owned(), ..source }));
    }

    /// Somebody unmounts.
    pub fn unmount(&mut self, at: &str) {
        self.mounts.retain(|mount| mount.mount_point != at);
    }

    /// Somebody makes a directory.
    pub fn make_directory(&mut self, at: &str) {
        self.files.insert(at.to_owned(), PathKind::Directory);
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn push_mount(
        &mut self,
        device: DeviceNumber,
        root: &str,
        at: &str,
        fs_type: &str,
        source: &str,
        ro: bool,
    ) {
        let id = self.number();
        self.mounts.push(MountFact {
            id,
            parent: 0,
            device,
            root: root.to_owned(),
            mount_point: at.to_owned(),
            fs_type: fs_type.to_owned(),
            source: source.to_owned(),
            read_only: ro,
            super_options: if ro { "ro" } else { "rw" }.to_owned(),
            node_of: None,
        });
    }

    fn lun_of(&self, disk: &Disk) -> Option<&Lun> {
        let session = self.sessions.iter().find(|session| session.sid == disk.host)?;
        self.luns.get(&(session.target.clone(), disk.lun))
    }

    fn data_of(&mut self, wwid: &Wwid) -> Option<&mut Lun> {
        self.luns.values_mut().find(|lun| lun.identity.wwid == *wwid)
    }

    fn map_fact(&self, map: &Map) -> MapFact {
        let number = DeviceNumber { major: 253, minor: map.minor };
        let disks: Vec<&Disk> = self.disks.iter().filter(|disk| disk.seen == map.wwid).collect();
        let names = |disks: &[&Disk]| disks.iter().map(|disk| disk.name.clone()).collect::<Vec<_>>();
        let up: Vec<&Disk> = disks.iter().copied().filter(|disk| self.path_up(disk)).collect();
        let mounted = self.mounts.iter().any(|mount| mount.device == number);
        MapFact {
            name: map.wwid.to_string(),
            wwid: map.wwid.clone(),
            number,
            size: map.size,
            paths: names(&disks),
            usable: names(&up),
            open_count: u32::from(mounted) + u32::from(self.opened.contains(&map.wwid)),
            holders: Vec::new(),
        }
    }

    fn path_up(&self, disk: &Disk) -> bool {
        let session = self.sessions.iter().find(|session| session.sid == disk.host);
        session.is_some_and(|session| !self.dead.contains(&session.portal.socket_addr()))
    }

    fn path_fact(&self, disk: &Disk) -> PathFact {
        let up = self.path_up(disk);
        let lun = self.lun_of(disk);
        let map = self.maps.iter().find(|map| map.wwid == disk.seen);
        PathFact {
            name: disk.name.clone(),
            hctl: Hctl { host: disk.host, channel: 0, id: 0, lun: LunNumber(disk.lun) },
            number: DeviceNumber { major: 8, minor: 16 * disk.host },
            sid: Some(disk.host),
            state: if up { PathState::Running } else { PathState::TransportOffline },
            identity: match lun {
                _ if !up => Probe::unknown("transport offline"),
                Some(lun) => Probe::Present(lun.identity.clone()),
                None => Probe::unknown("ILLEGAL REQUEST, logical unit not supported"),
            },
            size: match lun {
                Some(lun) if up => Probe::Present(lun.size),
                _ => Probe::unknown("no answer"),
            },
            holders: map.map(|map| format!("dm-{}", map.minor)).into_iter().collect(),
            mounted: false,
        }
    }

    pub fn observe(&mut self, query: &Query) -> Facts {
        self.generation += 1;
        let mut facts = Facts::nothing(self.generation);
        let iscsi = match &query.attachment {
            Some(PublishContext::Iscsi(iscsi)) => Some(iscsi),
            _ => None,
        };
        let place = query.staging.as_ref().or(query.target.as_ref());
        let shown = place
            .filter(|_| query.attachment.is_none())
            .and_then(|place| self.mounts.iter().rfind(|mount| mount.mount_point == place.as_str()).cloned());
        let staged = shown.as_ref().map(|mount| mount.node_of.unwrap_or(mount.device));
        let shown = shown.filter(|mount| mount.node_of.is_none()).map(|mount| mount.device);
        let map = self.maps.iter().find(|map| match iscsi {
            Some(iscsi) => map.wwid == iscsi.identity.wwid,
            None => staged == Some(DeviceNumber { major: 253, minor: map.minor }),
        });
        let map_fact = map.map(|map| self.map_fact(map));
        if query.paths {
            let wwid = iscsi.map(|iscsi| &iscsi.identity.wwid).or(map.map(|map| &map.wwid));
            let target = iscsi.map(|iscsi| iscsi.target.clone()).or_else(|| {
                let disk = self.disks.iter().find(|disk| Some(&disk.seen) == wwid)?;
                self.sessions
                    .iter()
                    .find(|session| session.sid == disk.host)
                    .map(|session| session.target.clone())
            });
            facts.sessions = self.session_facts(target.as_ref(), iscsi.map(|iscsi| iscsi.lun.0), wwid);
            let of_target = self.records.iter().filter(|(of, _)| Some(of) == target.as_ref());
            facts.node_records = of_target.map(|(_, portal)| *portal).collect();
            let hosts: BTreeSet<u32> = facts.sessions.iter().map(|session| session.host).collect();
            let wanted = |disk: &&Disk| {
                let here = iscsi.is_some_and(|iscsi| disk.lun == iscsi.lun.0) && hosts.contains(&disk.host);
                here || Some(&disk.seen) == wwid
            };
            facts.paths = self.disks.iter().filter(wanted).map(|disk| self.path_fact(disk)).collect();
        }
        facts.mounts = self
            .mounts
            .iter()
            .filter(|mount| {
                let at = |path: &Option<_>| {
                    path.as_ref()
                        .is_some_and(|path: &agent_core::path::HostPath| path.contains(&mount.mount_point))
                };
                let of_map = map_fact
                    .as_ref()
                    .is_some_and(|map| mount.device == map.number || mount.node_of == Some(map.number));
                let of_export = matches!(&query.attachment, Some(PublishContext::Nfs(nfs))
                    if mount.fs_type.starts_with("nfs") && nfs.is_source(&mount.source));
                at(&query.staging) || at(&query.target) || of_map || of_export || shown == Some(mount.device)
            })
            .cloned()
            .collect();
        if let Some(target) = &query.target {
            let covered = self.mounts.iter().any(|mount| mount.mount_point == target.as_str());
            facts.target = match self.files.get(target.as_str()) {
                _ if covered => Probe::unknown("a mount is there"),
                Some(kind) => Probe::Present(*kind),
                None => Probe::Absent,
            };
        }
        if query.content {
            facts.content = self.content(map_fact.as_ref());
        }
        facts.map = map_fact.map_or(Probe::Absent, Probe::Present);
        facts.host = query.host.then(fit_host);
        facts.daemons = query.daemons.then(|| fit_host().daemons);
        facts
    }

    fn session_facts(&self, target: Option<&Iqn>, lun: Option<u16>, wwid: Option<&Wwid>) -> Vec<SessionFact> {
        let ours = |disk: &&Disk| Some(&disk.seen) == wwid || Some(disk.lun) == lun;
        let of_target = self.sessions.iter().filter(|session| Some(&session.target) == target);
        let fact = |session: &Session| SessionFact {
            sid: session.sid,
            host: session.sid,
            target: session.target.clone(),
            portal: session.portal,
            state: match self.dead.contains(&session.portal.socket_addr()) {
                true => SessionState::Failed,
                false => SessionState::LoggedIn,
            },
            other_luns: self.disks.iter().filter(|disk| disk.host == session.sid && !ours(disk)).count()
                as u32,
        };
        of_target.map(fact).collect()
    }

    fn content(&self, map: Option<&MapFact>) -> Probe<Content> {
        let Some(map) = map else { return Probe::Absent };
        let Some(lun) = self.luns.values().find(|lun| lun.identity.wwid == map.wwid) else {
            return Probe::unknown("no answer");
        };
        match &lun.data {
            Data::Zeros => Probe::Present(Content::Blank(BlankScan {
                device: map.number,
                size: map.size,
                areas: signature_areas(map.size),
            })),
            Data::Filesystem(kind) => {
                let uuid = "0b9b1a9e-1111-2222-3333-444455556666".to_owned();
                Probe::Present(Content::Filesystem(Filesystem { kind: *kind, uuid }))
            }
            Data::Foreign(what) => Probe::Present(Content::Foreign((*what).to_owned())),
            Data::Unreadable => Probe::unknown("read at 0: Input/output error"),
        }
    }

    pub fn apply(&mut self, step: Step, context: &ApplyContext) -> Result<Outcome, StepError> {
        let name = step.to_string();
        self.applied.push(name.clone());
        let fail = |disposition, cause: &str| {
            Err(StepError { step: name.clone(), cause: Box::new(Said(cause.to_owned())), disposition })
        };
        let changed = Ok(Outcome::Changed);
        match step {
            Step::EnsureDirectory { path } => self.files.insert(path.to_string(), PathKind::Directory),
            Step::EnsureFile { path } => self.files.insert(path.to_string(), PathKind::File),
            Step::RemoveDirectory { path } | Step::RemoveFile { path } => {
                if self.mounts.iter().any(|mount| mount.mount_point == path.as_str()) {
                    return fail(Disposition::Transient, "busy");
                }
                self.files.remove(path.as_str())
            }
            Step::MountNfs { server, export, at, .. } => {
                let id = self.number();
                let device = DeviceNumber { major: 0, minor: 100 + id };
                self.push_mount(device, "/", at.as_str(), "nfs4", &format!("{server}:{export}"), false);
                return changed;
            }
            Step::LogIn { target, portal, authenticated } => {
                if !self.records.contains(&(target.clone(), portal)) {
                    self.records.push((target.clone(), portal));
                }
                if self.dead.contains(&portal.socket_addr()) {
                    return fail(Disposition::Transient, "connection timed out");
                }
                if self.chap.is_some() && (!authenticated || context.chap != self.chap) {
                    return fail(Disposition::Refused, "authentication failed");
                }
                if self.sessions.iter().any(|known| known.target == target && known.portal == portal) {
                    return Ok(Outcome::AlreadySo);
                }
                let sid = self.number();
                self.sessions.push(Session { sid, target, portal });
                return changed;
            }
            Step::LogOut { sid, target, portal } => {
                let lost: Vec<Disk> = self.disks.iter().filter(|disk| disk.host == sid).cloned().collect();
                for disk in lost {
                    self.harm.push(format!("logout of session {sid} took {} away", disk.name));
                }
                self.disks.retain(|disk| disk.host != sid);
                self.sessions.retain(|session| session.sid != sid);
                self.records.retain(|record| *record != (target.clone(), portal));
                return changed;
            }
            Step::ForgetPortal { target, portal } => {
                self.records.retain(|record| *record != (target.clone(), portal));
                return changed;
            }
            Step::ScanLun { host, lun, .. } => return self.scan(host, lun, fail),
            Step::AwaitMap { wwid, .. } => {
                let map = self.maps.iter().find(|map| map.wwid == wwid).map(|map| self.map_fact(map));
                if map.is_none_or(|map| map.usable.is_empty()) {
                    return fail(Disposition::Transient, "no map came");
                }
                return Ok(Outcome::AlreadySo);
            }
            Step::AwaitIdle { wwid } => {
                if self.opened.contains(&wwid) {
                    return fail(Disposition::Transient, "the device is open");
                }
                return changed;
            }
            Step::StopQueueing { .. } | Step::FlushMap { .. } => return changed,
            Step::DeletePath { disk } => {
                let what = disk.what();
                let (name, host) = (what.name.clone(), what.hctl.host);
                let used = self.disks.iter().find(|disk| disk.name == name && self.map_in_use(&disk.seen));
                if let Some(disk) = used {
                    self.harm.push(format!("{} deleted under a mount", disk.name));
                }
                self.disks.retain(|disk| !(disk.name == name && disk.host == host));
                return changed;
            }
            Step::RemoveMap { map } => {
                let wwid = map.what().wwid.clone();
                if self.map_in_use(&wwid) {
                    return fail(Disposition::Transient, "device-mapper: busy");
                }
                if self.disks.iter().any(|disk| disk.seen == wwid) {
                    self.harm.push("map removed before its disks: it comes back".to_owned());
                    return changed;
                }
                self.maps.retain(|map| map.wwid != wwid);
                return changed;
            }
            Step::MakeFilesystem { device, fs, .. } => {
                let wwid = device.what().wwid.clone();
                if self.map_in_use(&wwid) {
                    self.harm.push("formatted while in use".to_owned());
                }
                if let Some(lun) = self.data_of(&wwid) {
                    if lun.data != Data::Zeros {
                        let harm = format!("formatted {wwid}, which held {:?}", lun.data);
                        lun.data = Data::Filesystem(fs);
                        self.harm.push(harm);
                    } else {
                        lun.data = Data::Filesystem(fs);
                    }
                }
                return changed;
            }
            Step::MountDevice { device, fs, at, options } => {
                return self.mount_device(&device, fs, at.as_str(), &options, fail);
            }
            Step::BindMount { from, to, read_only } => {
                let Some(source) =
                    self.mounts.iter().rfind(|mount| mount.mount_point == from.as_str()).cloned()
                else {
                    return fail(Disposition::Broken, "nothing to bind");
                };
                let id = self.number();
                let mount_point = to.to_string();
                self.mounts.push(MountFact { id, mount_point, read_only, ..source });
                return changed;
            }
            Step::BindDevice { device, to, read_only } => {
                let number = device.what().number;
                let root = format!("/dm-{}", number.minor);
                let devtmpfs = DeviceNumber { major: 0, minor: 5 };
                self.push_mount(devtmpfs, &root, to.as_str(), "devtmpfs", "devtmpfs", read_only);
                if let Some(mount) = self.mounts.last_mut() {
                    mount.node_of = Some(number);
                    mount.super_options = "rw".to_owned();
                }
                return changed;
            }
            Step::Unmount { mount_id, detach, .. } => {
                let below = self.mounts.iter().any(|mount| mount.parent == mount_id);
                if below && !detach {
                    return fail(Disposition::Transient, "target is busy");
                }
                self.mounts.retain(|mount| mount.id != mount_id && mount.parent != mount_id);
                return changed;
            }
        };
        changed
    }

    fn map_in_use(&self, wwid: &Wwid) -> bool {
        let map = self.maps.iter().find(|map| map.wwid == *wwid).map(|map| self.map_fact(map));
        map.is_some_and(|map| map.open_count > 0)
    }

    fn scan(
        &mut self,
        host: u32,
        lun: LunNumber,
        fail: impl Fn(Disposition, &str) -> Result<Outcome, StepError>,
    ) -> Result<Outcome, StepError> {
        let Some(session) = self.sessions.iter().find(|session| session.sid == host) else {
            return fail(Disposition::Transient, "no such host");
        };
        let Some(found) = self.luns.get(&(session.target.clone(), lun.0)).cloned() else {
            return fail(Disposition::NotYet, "no such LUN");
        };
        if self.disks.iter().any(|disk| disk.host == host && disk.lun == lun.0) {
            return Ok(Outcome::AlreadySo);
        }
        let (number, minor) = (self.number(), self.number());
        let seen = found.identity.wwid;
        self.disks.push(Disk { name: format!("sd{number}"), host, lun: lun.0, seen: seen.clone() });
        if !self.maps.iter().any(|map| map.wwid == seen) {
            self.maps.push(Map { wwid: seen, minor, size: found.size });
        }
        Ok(Outcome::Changed)
    }

    fn mount_device(
        &mut self,
        device: &Verified<Device>,
        fs: FsType,
        at: &str,
        options: &[String],
        fail: impl Fn(Disposition, &str) -> Result<Outcome, StepError>,
    ) -> Result<Outcome, StepError> {
        let Device { wwid, number, .. } = device.what().clone();
        match self.data_of(&wwid).map(|lun| lun.data.clone()) {
            Some(Data::Filesystem(kind)) if kind == fs => {}
            _ => return fail(Disposition::Broken, "wrong fs type, bad superblock"),
        }
        let read_only = options.iter().any(|option| option == "ro");
        self.push_mount(number, "/", at, fs.as_str(), &format!("/dev/mapper/{wwid}"), read_only);
        Ok(Outcome::Changed)
    }
}

/// A host with everything.
pub fn fit_host() -> HostFacts {
    HostFacts {
        kernel: "6.1.0-model".to_owned(),
        addresses: vec!["192.168.49.11".parse().expect("an address")],
        initiator: Probe::Present("iqn.1993-08.org.debian:01:model".parse().expect("a name")),
        daemons: [Daemon::Iscsid, Daemon::Multipathd].map(|daemon| (daemon, Probe::Present(()))).into(),
        kernel_features: [
            KernelFeature::Nfs,
            KernelFeature::IscsiTcp,
            KernelFeature::DmMultipath,
            KernelFeature::Ext4,
            KernelFeature::Xfs,
        ]
        .map(|feature| (feature, Probe::Present(())))
        .into(),
        programs: [Program::Iscsiadm, Program::MkfsExt4, Program::MkfsXfs]
            .map(|program| (program, Probe::Present(())))
            .into(),
    }
}

/// A LUN whose identity is derived from one digit.
pub fn lun(digit: u8, data: Data) -> Lun {
    let identity = DeviceIdentity {
        wwid: format!("3600a0980{:024x}", digit).parse().expect("a WWID"),
        serial: format!("serial-{digit}").parse().expect("a serial"),
    };
    Lun { identity, size: GIB, data }
}

pub fn portal(last: u8) -> Portal {
    Portal { address: [192, 168, 49, last].into(), port: 3260, tag: 1000 + u16::from(last) }
}

pub fn target(name: &str) -> Iqn {
    format!("iqn.1992-08.com.netapp:sn.{name}:vs.1").parse().expect("a name")
}

/// The attachment of `lun` under `number` of `target`, behind two portals.
pub fn attachment(target: &Iqn, number: u16, lun: &Lun) -> IscsiAttachment {
    IscsiAttachment {
        target: target.clone(),
        portals: vec![portal(21), portal(22)],
        lun: LunNumber(number),
        identity: lun.identity.clone(),
        size: lun.size,
        authenticated: false,
        default_fs: FsType::Ext4,
    }
}

pub fn export() -> NfsAttachment {
    NfsAttachment {
        server: [192, 168, 49, 31].into(),
        export: "/trident_pvc_1".to_owned(),
        mount_options: vec!["nconnect=4".to_owned()],
    }
}
