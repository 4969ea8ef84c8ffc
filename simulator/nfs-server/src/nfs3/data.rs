//! READLINK, READ, WRITE, COMMIT (RFC 1813 §3.3.5 to §3.3.7, §3.3.21).

use crate::nfs3::wire::{self, Stability, put_optional_attributes, put_wcc};
use crate::nfs3::{Nfs3, require_attributes};
use crate::rpc::{Caller, Refusal};
use crate::xdr::{Decoder, Encoder};

/// The most bytes of one READ or WRITE, as FSINFO tells.
pub(super) const MAX_TRANSFER: u32 = 1 << 20;

impl Nfs3 {
    pub(super) fn readlink(
        &self,
        caller: &Caller,
        from: &mut Decoder,
        to: &mut Encoder,
    ) -> Result<(), Refusal> {
        let handle = wire::handle(from)?;
        self.inspect(caller, &handle, to, |tree, number, _, to| {
            put_optional_attributes(to, Some(require_attributes(tree, number)?));
            to.opaque(tree.read_link(number)?);
            Ok(())
        });
        Ok(())
    }

    pub(super) fn read(&self, caller: &Caller, from: &mut Decoder, to: &mut Encoder) -> Result<(), Refusal> {
        let handle = wire::handle(from)?;
        let offset = from.u64()?;
        let count = from.u32()?.min(MAX_TRANSFER);
        self.inspect(caller, &handle, to, |tree, number, access, to| {
            let readable = tree.read(number, &access.who, offset, count)?;
            put_optional_attributes(to, Some(require_attributes(tree, number)?));
            // At most MAX_TRANSFER, hence within 32 bits.
            to.u32(readable.length as u32);
            to.bool(readable.reaches_end);
            to.opaque_shared(readable.length, |put| readable.lend(put));
            Ok(())
        });
        Ok(())
    }

    pub(super) fn write(&self, caller: &Caller, from: &mut Decoder, to: &mut Encoder) -> Result<(), Refusal> {
        let handle = wire::handle(from)?;
        let offset = from.u64()?;
        let count = from.u32()? as usize;
        let stability = wire::stability(from)?;
        let data = from.opaque(MAX_TRANSFER as usize)?;
        let data = data.get(..count).ok_or(Refusal::GarbageArguments)?;
        self.alter(
            caller,
            &handle,
            to,
            |tree, number, access| match stability {
                Stability::Unstable => Ok(tree.write_unstable(number, &access.who, offset, data)?),
                Stability::DataSync | Stability::FileSync => {
                    Ok(tree.write(number, &access.who, offset, data)?)
                }
            },
            |tree, (), wcc, to| {
                put_wcc(to, wcc);
                // At most MAX_TRANSFER, hence within 32 bits.
                to.u32(count as u32);
                to.u32(stability as u32);
                to.fixed(&tree.write_verifier());
            },
        );
        Ok(())
    }

    pub(super) fn commit(
        &self,
        caller: &Caller,
        from: &mut Decoder,
        to: &mut Encoder,
    ) -> Result<(), Refusal> {
        let handle = wire::handle(from)?;
        let _offset = from.u64()?;
        let _count = from.u32()?;
        self.alter(
            caller,
            &handle,
            to,
            |tree, number, _| Ok(tree.commit(number)?),
            |tree, (), wcc, to| {
                put_wcc(to, wcc);
                to.fixed(&tree.write_verifier());
            },
        );
        Ok(())
    }
}
