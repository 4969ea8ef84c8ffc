//! What this host lacks, each with its cure: found at start, told once in the log and to the
//! controller, and again to whoever stages a volume that needs it (hazard H15).

use std::collections::{BTreeMap, BTreeSet};

use agent_core::facts::{Daemon, HostFacts, KernelFeature, Probe, Program, Query};
use agent_core::intent::{Stage, Usage};
use contract::{FsType, PublishContext};
use parking_lot::Mutex;

/// Something a volume may need of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// A part of the kernel.
    Kernel(KernelFeature),
    /// A daemon that answers.
    Daemon(Daemon),
    /// A program.
    Program(Program),
    /// A name to log in with.
    InitiatorName,
}

impl Need {
    const ALL: [Self; 11] = [
        Self::Kernel(KernelFeature::Nfs),
        Self::Kernel(KernelFeature::IscsiTcp),
        Self::Kernel(KernelFeature::DmMultipath),
        Self::Kernel(KernelFeature::Ext4),
        Self::Kernel(KernelFeature::Xfs),
        Self::Daemon(Daemon::Iscsid),
        Self::Daemon(Daemon::Multipathd),
        Self::Program(Program::Iscsiadm),
        Self::Program(Program::MkfsExt4),
        Self::Program(Program::MkfsXfs),
        Self::InitiatorName,
    ];

    /// Whether it can be gone while the agent runs, so that an earlier look tells nothing.
    pub fn may_vanish(self) -> bool {
        matches!(self, Self::Daemon(_))
    }

    /// What is wrong, and the cure.
    fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::Kernel(KernelFeature::Nfs) => (
                "the kernel has no NFS client",
                "install the kernel's extra modules, run `depmod -a` and then `modprobe nfsv4`",
            ),
            Self::Kernel(KernelFeature::IscsiTcp) => (
                "the kernel has no software iSCSI initiator",
                "install the kernel's extra modules, run `depmod -a` and then `modprobe iscsi_tcp`",
            ),
            Self::Kernel(KernelFeature::DmMultipath) => (
                "the kernel has no device-mapper multipath",
                "install the kernel's extra modules, run `depmod -a` and then `modprobe dm_multipath`",
            ),
            Self::Kernel(KernelFeature::Ext4) => {
                ("the kernel has no ext4", "run `depmod -a` and then `modprobe ext4`")
            }
            Self::Kernel(KernelFeature::Xfs) => {
                ("the kernel has no XFS", "run `depmod -a` and then `modprobe xfs`")
            }
            Self::Daemon(Daemon::Iscsid) => {
                ("iscsid does not answer", "install open-iscsi (iscsi-initiator-utils) and start iscsid")
            }
            Self::Daemon(Daemon::Multipathd) => (
                "multipathd does not answer",
                "install multipath-tools (device-mapper-multipath) and start multipathd",
            ),
            Self::Program(Program::Iscsiadm) => {
                ("iscsiadm is missing", "install open-iscsi (iscsi-initiator-utils)")
            }
            Self::Program(Program::MkfsExt4) => ("mkfs.ext4 is missing", "install e2fsprogs"),
            Self::Program(Program::MkfsXfs) => ("mkfs.xfs is missing", "install xfsprogs"),
            Self::InitiatorName => (
                "this node has no iSCSI initiator name",
                "write `InitiatorName=` and the output of `iscsi-iname` to /etc/iscsi/initiatorname.iscsi",
            ),
        }
    }

    fn probe(self, host: &HostFacts) -> Probe<()> {
        let found = match self {
            Self::Kernel(feature) => host.kernel_features.get(&feature),
            Self::Daemon(daemon) => host.daemons.get(&daemon),
            Self::Program(program) => host.programs.get(&program),
            Self::InitiatorName => {
                return match &host.initiator {
                    Probe::Present(_) => Probe::Present(()),
                    Probe::Absent => Probe::Absent,
                    Probe::Unknown(why) => Probe::Unknown(why.clone()),
                };
            }
        };
        found.cloned().unwrap_or_else(|| Probe::unknown("it was not looked for"))
    }
}

