//! What this host lacks, each with its cure: found at start, told once in the log and to the
//! controller, and again to whoever stages a volume that needs it (hazard H15).

use std::collections::BTreeSet;

use agent_core::facts::{Daemon, HostFacts, KernelFeature, Probe, Program, Query};
use agent_core::intent::{Stage, Usage};
use contract::{FsType, PublishContext};
use parking_lot::Mutex;

/// Something a volume may need of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    Kernel(KernelFeature),
    Daemon(Daemon),
    Program(Program),
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

    /// What is wrong, and the cure.
    fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::Kernel(KernelFeature::Nfs) => (
                "the kernel has no NFS client",
                "install the kernel's extra modules and run `modprobe nfsv4`",
            ),
            Self::Kernel(KernelFeature::IscsiTcp) => (
                "the kernel has no software iSCSI initiator",
                "install the kernel's extra modules and run `modprobe iscsi_tcp`",
            ),
            Self::Kernel(KernelFeature::DmMultipath) => (
                "the kernel has no device-mapper multipath",
                "install the kernel's extra modules and run `modprobe dm_multipath`",
            ),
            Self::Kernel(KernelFeature::Ext4) => ("the kernel has no ext4", "run `modprobe ext4`"),
            Self::Kernel(KernelFeature::Xfs) => ("the kernel has no XFS", "run `modprobe xfs`"),
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

/// The defects of this host as last seen.
#[derive(Debug, Default)]
pub struct Preflight {
    missing: Mutex<BTreeSet<(Need, String)>>,
}

/// What to observe for [`Preflight::learn`].
pub fn query() -> Query {
    Query { host: true, ..Query::default() }
}

impl Preflight {
    /// Takes note of what the host offers now.
    pub fn learn(&self, host: &HostFacts) {
        let mut missing = BTreeSet::new();
        for need in Need::ALL {
            let (what, cure) = need.text();
            match need.probe(host) {
                Probe::Present(()) => {}
                Probe::Absent => {
                    missing.insert((need, format!("{what}: {cure}")));
                }
                Probe::Unknown(why) => {
                    missing.insert((need, format!("{what} ({why}): {cure}")));
                }
            }
        }
        let mut known = self.missing.lock();
        for (_, defect) in missing.difference(&known) {
            tracing::warn!(defect, "host defect");
        }
        for (_, cured) in known.difference(&missing) {
            tracing::info!(defect = cured, "host defect cured");
        }
        *known = missing;
    }

    /// All defects, each with its cure.
    pub fn defects(&self) -> Vec<String> {
        self.missing.lock().iter().map(|(_, defect)| defect.clone()).collect()
    }

    /// Protocols this host can use, as `Fleet.Register` names them.
    pub fn protocols(&self) -> Vec<String> {
        let missing = self.missing.lock();
        let whole = |needs: &[Need]| !missing.iter().any(|(need, _)| needs.contains(need));
        [("nfs", NFS), ("iscsi", ISCSI)]
            .iter()
            .filter(|(_, needs)| whole(needs))
            .map(|(name, _)| (*name).to_owned())
            .collect()
    }

    /// Checks that nothing is missing that `stage` needs.
    ///
    /// # Errors
    /// [`Unfit`], which names everything that is missing and its cure.
    pub fn require_fit(&self, stage: &Stage) -> Result<(), Unfit> {
        let needs = needs(stage);
        let missing = self.missing.lock();
        let lacking: Vec<String> = missing
            .iter()
            .filter(|(need, _)| needs.contains(need))
            .map(|(_, defect)| defect.clone())
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

fn needs(stage: &Stage) -> Vec<Need> {
    let PublishContext::Iscsi(iscsi) = &stage.attachment else { return NFS.to_vec() };
    let filesystem: &[Need] = match &stage.usage {
        Usage::Block => &[],
        Usage::Filesystem { fs, .. } => match fs.unwrap_or(iscsi.default_fs) {
            FsType::Ext4 => &[Need::Kernel(KernelFeature::Ext4), Need::Program(Program::MkfsExt4)],
            FsType::Xfs => &[Need::Kernel(KernelFeature::Xfs), Need::Program(Program::MkfsXfs)],
        },
    };
    [ISCSI, filesystem].concat()
}
