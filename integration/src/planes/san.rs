//! An SVM with a portal on each fabric, and a node's dm-multipath maps of its LUNs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use blockstore::Volume;
use iscsi_target::{
    Auth, AuthPolicy, BlockSize, Identity, IscsiServer, Lun, PortGroup, Portal, Target, Visibility,
};
use levers::EventLog;
use vm::{Fabric, Guest};

use crate::bare::script;

/// Name of the SVM's target.
pub const IQN: &str = "iqn.1992-08.com.netapp:sn.19d04b8e94d711e88370005056b48fd2:vs.4";
/// Its portals as SendTargets shows them, with their tags.
pub const PORTALS: [&str; 2] = ["192.168.0.101:3260,1030", "192.168.1.101:3260,1031"];

/// A LUN: thin, 512 bytes a block, optimised through fabric A.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Its number.
    pub number: u16,
    /// Its serial: twelve characters, as ONTAP's.
    pub serial: String,
    /// Its content.
    pub volume: Volume,
}

impl Unit {
    /// A LUN of `size` bytes, with a serial of its own for its number.
    pub fn new(number: u16, size: u64) -> Self {
        Self::on(number, Volume::new(size))
    }

    /// As [`Unit::new`], with this content.
    pub fn on(number: u16, volume: Volume) -> Self {
        Self { number, serial: format!("81DaR$Qq/{number:03}"), volume }
    }

    /// The name of its map in a node: `3`, NetApp's NAA prefix, the serial in hexadecimal.
    pub fn wwid(&self) -> String {
        let serial: String = self.serial.bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("3600a0980{serial}")
    }

    /// Its map's path in a node.
    pub fn map(&self) -> String {
        format!("/dev/mapper/{}", self.wwid())
    }

    fn naa(&self) -> Result<[u8; 16]> {
        let bytes = [b"\x60\x0a\x09\x80", self.serial.as_bytes()].concat();
        bytes.try_into().ok().with_context(|| format!("{} is no serial of twelve characters", self.serial))
    }
}

/// The SVM.
#[derive(Debug)]
pub struct San {
    /// Its iSCSI service.
    pub server: IscsiServer,
    /// What the service recorded.
    pub events: EventLog,
    /// Its portals: fabric A, fabric B.
    pub portals: Vec<SocketAddr>,
    /// Its LUNs.
    pub units: Vec<Unit>,
}

impl San {
    /// Starts the service on the `.101` of both fabrics; publishes nothing yet.
    ///
    /// # Errors
    /// When an address is taken.
    pub async fn start(units: Vec<Unit>) -> Result<Self> {
        let events = EventLog::new();
        let server = IscsiServer::new(events.clone());
        let mut portals = Vec::new();
        for (fabric, n) in [(Fabric::A, 0), (Fabric::B, 1)] {
            let group = PortGroup { id: 1000 + n, relative_port: 1 + n };
            let portal = Portal { listen: (fabric.at(101), 3260).into(), tag: 1030 + n, group };
            portals.push(server.bind_portal(portal).await?);
        }
        Ok(Self { server, events, portals, units })
    }

    /// Lets these initiators see every LUN, proving themselves by `auth`.
    ///
    /// # Errors
    /// When a LUN's serial is none.
    pub fn publish(&self, auth: Auth, initiators: &[String]) -> Result<()> {
        let mut luns = Vec::new();
        for unit in &self.units {
            luns.push(Lun {
                number: unit.number,
                volume: unit.volume.clone(),
                identity: Identity {
                    vendor: "NETAPP".into(),
                    product: "LUN C-Mode".into(),
                    revision: "9151".into(),
                    serial: unit.serial.clone(),
                    naa: unit.naa()?,
                    eui: None,
                    t10: format!("LUN {}", unit.serial),
                },
                block_size: BlockSize::Emulated512,
                access: Visibility::Initiators(initiators.iter().cloned().collect()),
                thin: true,
                read_only: false,
                optimized_groups: BTreeSet::from([1000]),
                governor: None,
            });
        }
        self.server.put_target(Target {
            iqn: IQN.into(),
            alias: None,
            portals: self.portals.clone(),
            auth: AuthPolicy { default: auth, initiators: BTreeMap::new() },
            luns,
        });
        Ok(())
    }

