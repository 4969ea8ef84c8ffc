//! Any bytes into the decoder, the login and the device server, without sockets: nothing is expected
//! but that there is no panic. The fuzz targets do the same through the sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use blockstore::Volume;
use levers::{EventLog, Levers};

use crate::chap::{ChapAlgorithm, Credentials};
use crate::directory::{Registry, TargetView};
use crate::login::{Directory, Handle, LOGIN_SEGMENT, Login, MAX_RECEIVE, Peer, Step, TargetEntry};
use crate::pdu::{Digests, Input, Pdu, Received};
use crate::portal::PortGroup;
use crate::scsi::nexus::{Admission, Nexus};
use crate::scsi::reservation::NexusId;
use crate::scsi::{Command, luns};
use crate::target::{Auth, AuthPolicy, BlockSize, ChapSecret, Identity, Lun, Target, Visibility};

const IQN: &str = "iqn.2026-11.example:t";
const PORTAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 3260);
const PORT: PortGroup = PortGroup { id: 1, relative_port: 1 };
/// Most data-out a command gets here, in bytes.
const MAX_DATA: u64 = 64 * 1024;

/// A stream of PDUs; the first byte says which digests are in force.
fn pdus(bytes: &[u8]) {
    let Some((flags, stream)) = bytes.split_first() else { return };
    let mut input = Input::new(MAX_RECEIVE);
    input.digests = Digests { header: flags & 1 != 0, data: flags & 2 != 0 };
    each_pdu(input, stream, |_| true);
}

/// The requests of a login, to an open target, or with CHAP where the first byte is odd.
fn login(bytes: &[u8]) {
    let Some((flags, stream)) = bytes.split_first() else { return };
    let auth = if flags & 1 == 0 {
        Auth::Open
    } else {
        let mutual = Some(("t".to_owned(), ChapSecret::new("secret of the target")));
        Auth::Chap { user: "i".into(), secret: ChapSecret::new("secret"), mutual }
    };
    let mut login = Login::new(&ChapAlgorithm::ALL);
    each_pdu(Input::new(LOGIN_SEGMENT), stream, |request| {
        matches!(login.answer(request, &OneTarget(auth.clone())), Step::Reply(_))
    });
}

/// SCSI commands to a small volume: each 16 bytes of CDB, followed by the data-out it wants.
fn scsi(mut bytes: &[u8]) {
    let view = TargetView { target: Arc::new(target()), generation: 1, resets: Arc::default() };
    let registry = Registry::new(Levers::new(), EventLog::new());
    let id = NexusId { initiator: "iqn.2026-11.example:i".into(), isid: [0; 6], port: 1 };
    let mut nexus = Nexus::new(id, PORT, registry.shelf());
    nexus.refresh(&view);
    while let Some((cdb, rest)) = bytes.split_first_chunk::<16>() {
        bytes = rest;
        let Ok(command) = Command::parse(cdb) else { continue };
        let number = luns::decode([0; 8]);
        let Admission::Unit(unit) = nexus.admit(&view, number, &command) else { continue };
        let wanted = command.data_out(unit.block());
        if unit.admit(&command).is_err() || wanted > MAX_DATA {
            continue;
        }
        let (data, rest) = bytes.split_at(bytes.len().min(wanted as usize));
        bytes = rest;
        // Status or data: both are answers.
        let _ = unit.execute(command, data);
    }
}

fn each_pdu(mut input: Input, mut stream: &[u8], mut goes_on: impl FnMut(&Pdu<&[u8]>) -> bool) {
    loop {
        loop {
            match input.next() {
                Ok(Some(Received::Whole(pdu) | Received::BadData(pdu))) if goes_on(&pdu) => {}
                Ok(None) => break,
                Ok(Some(_)) | Err(_) => return,
            }
        }
        let room = input.room();
        let (piece, rest) = stream.split_at(stream.len().min(room.len()));
        if piece.is_empty() {
            return;
        }
        crate::field::put(room, 0, piece);
        input.filled(piece.len());
        stream = rest;
    }
}

struct OneTarget(Auth);

impl Directory for OneTarget {
    fn find_target(&self, iqn: &str, _initiator: &str) -> Option<TargetEntry> {
        (iqn == IQN).then(|| TargetEntry { tag: 1, alias: None, auth: self.0.clone(), redirect: None })
    }

    fn all_credentials(&self, _initiator: &str) -> Vec<Credentials> {
        Credentials::of(&self.0).into_iter().collect()
    }

    fn find_session(&self, tsih: u16, _peer: &Peer, _connection: u16) -> Handle {
        if tsih == 1 { Handle::SameConnection } else { Handle::Unknown }
    }
}

fn target() -> Target {
    let identity = Identity {
        vendor: "NETAPP".into(),
        product: "LUN C-Mode".into(),
        revision: "9151".into(),
        serial: "81DaR$Qq/1ii".into(),
        naa: *b"\x60\x0a\x09\x8081DaR$Qq/1ii",
        eui: None,
        t10: "LUN 81DaR$Qq/1ii".into(),
    };
    let lun = Lun {
        number: 0,
        volume: Volume::new(1 << 20),
        identity,
        block_size: BlockSize::Emulated512,
        access: Visibility::Everyone,
        thin: true,
        read_only: false,
        optimized_groups: [1].into(),
        governor: None,
    };
    let auth = AuthPolicy { default: Auth::Open, initiators: BTreeMap::new() };
    Target { iqn: IQN.into(), alias: None, portals: vec![PORTAL], auth, luns: vec![lun] }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_make_an_entry_point_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..2000),
            opcode in any::<u8>(),
        ) {
            super::pdus(&bytes);
            super::login(&bytes);
            super::login(&[&[1, 0x43, 0x87, 0, 0, 0, 0, 64][..], &bytes].concat());
            super::scsi(&bytes);
            // The power-on attention first, then one command with its data.
            super::scsi(&[&[0; 16][..], &[opcode], &bytes].concat());
        }
    }
}
