//! The port mapper: version 2, and versions 3 and 4 of rpcbind (RFC 1833).
//!
//! A client that is told no ports asks here for those of MOUNT and NFS. Only the asking half is
//! served: nothing is registered from outside.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::rpc::{Caller, Refusal, Service};
use crate::xdr::{Decoder, Encoder};
use crate::{mount3, nfs3};

/// The program number of the port mapper and of rpcbind.
pub(crate) const PROGRAM: u32 = 100_000;

const NULL: u32 = 0;
/// PMAPPROC_GETPORT and RPCBPROC_GETADDR.
const GET: u32 = 3;
const DUMP: u32 = 4;

const TCP: u32 = 6;
/// Bounds of the strings in a query.
const MAX_STRING: usize = 256;

/// A program on a port of this address.
#[derive(Debug, Clone, Copy)]
struct Mapping {
    program: u32,
    version: u32,
    port: u16,
}

/// One version of the port mapper of one LIF.
#[derive(Debug)]
pub(crate) struct Portmap {
    version: u32,
    /// Where the LIF's programs are.
    address: IpAddr,
    mappings: Vec<Mapping>,
}

impl Portmap {
    /// All versions, for the port mapper bound at `own`, naming `nfs_port` for NFS and MOUNT.
    pub(crate) fn versions(own: SocketAddr, nfs_port: u16) -> impl Iterator<Item = Self> {
        let programs = [(nfs3::PROGRAM, nfs3::VERSION), (mount3::PROGRAM, mount3::VERSION)]
            .map(|(program, version)| Mapping { program, version, port: nfs_port });
        let itself = [2, 3, 4].map(|version| Mapping { program: PROGRAM, version, port: own.port() });
        let mappings: Vec<_> = itself.into_iter().chain(programs).collect();
        (2..=4).map(move |version| Self { version, address: own.ip(), mappings: mappings.clone() })
    }

    /// A version that is not served answers with the port of one that is: the client then learns the
    /// range from that one's PROG_MISMATCH (RFC 1833 §2.2.1, §3.1).
    fn find_port(&self, program: u32, version: u32) -> Option<u16> {
        let of_program = || self.mappings.iter().filter(|mapping| mapping.program == program);
        let exact = of_program().find(|mapping| mapping.version == version);
        exact.or_else(|| of_program().next()).map(|mapping| mapping.port)
    }

    /// PMAPPROC_GETPORT: 0 says that the program is not there.
    fn getport(&self, from: &mut Decoder, to: &mut Encoder) -> Result<(), Refusal> {
        let (program, version, protocol) = (from.u32()?, from.u32()?, from.u32()?);
        let _port = from.u32()?;
        let port = if protocol == TCP { self.find_port(program, version) } else { None };
        to.u32(port.unwrap_or(0).into());
        Ok(())
    }

    /// RPCBPROC_GETADDR: an empty string says that the program is not there.
    fn getaddr(&self, from: &mut Decoder, to: &mut Encoder) -> Result<(), Refusal> {
        let (program, version) = (from.u32()?, from.u32()?);
        let netid = from.opaque(MAX_STRING)?;
        let asked_at = from.opaque(MAX_STRING)?;
        let _owner = from.opaque(MAX_STRING)?;
        let address = if netid == self.netid() { self.find_port(program, version) } else { None }
            .map(|port| universal_address(self.reachable_address(&asked_at), port));
        to.opaque(address.unwrap_or_default().as_bytes());
        Ok(())
    }

    fn netid(&self) -> &'static str {
        if self.address.to_canonical().is_ipv4() { "tcp" } else { "tcp6" }
    }

    /// A wildcard listener is reached at the address the client asked it at.
    fn reachable_address(&self, asked_at: &[u8]) -> IpAddr {
        let own = self.address.to_canonical();
        if own.is_unspecified() { find_ipv4(asked_at).map_or(own, IpAddr::V4) } else { own }
    }

    fn dump(&self, to: &mut Encoder) {
        for mapping in &self.mappings {
            to.bool(true);
            to.u32(mapping.program);
            to.u32(mapping.version);
            if self.version == 2 {
                to.u32(TCP);
                to.u32(mapping.port.into());
            } else {
                to.opaque(self.netid().as_bytes());
                to.opaque(universal_address(self.address.to_canonical(), mapping.port).as_bytes());
                to.opaque(b"superuser");
            }
        }
        to.bool(false);
    }
}

