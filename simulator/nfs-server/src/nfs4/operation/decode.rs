//! Arguments of operations, read from XDR. What does not fit its bounds is refused here, before
//! anything is allocated for it.

use bytes::Bytes;

use super::{
    Bitmap, CreateKind, CreateSessionArguments, ExchangeArguments, LockRange, LockerArguments, MAX_TRANSFER,
    OpenArguments, OpenClaim, OpenHow, Operation, RawAttributes, number,
};
use crate::nfs4::state::{ByteRange, ChannelLimits, ClientId, LockKind, StateId};
use crate::xdr::{Decoder, XdrError};

/// NFS4_FHSIZE.
const MAX_HANDLE: usize = 128;
/// NFS4_OPAQUE_LIMIT.
const MAX_OPAQUE: usize = 1024;
/// Names longer than any tree takes are read, to be refused by status.
const MAX_STRING: usize = 64 << 10;
/// Words of a bitmap that are looked at; attributes end in the third.
const MAX_BITMAP: u32 = 8;
/// Bytes of attributes in SETATTR and the like.
const MAX_ATTRIBUTES: usize = 64 << 10;
/// Stateids in one TEST_STATEID.
const MAX_STATE_IDS: u32 = 4096;

impl Operation {
    /// Reads the operation with this number in a minor version.
    pub(in crate::nfs4) fn decode(number: u32, minor: u32, from: &mut Decoder) -> Result<Self, XdrError> {
        let last = number::LAST.get(minor as usize).copied().unwrap_or_default();
        if !(number::ACCESS..=last).contains(&number) {
            return Ok(Self::Illegal);
        }
        // RFC 8881 §2.7, §18: mandatory not to implement any more.
        let is_of_version_zero = matches!(
            number,
            number::OPEN_CONFIRM
                | number::RENEW
                | number::SETCLIENTID
                | number::SETCLIENTID_CONFIRM
                | number::RELEASE_LOCKOWNER
        );
        if minor > 0 && is_of_version_zero {
            return Ok(Self::Unsupported);
        }
        match number {
            ..=number::RELEASE_LOCKOWNER => Self::decode_basic(number, from),
            _ => Self::decode_later(number, from),
        }
    }

    fn decode_basic(number: u32, from: &mut Decoder) -> Result<Self, XdrError> {
        Ok(match number {
            number::ACCESS => Self::Access(from.u32()?),
            number::CLOSE => Self::Close { seqid: from.u32()?, state: state_id(from)? },
            number::COMMIT => Self::Commit { offset: from.u64()?, count: from.u32()? },
            number::CREATE => {
                let kind = create_kind(from)?;
                Self::Create { kind, name: string(from)?, attributes: attributes(from)? }
            }
            number::DELEGPURGE | number::OPENATTR => Self::Unsupported,
            number::DELEGRETURN => {
                state_id(from)?;
                Self::DelegationReturn
            }
            number::GETATTR => Self::GetAttributes(bitmap(from)?),
            number::GETFH => Self::GetHandle,
            number::LINK => Self::Link { name: string(from)? },
            number::LOCK => lock(from)?,
            number::LOCKT => Self::LockTest {
                kind: lock_kind(from)?,
                range: range(from)?,
                client: ClientId(from.u64()?),
                owner: from.opaque(MAX_OPAQUE)?,
            },
            number::LOCKU => {
                let _kind = lock_kind(from)?;
                Self::Unlock { seqid: from.u32()?, state: state_id(from)?, range: range(from)? }
            }
            number::LOOKUP => Self::Lookup(string(from)?),
            number::LOOKUPP => Self::LookupParent,
            number::NVERIFY => Self::NotVerify(attributes(from)?),
            number::OPEN => Self::Open(open(from)?),
            number::OPEN_CONFIRM => Self::OpenConfirm { state: state_id(from)?, seqid: from.u32()? },
            number::OPEN_DOWNGRADE => Self::OpenDowngrade {
                state: state_id(from)?,
                seqid: from.u32()?,
                access: from.u32()?,
                deny: from.u32()?,
            },
            number::PUTFH => Self::PutHandle(from.opaque(MAX_HANDLE)?),
            number::PUTPUBFH | number::PUTROOTFH => Self::PutRoot,
            number::READ => Self::Read { state: state_id(from)?, offset: from.u64()?, count: from.u32()? },
            number::READDIR => {
                let cookie = from.u64()?;
                let _verifier: [u8; 8] = from.fixed()?;
                Self::ReadDirectory {
                    cookie,
                    names_bound: from.u32()?,
                    bound: from.u32()?,
                    wanted: bitmap(from)?,
                }
            }
            number::READLINK => Self::ReadLink,
            number::REMOVE => Self::Remove(string(from)?),
            number::RENAME => Self::Rename { old: string(from)?, new: string(from)? },
            number::RENEW => Self::Renew(ClientId(from.u64()?)),
            number::RESTOREFH => Self::RestoreHandle,
            number::SAVEFH => Self::SaveHandle,
            number::SECINFO => Self::SecurityInfo(string(from)?),
            number::SETATTR => Self::SetAttributes { state: state_id(from)?, attributes: attributes(from)? },
            number::SETCLIENTID => set_client_id(from)?,
            number::SETCLIENTID_CONFIRM => {
                Self::SetClientIdConfirm { client: ClientId(from.u64()?), confirm: from.fixed()? }
            }
            number::VERIFY => Self::Verify(attributes(from)?),
            number::WRITE => Self::Write {
                state: state_id(from)?,
                offset: from.u64()?,
                stability: enumeration(from, "stable_how4", 2)?,
                data: from.opaque(MAX_TRANSFER as usize)?,
            },
            _ => Self::ReleaseLockOwner { client: ClientId(from.u64()?), owner: from.opaque(MAX_OPAQUE)? },
        })
    }

