//! Our side of the comparison: the iSCSI target and the NFS server in one process, as a simulator
//! has them, with memory behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Result;
use blockstore::Volume;
use iscsi_target::{
    Auth, AuthPolicy, BlockSize, Identity, IscsiServer, Lun, PortGroup, Portal, Target, Visibility,
};
use levers::EventLog;
use nfs_server::{AuthRule, Export, ExportPolicy, ExportRule, FileTree, NfsServer, RootAttributes};

/// Size of the unit under test, in bytes.
pub(crate) const SPAN: usize = 256 << 20;
/// Our portal.
pub(crate) const ISCSI: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3261);
/// Our target.
pub(crate) const TARGET: &str = "iqn.1992-08.com.netapp:sn.19d04b8e94d711e88370005056b48fd2:vs.4";
/// Our LIF; MOUNT answers there too.
pub(crate) const NFS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 2149);
/// Our export.
pub(crate) const EXPORT: &str = "/vol1";

/// Serves until it is killed.
pub(crate) fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let events = EventLog::new();
        let iscsi = IscsiServer::new(events.clone());
        let group = PortGroup { id: 1000, relative_port: 1 };
        let portal = iscsi.bind_portal(Portal { listen: ISCSI, tag: 1030, group }).await?;
        iscsi.put_target(target(portal, vec![unit(1, Volume::new(SPAN as u64))]));
        let nfs = NfsServer::new(events);
        nfs.put_export(export(EXPORT));
        nfs.bind_lif(NFS).await?;
        std::future::pending::<()>().await;
        Ok(())
    })
}

/// The target of an SVM that lets everybody in.
pub(crate) fn target(portal: SocketAddr, luns: Vec<Lun>) -> Target {
    Target {
        iqn: TARGET.into(),
        alias: None,
        portals: vec![portal],
        auth: AuthPolicy { default: Auth::Open, initiators: BTreeMap::new() },
        luns,
    }
}

/// A LUN with an array's identity.
pub(crate) fn unit(number: u16, volume: Volume) -> Lun {
    let serial = format!("tine-bench-{number:04}");
    let mut naa = [0; 16];
    for (place, byte) in naa.iter_mut().zip([0x60, 0x0a, 0x09, 0x80].into_iter().chain(serial.bytes())) {
        *place = byte;
    }
    Lun {
        number,
        volume,
        identity: Identity {
            vendor: "NETAPP".into(),
            product: "LUN C-Mode".into(),
            revision: "9151".into(),
            t10: format!("LUN {serial}"),
            serial,
            naa,
            eui: None,
        },
        block_size: BlockSize::Emulated512,
        access: Visibility::Everyone,
        thin: true,
        read_only: false,
        optimized_groups: BTreeSet::from([1000]),
        governor: None,
    }
}

/// A volume of 4 GiB that everybody may write to.
pub(crate) fn export(path: &str) -> Export {
    let clients = ["0.0.0.0/0"].iter().filter_map(|text| text.parse().ok()).collect();
    let rule = ExportRule {
        index: 1,
        clients,
        ro: AuthRule::Any,
        rw: AuthRule::Any,
        superuser: AuthRule::Any,
        anonymous_uid: 65534,
    };
    let policy = Arc::new(ExportPolicy { name: "everyone".into(), rules: vec![rule] });
    let tree = FileTree::new(4 << 30, RootAttributes { mode: 0o777, uid: 0, gid: 0 });
    Export { path: path.into(), tree, policy }
}