/// The address of an IPv4 universal address, `h1.h2.h3.h4.p1.p2`.
fn find_ipv4(universal: &[u8]) -> Option<Ipv4Addr> {
    let text = std::str::from_utf8(universal).ok()?;
    let (text, _) = text.rsplit_once('.')?;
    let (text, _) = text.rsplit_once('.')?;
    text.parse().ok()
}

/// RFC 5665 §5.2.3: the address, then the port in two decimal bytes.
fn universal_address(address: IpAddr, port: u16) -> String {
    let [high, low] = port.to_be_bytes();
    format!("{address}.{high}.{low}")
}

impl Service for Portmap {
    fn program(&self) -> u32 {
        PROGRAM
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn serve(
        &self,
        procedure: u32,
        _caller: &Caller,
        from: &mut Decoder,
        to: &mut Encoder,
    ) -> Result<(), Refusal> {
        match procedure {
            NULL => Ok(()),
            GET if self.version == 2 => self.getport(from, to),
            GET => self.getaddr(from, to),
            DUMP => {
                self.dump(to);
                Ok(())
            }
            _ => Err(Refusal::ProcedureUnavailable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::Credential;
    use bytes::Bytes;

    fn ask(version: u32, procedure: u32, arguments: Encoder) -> Bytes {
        let own = "10.0.0.5:111".parse().unwrap();
        let portmap = Portmap::versions(own, 2049).find(|portmap| portmap.version == version).unwrap();
        let caller = Caller { address: own.ip(), credential: Credential::Anonymous };
        let mut results = Encoder::default();
        portmap.serve(procedure, &caller, &mut Decoder::new(arguments.finish()), &mut results).unwrap();
        results.finish()
    }

    fn words(words: &[u32]) -> Encoder {
        let mut to = Encoder::default();
        words.iter().for_each(|word| to.u32(*word));
        to
    }

    #[test]
    fn getport_names_the_port_of_nfs_over_tcp_and_none_over_udp() {
        assert_eq!(ask(2, GET, words(&[100_003, 3, 6, 0])), &2049u32.to_be_bytes()[..]);
        assert_eq!(ask(2, GET, words(&[100_005, 3, 6, 0])), &2049u32.to_be_bytes()[..]);
        assert_eq!(ask(2, GET, words(&[100_003, 3, 17, 0])), &0u32.to_be_bytes()[..]);
        assert_eq!(ask(2, GET, words(&[100_021, 4, 6, 0])), &0u32.to_be_bytes()[..]);
    }

    #[test]
    fn getaddr_answers_a_universal_address() {
        for (netid, expected) in [("tcp", "10.0.0.5.8.1"), ("udp", "")] {
            let mut query = words(&[100_003, 3]);
            for text in [netid, "10.0.0.5.0.111", ""] {
                query.opaque(text.as_bytes());
            }
            let mut answer = Decoder::new(ask(4, GET, query));
            assert_eq!(answer.opaque(64).unwrap(), expected);
        }
    }

    #[test]
    fn a_dump_lists_every_program_once_per_version() {
        let mut answer = Decoder::new(ask(2, DUMP, Encoder::default()));
        let mut listed = Vec::new();
        while answer.bool().unwrap() {
            listed.push((answer.u32().unwrap(), answer.u32().unwrap()));
            answer.u64().unwrap();
        }
        assert_eq!(listed, [(100_000, 2), (100_000, 3), (100_000, 4), (100_003, 3), (100_005, 3)]);
    }
}
