//! READ, WRITE, COMMIT (RFC 8881 §18.3, §18.22, §18.32), SEEK and ALLOCATE (RFC 7862 §15.1, §15.11).

use crate::nfs4::compound::{Compound, Failure};
use crate::nfs4::operation::MAX_TRANSFER;
use crate::nfs4::state::StateId;
use crate::nfs4::status::Status;
use crate::tree::{FileKind, InodeNumber, SetAttributes, Tree};
use crate::xdr::Encoder;

/// `stable_how4`.
const UNSTABLE: u32 = 0;
const FILE_SYNC: u32 = 2;

impl Compound<'_> {
    /// The write verifier: another one after a restart, and after data were lost.
    fn verifier(&self, tree: &Tree) -> [u8; 8] {
        let server = u64::from_be_bytes(self.server.write_verifier());
        (u64::from_be_bytes(tree.write_verifier()) ^ server).to_be_bytes()
    }

    pub(super) fn read(
        &self,
        state: StateId,
        offset: u64,
        count: u32,
        to: &mut Encoder,
    ) -> Result<(), Failure> {
        let file = self.require_file()?;
        self.require_io(state, file, false)?;
        self.inspect(self.handle()?, |tree, number, access| {
            let readable = tree.read(number, &access.who, offset, count.min(MAX_TRANSFER))?;
            to.bool(readable.reaches_end);
            to.opaque_shared(readable.length, |put| readable.lend(put));
            Ok(())
        })
    }

    pub(super) fn write(
        &self,
        state: StateId,
        offset: u64,
        stability: u32,
        data: &[u8],
        to: &mut Encoder,
    ) -> Result<(), Failure> {
        let file = self.require_file()?;
        self.require_io(state, file, true)?;
        let verifier = self.alter(self.handle()?, |tree, number, access| {
            if stability == UNSTABLE {
                tree.write_unstable(number, &access.who, offset, data)?;
            } else {
                tree.write(number, &access.who, offset, data)?;
            }
            Ok(self.verifier(tree))
        })?;
        // At most MAX_TRANSFER, hence within 32 bits.
        to.u32(data.len() as u32);
        to.u32(if stability == UNSTABLE { UNSTABLE } else { FILE_SYNC });
        to.fixed(&verifier);
        Ok(())
    }

    pub(super) fn commit(&self, to: &mut Encoder) -> Result<(), Failure> {
        self.require_file()?;
        let verifier = self.alter(self.handle()?, |tree, number, _| {
            tree.commit(number)?;
            Ok(self.verifier(tree))
        })?;
        to.fixed(&verifier);
        Ok(())
    }

    /// The whole file is told as data, with the one hole behind its end: allowed for any server
    /// (RFC 7862 §15.11.3), and what most files are.
    pub(super) fn seek(
        &self,
        state: StateId,
        offset: u64,
        hole: bool,
        to: &mut Encoder,
    ) -> Result<(), Failure> {
        let file = self.require_file()?;
        self.require_io(state, file, false)?;
        let size = self.inspect(self.handle()?, |tree, number, _| Ok(tree.attributes(number)?.size))?;
        if offset >= size {
            return Err(Status::NxIo.into());
        }
        to.bool(false);
        to.u64(if hole { size } else { offset });
        Ok(())
    }

    /// Makes the file as long as that, as far as there is room: a thin volume reserves nothing.
    pub(super) fn allocate(&self, state: StateId, offset: u64, length: u64) -> Result<(), Failure> {
        let file = self.require_file()?;
        self.require_io(state, file, true)?;
        let end = offset.checked_add(length).filter(|_| length > 0).ok_or(Status::Invalid)?;
        self.alter(self.handle()?, |tree, number, access| {
            let attributes = tree.attributes(number)?;
            require_regular(tree, number)?;
            if length.saturating_sub(attributes.used) > tree.space().free_bytes {
                return Err(Status::NoSpace.into());
            }
            if end > attributes.size {
                let set = SetAttributes { size: Some(end), ..SetAttributes::default() };
                tree.set_attributes(number, &access.who, &set, None)?;
            }
            Ok(())
        })
    }
}

fn require_regular(tree: &Tree, number: InodeNumber) -> Result<(), Status> {
    if tree.attributes(number)?.kind == FileKind::Regular { Ok(()) } else { Err(Status::WrongType) }
}