    fn decode_later(number: u32, from: &mut Decoder) -> Result<Self, XdrError> {
        Ok(match number {
            number::BACKCHANNEL_CTL => {
                let _program = from.u32()?;
                callback_security(from)?;
                Self::BackchannelControl
            }
            number::BIND_CONN_TO_SESSION => {
                let (session, direction) = (from.fixed()?, from.u32()?);
                let _use_rdma = from.bool()?;
                Self::BindConnection { session, direction }
            }
            number::EXCHANGE_ID => exchange_id(from)?,
            number::CREATE_SESSION => create_session(from)?,
            number::DESTROY_SESSION => Self::DestroySession(from.fixed()?),
            number::FREE_STATEID => Self::FreeState(state_id(from)?),
            number::SECINFO_NO_NAME => {
                Self::SecurityInfoNoName { of_parent: enumeration(from, "secinfo_style4", 1)? == 1 }
            }
            number::SEQUENCE => Self::Sequence {
                session: from.fixed()?,
                sequence: from.u32()?,
                slot: from.u32()?,
                highest_slot: from.u32()?,
                keep: from.bool()?,
            },
            number::TEST_STATEID => {
                let count = bounded(from, MAX_STATE_IDS)?;
                Self::TestStates((0..count).map(|_| state_id(from)).collect::<Result<_, _>>()?)
            }
            number::DESTROY_CLIENTID => Self::DestroyClient(ClientId(from.u64()?)),
            number::RECLAIM_COMPLETE => Self::ReclaimComplete { one_file_system: from.bool()? },
            number::ALLOCATE => {
                Self::Allocate { state: state_id(from)?, offset: from.u64()?, length: from.u64()? }
            }
            number::DEALLOCATE => {
                Self::Deallocate { state: state_id(from)?, offset: from.u64()?, length: from.u64()? }
            }
            number::IO_ADVISE => {
                let _ = (state_id(from)?, from.u64()?, from.u64()?, bitmap(from)?);
                Self::IoAdvise
            }
            number::SEEK => Self::Seek {
                state: state_id(from)?,
                offset: from.u64()?,
                hole: enumeration(from, "data_content4", 1)? == 1,
            },
            _ => Self::Unsupported,
        })
    }
}

fn bounded(from: &mut Decoder, bound: u32) -> Result<u32, XdrError> {
    match from.u32()? {
        count if count <= bound => Ok(count),
        count => Err(XdrError::TooLong { length: count as usize, bound: bound as usize }),
    }
}

fn enumeration(from: &mut Decoder, what: &'static str, last: u32) -> Result<u32, XdrError> {
    match from.u32()? {
        value if value <= last => Ok(value),
        value => Err(XdrError::UnknownValue { what, value }),
    }
}

fn string(from: &mut Decoder) -> Result<Bytes, XdrError> {
    from.opaque(MAX_STRING)
}

fn state_id(from: &mut Decoder) -> Result<StateId, XdrError> {
    Ok(StateId { seqid: from.u32()?, other: from.fixed()? })
}

fn bitmap(from: &mut Decoder) -> Result<Bitmap, XdrError> {
    let count = bounded(from, MAX_BITMAP)?;
    let mut map = Bitmap::default();
    for at in 0..count as usize {
        let word = from.u32()?;
        match map.0.get_mut(at) {
            Some(place) => *place = word,
            // Attributes that nobody knows yet: kept as one unknown bit.
            None if word != 0 => map.0[2] |= 1 << 31,
            None => {}
        }
    }
    Ok(map)
}

fn attributes(from: &mut Decoder) -> Result<RawAttributes, XdrError> {
    Ok(RawAttributes { mask: bitmap(from)?, values: from.opaque(MAX_ATTRIBUTES)? })
}

fn create_kind(from: &mut Decoder) -> Result<CreateKind, XdrError> {
    Ok(match from.u32()? {
        2 => CreateKind::Directory,
        kind @ (3 | 4) => CreateKind::Device { is_block: kind == 3, device: (from.u32()?, from.u32()?) },
        5 => CreateKind::Symlink(string(from)?),
        6 => CreateKind::Socket,
        7 => CreateKind::Fifo,
        _ => CreateKind::Other,
    })
}

fn range(from: &mut Decoder) -> Result<LockRange, XdrError> {
    Ok(ByteRange::from_wire(from.u64()?, from.u64()?))
}

