//! The operations of a COMPOUND and their arguments (RFC 8881 §18, RFC 7530 §16, RFC 7862 §15).

mod decode;

use bytes::Bytes;

use crate::nfs4::state::{ByteRange, ChannelLimits, ClientId, LockKind, SessionId, StateId};

/// The most bytes of one READ or WRITE.
pub(super) const MAX_TRANSFER: u32 = 1 << 20;

/// The numbers of operations.
pub(super) mod number {
    pub(crate) const ACCESS: u32 = 3;
    pub(crate) const CLOSE: u32 = 4;
    pub(crate) const COMMIT: u32 = 5;
    pub(crate) const CREATE: u32 = 6;
    pub(crate) const DELEGPURGE: u32 = 7;
    pub(crate) const DELEGRETURN: u32 = 8;
    pub(crate) const GETATTR: u32 = 9;
    pub(crate) const GETFH: u32 = 10;
    pub(crate) const LINK: u32 = 11;
    pub(crate) const LOCK: u32 = 12;
    pub(crate) const LOCKT: u32 = 13;
    pub(crate) const LOCKU: u32 = 14;
    pub(crate) const LOOKUP: u32 = 15;
    pub(crate) const LOOKUPP: u32 = 16;
    pub(crate) const NVERIFY: u32 = 17;
    pub(crate) const OPEN: u32 = 18;
    pub(crate) const OPENATTR: u32 = 19;
    pub(crate) const OPEN_CONFIRM: u32 = 20;
    pub(crate) const OPEN_DOWNGRADE: u32 = 21;
    pub(crate) const PUTFH: u32 = 22;
    pub(crate) const PUTPUBFH: u32 = 23;
    pub(crate) const PUTROOTFH: u32 = 24;
    pub(crate) const READ: u32 = 25;
    pub(crate) const READDIR: u32 = 26;
    pub(crate) const READLINK: u32 = 27;
    pub(crate) const REMOVE: u32 = 28;
    pub(crate) const RENAME: u32 = 29;
    pub(crate) const RENEW: u32 = 30;
    pub(crate) const RESTOREFH: u32 = 31;
    pub(crate) const SAVEFH: u32 = 32;
    pub(crate) const SECINFO: u32 = 33;
    pub(crate) const SETATTR: u32 = 34;
    pub(crate) const SETCLIENTID: u32 = 35;
    pub(crate) const SETCLIENTID_CONFIRM: u32 = 36;
    pub(crate) const VERIFY: u32 = 37;
    pub(crate) const WRITE: u32 = 38;
    pub(crate) const RELEASE_LOCKOWNER: u32 = 39;
    pub(crate) const BACKCHANNEL_CTL: u32 = 40;
    pub(crate) const BIND_CONN_TO_SESSION: u32 = 41;
    pub(crate) const EXCHANGE_ID: u32 = 42;
    pub(crate) const CREATE_SESSION: u32 = 43;
    pub(crate) const DESTROY_SESSION: u32 = 44;
    pub(crate) const FREE_STATEID: u32 = 45;
    pub(crate) const SECINFO_NO_NAME: u32 = 52;
    pub(crate) const SEQUENCE: u32 = 53;
    pub(crate) const TEST_STATEID: u32 = 55;
    pub(crate) const DESTROY_CLIENTID: u32 = 57;
    pub(crate) const RECLAIM_COMPLETE: u32 = 58;
    pub(crate) const ALLOCATE: u32 = 59;
    pub(crate) const DEALLOCATE: u32 = 62;
    pub(crate) const IO_ADVISE: u32 = 63;
    pub(crate) const SEEK: u32 = 69;
    /// The last one of each minor version.
    pub(crate) const LAST: [u32; 3] = [39, 58, 71];
    pub(crate) const ILLEGAL: u32 = 10044;
}

/// `bitmap4`, as far as attributes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bitmap(pub(super) [u32; 3]);

/// `fattr4`: which attributes, and their values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct RawAttributes {
    pub(super) mask: Bitmap,
    pub(super) values: Bytes,
}

/// `createtype4`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CreateKind {
    Symlink(Bytes),
    /// Block or character.
    Device {
        is_block: bool,
        device: (u32, u32),
    },
    Socket,
    Fifo,
    Directory,
    /// What cannot be made so, regular files first.
    Other,
}

/// `openflag4`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OpenHow {
    NoCreate,
    Unchecked(RawAttributes),
    Guarded(RawAttributes),
    Exclusive([u8; 8]),
    ExclusiveWith([u8; 8], RawAttributes),
}

/// `open_claim4`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OpenClaim {
    /// A name in the current directory.
    Name(Bytes),
    /// The current file, open before a restart.
    Previous,
    /// The current file.
    Current,
    /// With delegations, of which there are none.
    Delegated,
}

