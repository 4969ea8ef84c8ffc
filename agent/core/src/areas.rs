//! Where a device must be zero before it may be called blank.
//!
//! A wiped primary superblock is not a blank device (hazard H01): backup superblocks, secondary
//! headers and the tail count as much as the head.

use crate::facts::ByteRange;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Every range starts and ends on a multiple of this, the largest logical block size we meet, so
/// that it can be read with O_DIRECT.
pub const ALIGNMENT: u64 = 4 * KIB;

/// The ranges of a device of `size` bytes that hold the signatures of known on-disk formats,
/// sorted, merged, aligned to [`ALIGNMENT`] (the last may end at `size`):
///
/// * the first 2 MiB: ext, xfs, GPT, MBR, LVM labels, md 1.1/1.2, LUKS, btrfs, ZFS …;
/// * the largest offsets of LUKS2's secondary header, 2 and 4 MiB (LUKS2 on-disk format §2.2);
/// * btrfs mirrors at 64 MiB and 256 GiB;
/// * ext backup superblocks: groups 1 and the powers of 3, 5, 7 (sparse_super), for block sizes of
///   1, 2 and 4 KiB (a group has 8 blocks per byte of block size);
/// * around the quarters, where mkfs.xfs puts its allocation groups by default;
/// * the last 1 MiB: backup GPT, md 0.90/1.0, ZFS labels, LVM and DDF trailers.
pub fn signature_areas(size: u64) -> Vec<ByteRange> {
    let mut areas = vec![ByteRange { offset: 0, length: 2 * MIB }];
    areas.extend([2 * MIB, 4 * MIB, 64 * MIB, 256 * GIB].map(block_at));
    for block_size in [KIB, 2 * KIB, 4 * KIB] {
        areas.extend(ext_backups(size, block_size * block_size * 8));
    }
    for quarter in 1..4 {
        let start = (size / 4 * quarter).saturating_sub(128 * KIB) / ALIGNMENT * ALIGNMENT;
        areas.push(ByteRange { offset: start, length: 256 * KIB });
    }
    areas.push(ByteRange {
        offset: size.saturating_sub(MIB) / ALIGNMENT * ALIGNMENT,
        length: MIB + ALIGNMENT,
    });
    merged(areas, size)
}

fn block_at(offset: u64) -> ByteRange {
    ByteRange { offset, length: ALIGNMENT }
}

fn ext_backups(size: u64, group: u64) -> Vec<ByteRange> {
    let groups = size / group;
    let powers = |base: u64| {
        core::iter::successors(Some(base), move |power| power.checked_mul(base))
            .take_while(move |power| *power <= groups)
    };
    let numbers = core::iter::once(1).chain(powers(3)).chain(powers(5)).chain(powers(7));
    numbers.map(|number| block_at(number * group)).collect()
}

/// Sorted, clipped to `size`, with touching ranges joined.
fn merged(mut areas: Vec<ByteRange>, size: u64) -> Vec<ByteRange> {
    areas.retain(|area| area.offset < size);
    areas.sort();
    let mut joined: Vec<ByteRange> = Vec::with_capacity(areas.len());
    for area in areas {
        let end = (area.offset + area.length).min(size);
        match joined.last_mut() {
            Some(last) if area.offset <= last.offset + last.length => {
                last.length = last.length.max(end - last.offset);
            }
            _ => joined.push(ByteRange { offset: area.offset, length: end - area.offset }),
        }
    }
    joined
}

/// Whether `read` leaves no byte of `wanted` out. Both in any order.
pub(crate) fn cover(read: &[ByteRange], wanted: &[ByteRange]) -> bool {
    let read = merged(read.to_vec(), u64::MAX);
    wanted.iter().all(|want| {
        read.iter()
            .any(|have| have.offset <= want.offset && want.offset + want.length <= have.offset + have.length)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_areas_hold_every_backup_that_could_betray_data() {
        let areas = signature_areas(GIB);
        let covered = |offset: u64| cover(&areas, &[ByteRange { offset, length: 512 }]);
        // ext4, 4 KiB blocks: group 1 at 128 MiB, group 3; 1 KiB blocks: group 1 at 8 MiB + 1 KiB.
        for offset in [0, 1024, 128 * MIB, 384 * MIB, 8 * MIB + 1024, 64 * KIB, 64 * MIB] {
            assert!(covered(offset), "{offset}");
        }
        // xfs allocation groups of a default mkfs, LUKS2 secondary, backup GPT.
        for offset in [256 * MIB, 512 * MIB, 768 * MIB, 4 * MIB, GIB - 512] {
            assert!(covered(offset), "{offset}");
        }
        assert!(!covered(100 * MIB));
        let total: u64 = areas.iter().map(|area| area.length).sum();
        assert!(total < 8 * MIB, "{total} bytes are too many to read at every first stage");
    }

    #[test]
    fn no_area_leaves_the_device_however_small() {
        for size in [4 * KIB, 20 * MIB, 20 * MIB + 512, 3 * GIB, 1 << 44] {
            for area in signature_areas(size) {
                assert!(area.offset + area.length <= size, "{size} {area:?}");
                assert_eq!(area.offset % ALIGNMENT, 0, "{size} {area:?}");
            }
        }
    }

    #[test]
    fn a_scan_with_a_gap_does_not_cover() {
        let wanted = [ByteRange { offset: 0, length: 8192 }];
        let half = ByteRange { offset: 0, length: 4096 };
        assert!(!cover(&[half], &wanted));
        assert!(cover(&[ByteRange { offset: 4096, length: 4096 }, half], &wanted));
    }
}