/// Something is missing that a volume needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this node cannot stage the volume: {}", .0.join("; "))]
pub struct Unfit(Vec<String>);

/// One thing that was not found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Defect {
    need: Need,
    /// What is wrong, and the cure.
    text: String,
    /// It was looked for completely. What merely could not be told is reported, but keeps no
    /// volume from being tried.
    certain: bool,
}

/// The defects of this host as last seen.
#[derive(Debug, Default)]
pub struct Preflight {
    defects: Mutex<BTreeSet<Defect>>,
}

fn defect(need: Need, probe: Probe<()>) -> Option<Defect> {
    let (what, cure) = need.text();
    match probe {
        Probe::Present(()) => None,
        Probe::Absent => Some(Defect { need, text: format!("{what}: {cure}"), certain: true }),
        Probe::Unknown(why) => {
            let text = format!("it cannot be told whether {what} ({why}): if so, {cure}");
            Some(Defect { need, text, certain: false })
        }
    }
}

/// What to observe for [`Preflight::learn_daemons`].
pub fn daemons_query() -> Query {
    Query { daemons: true, ..Query::default() }
}

/// What to observe for [`Preflight::learn`].
pub fn query() -> Query {
    Query { host: true, ..Query::default() }
}

impl Preflight {
    /// Takes note of what the host offers now.
    pub fn learn(&self, host: &HostFacts) {
        let seen = Need::ALL.into_iter().filter_map(|need| defect(need, need.probe(host)));
        self.note(seen.collect());
    }

    /// Takes note of which daemons answer now; all else stays as it was seen last.
    pub fn learn_daemons(&self, daemons: &BTreeMap<Daemon, Probe<()>>) {
        let is_daemon = |need: &Need| matches!(need, Need::Daemon(_));
        let kept: Vec<_> =
            self.defects.lock().iter().filter(|defect| !is_daemon(&defect.need)).cloned().collect();
        let seen = daemons.iter().filter_map(|(daemon, probe)| defect(Need::Daemon(*daemon), probe.clone()));
        self.note(seen.chain(kept).collect());
    }

    fn note(&self, seen: BTreeSet<Defect>) {
        let mut known = self.defects.lock();
        for defect in seen.difference(&known) {
            tracing::warn!(defect = defect.text, "host defect");
        }
        for cured in known.difference(&seen) {
            tracing::info!(defect = cured.text, "host defect cured");
        }
        *known = seen;
    }

    /// All defects, each with its cure.
    pub fn defects(&self) -> Vec<String> {
        self.defects.lock().iter().map(|defect| defect.text.clone()).collect()
    }

    /// Protocols this host can use, as `Fleet.Register` names them.
    pub fn protocols(&self) -> Vec<String> {
        let usable =
            [("nfs", NFS), ("iscsi", ISCSI)].into_iter().filter(|(_, needs)| self.require(needs).is_ok());
        usable.map(|(name, _)| name.to_owned()).collect()
    }

    /// Checks that nothing of `needs` is missing.
    ///
    /// # Errors
    /// [`Unfit`], which names everything that is missing and its cure.
    pub fn require(&self, needs: &[Need]) -> Result<(), Unfit> {
        let defects = self.defects.lock();
        let lacking: Vec<String> = defects
            .iter()
            .filter(|defect| defect.certain && needs.contains(&defect.need))
            .map(|defect| defect.text.clone())
            .collect();
        if lacking.is_empty() { Ok(()) } else { Err(Unfit(lacking)) }
    }
}

const NFS: &[Need] = &[Need::Kernel(KernelFeature::Nfs)];
const ISCSI: &[Need] = &[
    Need::Kernel(KernelFeature::IscsiTcp),
    Need::Kernel(KernelFeature::DmMultipath),
    Need::Daemon(Daemon::Iscsid),
    Need::Daemon(Daemon::Multipathd),
    Need::Program(Program::Iscsiadm),
    Need::InitiatorName,
];

