//! FSSTAT, FSINFO, PATHCONF (RFC 1813 §3.3.18 to §3.3.20).

use crate::nfs3::data::MAX_TRANSFER;
use crate::nfs3::wire::{self, PATHCONF_NAME_MAX, put_optional_attributes};
use crate::nfs3::{Nfs3, require_attributes};
use crate::rpc::{Caller, Refusal};
use crate::tree::{LINK_MAX, MAX_FILE_SIZE};
use crate::xdr::{Decoder, Encoder};

/// Sizes of transfers should be multiples of this: a block of the tree.
const TRANSFER_MULTIPLE: u32 = 4096;
/// The size of READDIR asked for.
const PREFERRED_LISTING: u32 = 64 << 10;
/// Hard links, symbolic links, one PATHCONF for all, times can be set exactly.
const PROPERTIES: u32 = 0x01 | 0x02 | 0x08 | 0x10;

impl Nfs3 {
    pub(super) fn fsstat(
        &self,
        caller: &Caller,
        from: &mut Decoder,
        to: &mut Encoder,
    ) -> Result<(), Refusal> {
        let handle = wire::handle(from)?;
        self.inspect(caller, &handle, to, |tree, number, _, to| {
            put_optional_attributes(to, Some(require_attributes(tree, number)?));
            let space = tree.space_at(number);
            for value in [
                space.total_bytes,
                space.free_bytes,
                space.free_bytes,
                space.total_inodes,
                space.free_inodes,
                space.free_inodes,
            ] {
                to.u64(value);
            }
            // invarsec: the numbers may change at once.
            to.u32(0);
            Ok(())
        });
        Ok(())
    }

    pub(super) fn fsinfo(
        &self,
        caller: &Caller,
        from: &mut Decoder,
        to: &mut Encoder,
    ) -> Result<(), Refusal> {
        let handle = wire::handle(from)?;
        self.inspect(caller, &handle, to, |tree, number, _, to| {
            put_optional_attributes(to, Some(require_attributes(tree, number)?));
            // Largest, preferred, multiple: of reads, then of writes.
            for value in [MAX_TRANSFER, MAX_TRANSFER, TRANSFER_MULTIPLE].repeat(2) {
                to.u32(value);
            }
            to.u32(PREFERRED_LISTING);
            to.u64(MAX_FILE_SIZE);
            // time_delta: one nanosecond.
            to.u32(0);
            to.u32(1);
            to.u32(PROPERTIES);
            Ok(())
        });
        Ok(())
    }

    pub(super) fn pathconf(
        &self,
        caller: &Caller,
        from: &mut Decoder,
        to: &mut Encoder,
    ) -> Result<(), Refusal> {
        let handle = wire::handle(from)?;
        self.inspect(caller, &handle, to, |tree, number, _, to| {
            put_optional_attributes(to, Some(require_attributes(tree, number)?));
            to.u32(LINK_MAX);
            to.u32(PATHCONF_NAME_MAX);
            // no_trunc, chown_restricted, case_insensitive, case_preserving.
            for value in [true, true, false, true] {
                to.bool(value);
            }
            Ok(())
        });
        Ok(())
    }
}
