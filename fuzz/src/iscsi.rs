//! The iSCSI target on stage, and an initiator that knows how to log in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use blockstore::Volume;
use iscsi_target::{
    Auth, AuthPolicy, BlockSize, ChapSecret, Identity, IscsiServer, Lun, PortGroup, Portal, Target,
    Visibility,
};
use levers::EventLog;
use tokio::runtime::Runtime;

use crate::Connection;
use crate::wire::u32_at;

/// Everybody is let in here; LUN 0 has 512e blocks and ALUA, LUN 1 has 4096-byte blocks and is read-only.
pub const OPEN: &str = "iqn.2026-11.example:open";
/// Only by CHAP, and mutual for those who ask.
pub const CHAP: &str = "iqn.2026-11.example:chap";
const SIZE: u64 = 4 << 20;

/// A server with both targets on one portal.
pub fn build(runtime: &Runtime) -> (SocketAddr, IscsiServer) {
    runtime.block_on(async {
        let server = IscsiServer::new(EventLog::new());
        let group = PortGroup { id: 1000, relative_port: 1 };
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let portal = server.bind_portal(Portal { listen, tag: 1030, group }).await.expect("a portal");
        let chap = Auth::Chap {
            user: "node".into(),
            secret: ChapSecret::new("initiatorsecret"),
            mutual: Some(("array".into(), ChapSecret::new("targetsecret00"))),
        };
        for (iqn, auth) in [(OPEN, Auth::Open), (CHAP, chap)] {
            server.put_target(Target {
                iqn: iqn.into(),
                alias: Some("fuzz".into()),
                portals: vec![portal],
                auth: AuthPolicy { default: auth, initiators: BTreeMap::new() },
                luns: vec![
                    lun(0, BlockSize::Emulated512),
                    Lun {
                        read_only: true,
                        optimized_groups: BTreeSet::new(),
                        ..lun(1, BlockSize::Native4096)
                    },
                ],
            });
        }
        (portal, server)
    })
}

fn lun(number: u16, block_size: BlockSize) -> Lun {
    let identity = Identity {
        vendor: "NETAPP".into(),
        product: "LUN C-Mode".into(),
        revision: "9151".into(),
        serial: format!("81DaR$Qq/1i{number}"),
        naa: *b"\x60\x0a\x09\x8081DaR$Qq/1ii",
        eui: Some(*b"mn4y\x00\x00\x01\x69\xf4\x7a\xcc\x01\x00\x00\x00\x00"),
        t10: "LUN".into(),
    };
    Lun {
        number,
        volume: Volume::new(SIZE),
        identity,
        block_size,
        access: Visibility::Everyone,
        thin: true,
        read_only: false,
        optimized_groups: BTreeSet::from([1000]),
        governor: None,
    }
}

/// A PDU: `header` with the length of `data` put in, and `data` padded.
pub fn pdu(mut header: [u8; 48], data: &[u8]) -> Vec<u8> {
    header[4] = 0;
    header[5..8].copy_from_slice(&(data.len() as u32).to_be_bytes()[1..]);
    let mut pdu = header.to_vec();
    pdu.extend_from_slice(data);
    pdu.resize(pdu.len().next_multiple_of(4), 0);
    pdu
}

/// The header of a login request from the security or operational stage to the next one.
pub fn login_header(flags: u8) -> [u8; 48] {
    let mut header = [0; 48];
    header[0] = 0x43;
    header[1] = flags;
    header[8] = 0x80;
    header[27] = 1;
    header
}

impl Connection {
    /// Logs in to [`OPEN`], with small bursts so that R2Ts are in the play.
    pub async fn log_in(&mut self) -> Option<()> {
        let text = format!(
            "InitiatorName=iqn.2026-11.example:a\0SessionType=Normal\0TargetName={OPEN}\0InitialR2T=No\0\
             ImmediateData=Yes\0FirstBurstLength=512\0MaxBurstLength=1024\0MaxRecvDataSegmentLength=512\0"
        );
        self.send(&pdu(login_header(0x87), text.as_bytes())).await;
        let (header, _) = self.receive_pdu().await?;
        (header[0] & 0x3f == 0x23 && header[36] == 0).then_some(())
    }

    /// The next PDU with its data; `None` when the target closed.
    pub async fn receive_pdu(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        let header = self.receive(48).await?;
        let length = u32_at(&header, 4) as usize & 0xff_ffff;
        let data = self.receive(length.next_multiple_of(4)).await?;
        Some((header, data))
    }
}