/// What every step of staging a volume needs, short of formatting it.
pub fn needs_of(stage: &Stage) -> Vec<Need> {
    let PublishContext::Iscsi(iscsi) = &stage.attachment else { return NFS.to_vec() };
    let filesystem: &[Need] = match &stage.usage {
        Usage::Block => &[],
        Usage::Filesystem { fs, .. } => match fs.unwrap_or(iscsi.default_fs) {
            FsType::Ext4 => &[Need::Kernel(KernelFeature::Ext4)],
            FsType::Xfs => &[Need::Kernel(KernelFeature::Xfs)],
        },
    };
    [ISCSI, filesystem].concat()
}

/// What formatting needs: a volume that has its filesystem can be mounted without.
pub fn needs_to_format(fs: FsType) -> [Need; 1] {
    [Need::Program(match fs {
        FsType::Ext4 => Program::MkfsExt4,
        FsType::Xfs => Program::MkfsXfs,
    })]
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_core::facts::Unreadable;

    fn host(daemon: Probe<()>) -> HostFacts {
        HostFacts {
            kernel: "6.1".to_owned(),
            addresses: Vec::new(),
            initiator: Probe::Present("iqn.1993-08.org.debian:01:a".parse().unwrap()),
            daemons: BTreeMap::from([(Daemon::Iscsid, Probe::Present(())), (Daemon::Multipathd, daemon)]),
            kernel_features: [KernelFeature::Nfs, KernelFeature::IscsiTcp, KernelFeature::DmMultipath]
                .map(|feature| (feature, Probe::Present(())))
                .into(),
            programs: BTreeMap::from([
                (Program::Iscsiadm, Probe::Present(())),
                (Program::MkfsXfs, Probe::Absent),
            ]),
        }
    }

    #[test]
    fn what_is_missing_is_named_with_its_cure_and_stops_only_who_needs_it() {
        let preflight = Preflight::default();
        preflight.learn(&host(Probe::Absent));
        let error = preflight.require(ISCSI).unwrap_err().to_string();
        assert!(
            error.contains("multipathd does not answer") && error.contains("install multipath-tools"),
            "{error}"
        );
        assert!(preflight.require(NFS).is_ok());
        assert_eq!(preflight.protocols(), ["nfs"]);
        assert!(preflight.require(&needs_to_format(FsType::Xfs)).is_err());
        assert!(preflight.require(&needs_to_format(FsType::Ext4)).is_ok(), "not looked for is not missing");
        preflight.learn(&host(Probe::Present(())));
        assert_eq!(preflight.protocols(), ["nfs", "iscsi"]);
    }

    #[test]
    fn a_look_at_the_daemons_alone_changes_nothing_else() {
        let preflight = Preflight::default();
        preflight.learn(&host(Probe::Present(())));
        let defects = preflight.defects();
        assert!(defects.iter().any(|defect| defect.contains("mkfs.xfs")), "{defects:?}");
        preflight.learn_daemons(&BTreeMap::from([(Daemon::Multipathd, Probe::Absent)]));
        assert_eq!(preflight.defects().len(), defects.len() + 1);
        assert!(preflight.require(ISCSI).is_err());
        preflight.learn_daemons(&BTreeMap::from([(Daemon::Multipathd, Probe::Present(()))]));
        assert_eq!(preflight.defects(), defects);
    }

    #[test]
    fn what_cannot_be_told_is_reported_and_stops_nobody() {
        let preflight = Preflight::default();
        preflight.learn(&host(Probe::Unknown(Unreadable("permission denied".to_owned()))));
        assert!(preflight.require(ISCSI).is_ok());
        assert!(preflight.defects().iter().any(|defect| defect.contains("permission denied")));
    }
}