/// `nfs_lock_type4`; that the client will wait is its own business.
fn lock_kind(from: &mut Decoder) -> Result<LockKind, XdrError> {
    match from.u32()? {
        1 | 3 => Ok(LockKind::Read),
        2 | 4 => Ok(LockKind::Write),
        value => Err(XdrError::UnknownValue { what: "nfs_lock_type4", value }),
    }
}

fn lock(from: &mut Decoder) -> Result<Operation, XdrError> {
    let (kind, reclaim, range) = (lock_kind(from)?, from.bool()?, range(from)?);
    let locker = if from.bool()? {
        let (open_seqid, open, seqid) = (from.u32()?, state_id(from)?, from.u32()?);
        let _client = from.u64()?;
        LockerArguments::New { open_seqid, open, seqid, owner: from.opaque(MAX_OPAQUE)? }
    } else {
        LockerArguments::Known { lock: state_id(from)?, seqid: from.u32()? }
    };
    Ok(Operation::Lock { kind, reclaim, range, locker })
}

fn open(from: &mut Decoder) -> Result<OpenArguments, XdrError> {
    let (seqid, access, deny) = (from.u32()?, from.u32()?, from.u32()?);
    let (client, owner) = (ClientId(from.u64()?), from.opaque(MAX_OPAQUE)?);
    let how = match enumeration(from, "opentype4", 1)? {
        0 => OpenHow::NoCreate,
        _ => match enumeration(from, "createmode4", 3)? {
            0 => OpenHow::Unchecked(attributes(from)?),
            1 => OpenHow::Guarded(attributes(from)?),
            2 => OpenHow::Exclusive(from.fixed()?),
            _ => OpenHow::ExclusiveWith(from.fixed()?, attributes(from)?),
        },
    };
    let claim = match enumeration(from, "open_claim_type4", 6)? {
        0 => OpenClaim::Name(string(from)?),
        1 => {
            let _delegation = from.u32()?;
            OpenClaim::Previous
        }
        2 => {
            let _ = (state_id(from)?, string(from)?);
            OpenClaim::Delegated
        }
        3 => {
            string(from)?;
            OpenClaim::Delegated
        }
        4 => OpenClaim::Current,
        5 => {
            state_id(from)?;
            OpenClaim::Delegated
        }
        _ => OpenClaim::Delegated,
    };
    Ok(OpenArguments { seqid, access, deny, client, owner, how, claim })
}

fn set_client_id(from: &mut Decoder) -> Result<Operation, XdrError> {
    let (verifier, owner) = (from.fixed()?, from.opaque(MAX_OPAQUE)?);
    // Where to call back: never done.
    let _program = from.u32()?;
    let _ = (from.opaque(MAX_OPAQUE)?, from.opaque(MAX_OPAQUE)?, from.u32()?);
    Ok(Operation::SetClientId { verifier, owner })
}

fn exchange_id(from: &mut Decoder) -> Result<Operation, XdrError> {
    let (verifier, owner) = (from.fixed()?, from.opaque(MAX_OPAQUE)?);
    let flags = from.u32()?;
    let protection = enumeration(from, "state_protect_how4", 2)?;
    // What is protected, and by whom the client was made, ends the arguments; with a protection it is
    // not read, as that is refused anyway.
    if protection == 0 && bounded(from, 1)? == 1 {
        let _ = (from.opaque(MAX_STRING)?, from.opaque(MAX_STRING)?, from.u64()?, from.u32()?);
    }
    Ok(Operation::ExchangeId(ExchangeArguments { verifier, owner, flags, protection }))
}

fn channel(from: &mut Decoder) -> Result<ChannelLimits, XdrError> {
    let _padding = from.u32()?;
    let limits = ChannelLimits {
        request: from.u32()?,
        response: from.u32()?,
        cached: from.u32()?,
        operations: from.u32()?,
        requests: from.u32()?,
    };
    if bounded(from, 1)? == 1 {
        let _rdma = from.u32()?;
    }
    Ok(limits)
}

fn create_session(from: &mut Decoder) -> Result<Operation, XdrError> {
    let (client, sequence, flags) = (ClientId(from.u64()?), from.u32()?, from.u32()?);
    let (fore, back) = (channel(from)?, channel(from)?);
    let _program = from.u32()?;
    callback_security(from)?;
    Ok(Operation::CreateSession(CreateSessionArguments { client, sequence, flags, fore, back }))
}

/// `callback_sec_parms4`: read past, as nothing is called back.
fn callback_security(from: &mut Decoder) -> Result<(), XdrError> {
    for _ in 0..bounded(from, 16)? {
        match enumeration(from, "callback flavour", 6)? {
            0 => {}
            1 => {
                let _ = (from.u32()?, from.opaque(255)?, from.u32()?, from.u32()?);
                for _ in 0..bounded(from, 16)? {
                    from.u32()?;
                }
            }
            6 => {
                let _ = (from.u32()?, from.opaque(MAX_STRING)?, from.opaque(MAX_STRING)?);
            }
            value => return Err(XdrError::UnknownValue { what: "callback flavour", value }),
        }
    }
    Ok(())
}
