//! Big-endian fields of headers, CDBs and parameter lists. Reading past the end yields zero and
//! writing past it does nothing: a short buffer from the wire cannot panic.

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    array_at(bytes, at).map_or(0, u16::from_be_bytes)
}

pub(crate) fn u24_at(bytes: &[u8], at: usize) -> u32 {
    array_at(bytes, at).map_or(0, |[a, b, c]| u32::from_be_bytes([0, a, b, c]))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    array_at(bytes, at).map_or(0, u32::from_be_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    array_at(bytes, at).map_or(0, u64::from_be_bytes)
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

pub(crate) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// `text` in a field of `N` bytes, left-aligned, padded with spaces or cut (SPC-4 §4.3.1).
pub(crate) fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [b' '; N];
    for (place, byte) in field.iter_mut().zip(text.bytes()) {
        *place = byte;
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_past_the_end_reads_zero_and_swallows_writes() {
        let mut bytes = [1, 2, 3];
        assert_eq!(u16_at(&bytes, 1), 0x0203);
        assert_eq!((u16_at(&bytes, 2), u64_at(&bytes, usize::MAX)), (0, 0));
        put(&mut bytes, 2, &[9, 9]);
        assert_eq!(bytes, [1, 2, 3]);
    }

    #[test]
    fn text_is_padded_or_cut() {
        assert_eq!(&padded::<8>("NETAPP"), b"NETAPP  ");
        assert_eq!(&padded::<4>("SolidFir"), b"Soli");
    }
}
