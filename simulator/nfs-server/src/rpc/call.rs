//! The header of a call and the credential in it (RFC 5531 §9, appendix A).

use bytes::Bytes;

use crate::xdr::{Decoder, XdrError};

/// The one version of ONC-RPC.
pub(crate) const RPC_VERSION: u32 = 2;
const CALL: u32 = 0;
const AUTH_NONE: u32 = 0;
const AUTH_SYS: u32 = 1;
/// Bound of an authenticator's body (RFC 5531 §8.2).
const MAX_AUTH_BODY: usize = 400;
const MAX_MACHINE_NAME: usize = 255;
const MAX_GROUPS: u32 = 16;

/// Who a caller says it is. Nothing proves it: that is AUTH_SYS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    /// AUTH_NONE: nobody in particular.
    Anonymous,
    /// AUTH_SYS.
    Sys(SysCredential),
}

/// The body of an AUTH_SYS credential (RFC 5531 appendix A).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SysCredential {
    pub(crate) machine: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// A call, its arguments not decoded yet.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) xid: u32,
    pub(crate) program: u32,
    pub(crate) version: u32,
    pub(crate) procedure: u32,
    pub(crate) credential: Credential,
    pub(crate) arguments: Decoder,
}

/// A record that is no call to be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// Not even a call header: nothing can be answered.
    #[error("the record is no call")]
    NotACall,
    #[error("call {xid:#x} is of an RPC version other than {RPC_VERSION}")]
    RpcVersion { xid: u32 },
    /// The credential is malformed, or of a flavour not spoken here.
    #[error("call {xid:#x} carries a credential that cannot be read")]
    BadCredential { xid: u32 },
}

impl Call {
    /// Reads the header of a call record.
    pub(crate) fn parse(record: Bytes) -> Result<Self, CallError> {
        let mut from = Decoder::new(record);
        let not_a_call = |_: XdrError| CallError::NotACall;
        let xid = from.u32().map_err(not_a_call)?;
        if from.u32().map_err(not_a_call)? != CALL {
            return Err(CallError::NotACall);
        }
        if from.u32().map_err(not_a_call)? != RPC_VERSION {
            return Err(CallError::RpcVersion { xid });
        }
        let program = from.u32().map_err(not_a_call)?;
        let version = from.u32().map_err(not_a_call)?;
        let procedure = from.u32().map_err(not_a_call)?;
        let bad_credential = |_: XdrError| CallError::BadCredential { xid };
        let credential = credential(&mut from).map_err(bad_credential)?;
        verifier(&mut from).map_err(bad_credential)?;
        Ok(Self { xid, program, version, procedure, credential, arguments: from })
    }
}

fn credential(from: &mut Decoder) -> Result<Credential, XdrError> {
    let flavour = from.u32()?;
    let body = from.opaque(MAX_AUTH_BODY)?;
    match flavour {
        AUTH_NONE => Ok(Credential::Anonymous),
        AUTH_SYS => sys_credential(&mut Decoder::new(body)).map(Credential::Sys),
        value => Err(XdrError::UnknownValue { what: "auth_flavor", value }),
    }
}

fn sys_credential(from: &mut Decoder) -> Result<SysCredential, XdrError> {
    let _stamp = from.u32()?;
    let machine = String::from_utf8_lossy(&from.opaque(MAX_MACHINE_NAME)?).into_owned();
    let uid = from.u32()?;
    let gid = from.u32()?;
    let count = from.u32()?;
    if count > MAX_GROUPS {
        return Err(XdrError::TooLong { length: count as usize, bound: MAX_GROUPS as usize });
    }
    let groups = (0..count).map(|_| from.u32()).collect::<Result<_, _>>()?;
    Ok(SysCredential { machine, uid, gid, groups })
}

/// The verifier of AUTH_NONE and AUTH_SYS says nothing; it is read past.
fn verifier(from: &mut Decoder) -> Result<(), XdrError> {
    from.u32()?;
    from.opaque(MAX_AUTH_BODY)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(words: &[u32]) -> Bytes {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn a_call_with_auth_sys_is_read_from_its_bytes() {
        let record = words(&[
            0x1234,
            0,
            2,
            100_003,
            3,
            1, // xid, CALL, RPC 2, NFS v3 GETATTR
            1,
            32,
            0,
            2,
            0x6e31_0000,
            1000,
            100,
            2,
            4,
            24, // AUTH_SYS: "n1", uid, gid, 2 groups
            0,
            0,           // AUTH_NONE verifier
            0xdead_beef, // arguments
        ]);
        let call = Call::parse(record).unwrap();
        assert_eq!((call.xid, call.program, call.version, call.procedure), (0x1234, 100_003, 3, 1));
        assert_eq!(
            call.credential,
            Credential::Sys(SysCredential { machine: "n1".into(), uid: 1000, gid: 100, groups: vec![4, 24] })
        );
        assert_eq!(call.arguments.rest(), &[0xde, 0xad, 0xbe, 0xef]);
    }

    #[test]
    fn a_kerberos_credential_is_refused_with_the_xid() {
        let record = words(&[7, 0, 2, 100_003, 3, 0, 6, 0, 0, 0]);
        assert_eq!(Call::parse(record).unwrap_err(), CallError::BadCredential { xid: 7 });
    }

    #[test]
    fn more_than_sixteen_groups_are_a_bad_credential() {
        let mut record = vec![7, 0, 2, 100_003, 3, 0, 1, 20 + 17 * 4, 0, 0, 0, 0, 17];
        record.extend([1; 17]);
        record.extend([0, 0]);
        assert_eq!(Call::parse(words(&record)).unwrap_err(), CallError::BadCredential { xid: 7 });
    }

    #[test]
    fn rpc_version_three_is_told_from_noise() {
        assert_eq!(Call::parse(words(&[7, 0, 3])).unwrap_err(), CallError::RpcVersion { xid: 7 });
        assert_eq!(Call::parse(words(&[7, 1, 2])).unwrap_err(), CallError::NotACall);
        assert_eq!(Call::parse(Bytes::new()).unwrap_err(), CallError::NotACall);
    }

    proptest! {
        #[test]
        fn no_record_makes_the_header_parser_panic(
            noise in proptest::collection::vec(any::<u8>(), 0..600),
            flavour in 0u32..3,
        ) {
            let mut record = words(&[7, 0, 2, 100_003, 3, 1, flavour]).to_vec();
            record.extend(&noise);
            let _ = Call::parse(record.into());
            let _ = Call::parse(noise.into());
        }
    }
}
