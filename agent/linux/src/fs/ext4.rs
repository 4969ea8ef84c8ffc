//! mkfs.ext4.

/// * `nodiscard`: the device was just proven blank; unmapping a whole thin LUN that holds nothing
///   costs time on the array and frees nothing.
/// * `lazy_itable_init`: inode tables are zeroed by the kernel after the mount. The journal is not
///   made lazily: outside the areas that were read there may be an old one.
/// * `-m 0`: nothing runs as this filesystem's root reserve; a claim of N GiB shall offer N GiB. It
///   is also what Kubernetes' own mounter asks for.
pub(super) const OPTIONS: &[&str] = &["-q", "-m", "0", "-E", "nodiscard,lazy_itable_init=1"];