/// `OPEN4args`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenArguments {
    pub(super) seqid: u32,
    /// With the wishes about delegations in its upper bits.
    pub(super) access: u32,
    pub(super) deny: u32,
    pub(super) client: ClientId,
    pub(super) owner: Bytes,
    pub(super) how: OpenHow,
    pub(super) claim: OpenClaim,
}

/// `locker4`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LockerArguments {
    New { open_seqid: u32, open: StateId, seqid: u32, owner: Bytes },
    Known { lock: StateId, seqid: u32 },
}

/// The range of a lock; `None` where it is none.
pub(super) type LockRange = Option<ByteRange>;

/// `EXCHANGE_ID4args`, as far as needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExchangeArguments {
    pub(super) verifier: [u8; 8],
    pub(super) owner: Bytes,
    pub(super) flags: u32,
    /// `state_protect_how4`.
    pub(super) protection: u32,
}

/// `CREATE_SESSION4args`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CreateSessionArguments {
    pub(super) client: ClientId,
    pub(super) sequence: u32,
    pub(super) flags: u32,
    pub(super) fore: ChannelLimits,
    pub(super) back: ChannelLimits,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    Access(u32),
    Allocate {
        state: StateId,
        offset: u64,
        length: u64,
    },
    BackchannelControl,
    BindConnection {
        session: SessionId,
        direction: u32,
    },
    Close {
        seqid: u32,
        state: StateId,
    },
    Commit {
        offset: u64,
        count: u32,
    },
    Create {
        kind: CreateKind,
        name: Bytes,
        attributes: RawAttributes,
    },
    CreateSession(CreateSessionArguments),
    Deallocate {
        state: StateId,
        offset: u64,
        length: u64,
    },
    DelegationReturn,
    DestroyClient(ClientId),
    DestroySession(SessionId),
    ExchangeId(ExchangeArguments),
    FreeState(StateId),
    GetAttributes(Bitmap),
    GetHandle,
    /// An operation of the version that is not served.
    Unsupported,
    /// No operation of the version.
    Illegal,
    IoAdvise,
    Link {
        name: Bytes,
    },
    Lock {
        kind: LockKind,
        reclaim: bool,
        range: LockRange,
        locker: LockerArguments,
    },
    LockTest {
        kind: LockKind,
        range: LockRange,
        client: ClientId,
        owner: Bytes,
    },
    Lookup(Bytes),
    LookupParent,
    NotVerify(RawAttributes),
    Open(OpenArguments),
    OpenConfirm {
        state: StateId,
        seqid: u32,
    },
    OpenDowngrade {
        state: StateId,
        seqid: u32,
        access: u32,
        deny: u32,
    },
    PutHandle(Bytes),
    PutRoot,
    Read {
        state: StateId,
        offset: u64,
        count: u32,
    },
    ReadDirectory {
        cookie: u64,
        names_bound: u32,
        bound: u32,
        wanted: Bitmap,
    },
    ReadLink,
    ReclaimComplete {
        one_file_system: bool,
    },
    ReleaseLockOwner {
        client: ClientId,
        owner: Bytes,
    },
    Remove(Bytes),
    Rename {
        old: Bytes,
        new: Bytes,
    },
    Renew(ClientId),
    RestoreHandle,
    SaveHandle,
    SecurityInfo(Bytes),
    SecurityInfoNoName {
        of_parent: bool,
    },
    Seek {
        state: StateId,
        offset: u64,
        hole: bool,
    },
    Sequence {
        session: SessionId,
        sequence: u32,
        slot: u32,
        highest_slot: u32,
        keep: bool,
    },
    SetAttributes {
        state: StateId,
        attributes: RawAttributes,
    },
    SetClientId {
        verifier: [u8; 8],
        owner: Bytes,
    },
    SetClientIdConfirm {
        client: ClientId,
        confirm: [u8; 8],
    },
    TestStates(Vec<StateId>),
    Unlock {
        seqid: u32,
        state: StateId,
        range: LockRange,
    },
    Verify(RawAttributes),
    Write {
        state: StateId,
        offset: u64,
        stability: u32,
        data: Bytes,
    },
}

impl Operation {
    /// May it run twice without harm? With v4.0 the RPC layer keeps the replies of the others.
    pub(super) fn is_idempotent(&self) -> bool {
        !matches!(
            self,
            Self::Create { .. }
                | Self::Link { .. }
                | Self::Lock { .. }
                | Self::Open(_)
                | Self::OpenConfirm { .. }
                | Self::OpenDowngrade { .. }
                | Self::Close { .. }
                | Self::Unlock { .. }
                | Self::Remove(_)
                | Self::Rename { .. }
                | Self::SetAttributes { .. }
        )
    }
}