    /// Discovery (which must show every portal), login through all of them, and every map with
    /// both paths. `settings` are `iscsiadm -o update` pairs of the node records.
    ///
    /// # Errors
    /// When a portal is not shown, a login fails, or a path does not come.
    pub async fn attach(&self, guest: &Guest, settings: &[(&str, &str)]) -> Result<()> {
        let found = script(guest, "iscsiadm -m discovery -t sendtargets -p 192.168.0.101").await?;
        for portal in PORTALS {
            ensure!(found.contains(&format!("{portal} {IQN}")), "discovery does not show {portal}: {found}");
        }
        let update = |(key, value): &(&str, &str)| {
            format!("iscsiadm -m node -T {IQN} -o update -n '{key}' -v '{value}'\n")
        };
        let updates: String = settings.iter().map(update).collect();
        let log_in = format!(
            "{updates}iscsiadm -m node -T {IQN} --login
            for host in /sys/class/iscsi_host/*; do
                echo '- - -' >/sys/class/scsi_host/$(basename $host)/scan
            done
            udevadm settle"
        );
        script(guest, &log_in).await?;
        self.await_paths(guest, 2).await
    }

    /// Waits until every map has so many active paths and no other.
    ///
    /// # Errors
    /// When one has not within the time of a script.
    pub async fn await_paths(&self, guest: &Guest, active: usize) -> Result<()> {
        self.await_states(guest, &format!("[ \"$active $failed\" = '{active} 0' ]")).await
    }

    /// Waits until every map has failed a path.
    ///
    /// # Errors
    /// When one has not within the time of a script.
    pub async fn await_failed_path(&self, guest: &Guest) -> Result<()> {
        self.await_states(guest, "[ $failed -gt 0 ]").await
    }

    /// `A` and `F` of each path are what the kernel's multipath target reports (dm-mpath.c).
    async fn await_states(&self, guest: &Guest, condition: &str) -> Result<()> {
        for unit in &self.units {
            let wait = format!(
                "set +x; for i in $(seq 300); do
                    states=$(dmsetup status --target multipath {wwid} 2>/dev/null | grep -oE '[0-9]+:[0-9]+ [AF]' || true)
                    active=$(echo \"$states\" | grep -c A || true); failed=$(echo \"$states\" | grep -c F || true)
                    if {condition}; then exit 0; fi; sleep 0.2
                done
                multipath -ll >&2; multipathd show paths >&2; dmesg | tail -20 >&2; exit 1",
                wwid = unit.wwid()
            );
            script(guest, &wait).await.with_context(|| format!("waiting for {condition}"))?;
        }
        Ok(())
    }

    /// Fails if the kernel told a file system or an application of an I/O error on a map.
    ///
    /// # Errors
    /// When it did; its words are shown.
    pub async fn require_no_error(&self, guest: &Guest) -> Result<()> {
        let pattern = "I/O error, dev dm-|Buffer I/O error|EXT4-fs error|EXT4-fs.*aborted|XFS.*(error|[Ss]hutting down|orrupt)|remounting filesystem read-only";
        let log = script(guest, &format!("dmesg | grep -iE '{pattern}' || true")).await?;
        ensure!(log.trim().is_empty(), "the kernel saw errors:\n{log}");
        Ok(())
    }
}

/// Unmounts nothing: flushes the maps and logs out of every session.
///
/// # Errors
/// When a map is in use, or a session stays.
pub async fn detach(guest: &Guest) -> Result<()> {
    script(guest, "multipath -F; iscsiadm -m node --logout; ! ls /sys/class/iscsi_session/ | grep session")
        .await?;
    Ok(())
}
