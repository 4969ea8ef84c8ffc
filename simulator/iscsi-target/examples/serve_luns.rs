//! A small array for foreign initiators: one ONTAP-like target with ALUA on every address given,
//! one SolidFire-like target with CHAP. `serve_luns 127.0.0.1:13260 127.0.0.1:13261`; ends with stdin.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use anyhow::Context;
use blockstore::Volume;
use iscsi_target::{
    Auth, AuthPolicy, BlockSize, ChapSecret, Identity, IscsiServer, Lun, PortGroup, Portal, Target,
    Visibility,
};
use levers::EventLog;
use tokio::io::AsyncReadExt;

const SIZE: u64 = 256 << 20;

fn ontap_lun(number: u16, serial: &str) -> Lun {
    let mut naa = [0; 16];
    naa[..4].copy_from_slice(&[0x60, 0x0a, 0x09, 0x80]);
    for (place, byte) in naa[4..].iter_mut().zip(serial.bytes()) {
        *place = byte;
    }
    let identity = Identity {
        vendor: "NETAPP".into(),
        product: "LUN C-Mode".into(),
        revision: "9151".into(),
        serial: serial.into(),
        naa,
        eui: None,
        t10: format!("LUN {serial}"),
    };
    Lun {
        number,
        volume: Volume::new(SIZE),
        identity,
        block_size: BlockSize::Emulated512,
        access: Visibility::Everyone,
        thin: true,
        read_only: false,
        optimized_groups: BTreeSet::from([1000]),
        governor: None,
    }
}

fn solidfire_lun() -> Lun {
    let eui = *b"mn4y\x00\x00\x01\x69\xf4\x7a\xcc\x01\x00\x00\x00\x00";
    let text: String = eui.iter().map(|byte| format!("{byte:02x}")).collect();
    let identity = Identity {
        vendor: "SolidFir".into(),
        product: "SSD SAN".into(),
        revision: "0001".into(),
        serial: text.clone(),
        naa: *b"\x6f\x47\xac\xc1\x00\x00\x00\x00mn4y\x00\x00\x01\x69",
        eui: Some(eui),
        t10: text,
    };
    Lun { identity, optimized_groups: BTreeSet::new(), ..ontap_lun(0, "") }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = IscsiServer::new(EventLog::new());
    let mut portals = Vec::new();
    for (argument, n) in std::env::args().skip(1).zip(0u16..) {
        let listen: SocketAddr = argument.parse().with_context(|| format!("{argument} is no address"))?;
        let group = PortGroup { id: 1000 + n, relative_port: 1 + n };
        let portal = Portal { listen, tag: 1030 + n, group };
        portals.push(server.bind_portal(portal).await?);
    }
    server.put_target(Target {
        iqn: "iqn.1992-08.com.netapp:sn.19d04b8e94d711e88370005056b48fd2:vs.4".into(),
        alias: None,
        portals: portals.clone(),
        auth: AuthPolicy { default: Auth::Open, initiators: BTreeMap::new() },
        luns: vec![
            ontap_lun(0, "81DaR$Qq/1ii"),
            ontap_lun(1, "ZlAFA?QMnBdX"),
            Lun { block_size: BlockSize::Native4096, ..ontap_lun(2, "wOj4f?W9lOk7") },
        ],
    });
    let chap = Auth::Chap {
        user: "node".into(),
        secret: ChapSecret::new("initiatorsecret"),
        mutual: Some(("array".into(), ChapSecret::new("targetsecret00"))),
    };
    server.put_target(Target {
        iqn: "iqn.2010-01.com.solidfire:mn4y.vol359.361".into(),
        alias: None,
        portals: portals.iter().take(1).copied().collect(),
        auth: AuthPolicy { default: chap, initiators: BTreeMap::new() },
        luns: vec![solidfire_lun()],
    });
    println!("serving on {portals:?}");
    let mut end = Vec::new();
    tokio::io::stdin().read_to_end(&mut end).await?;
    println!("{:#?}", server.sessions());
    Ok(())
}
