//! What a node is made of, and what the host needs to make it.

/// Debian packages that the host needs: the builder's programs, QEMU, and the programs that wire
/// the networks. `debian-archive-keyring` matters on Ubuntu: with it a host of any release builds
/// the same Debian node.
pub const HOST_PACKAGES: &[&str] = &[
    "debian-archive-keyring",
    "erofs-utils",
    "iproute2",
    "kmod",
    "lz4",
    "mmdebstrap",
    "qemu-system-x86",
    "util-linux",
    "xz-utils",
    "zstd",
];

/// The release of Debian that a node runs, whatever the host runs.
pub(crate) const SUITE: &str = "bookworm";

/// Userland of a worker node.
pub(crate) const NODE_PACKAGES: &[&str] = &[
    "busybox-static",
    "cryptsetup-bin",
    "e2fsprogs",
    "fio",
    "iproute2",
    "kmod",
    "kpartx",
    "mount",
    "multipath-tools",
    "netbase",
    "nfs-common",
    "nvme-cli",
    "open-iscsi",
    "procps",
    "sg3-utils",
    "udev",
    "util-linux",
    "xfsprogs",
];

/// The meta-package of the full kernel; the cloud kernel lacks the SCSI device handlers (ALUA).
pub(crate) const KERNEL_PACKAGE: &str = "linux-image-amd64";

/// Removed from the root: nothing on the data path of a node reads them.
pub(crate) const TRIMMED: &[&str] = &[
    "boot",
    "etc/udev/hwdb.bin",
    "usr/include",
    "usr/lib/locale",
    "usr/lib/python3",
    "usr/lib/python3.11",
    "usr/lib/udev/hwdb.bin",
    "usr/lib/udev/hwdb.d",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/lib/x86_64-linux-gnu/perl",
    "usr/lib/x86_64-linux-gnu/perl-base",
    "usr/share/bash-completion",
    "usr/share/doc",
    "usr/share/i18n",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/mime",
    "usr/share/misc",
    "usr/share/perl",
    "usr/share/perl5",
    "usr/share/zoneinfo",
    "var/cache",
    "var/lib/apt",
    "var/lib/dpkg/info",
    "var/log",
];

/// Modules that the initial RAM disk needs to reach the root.
pub(crate) const EARLY_MODULES: &[&str] = &["virtio_pci", "virtio_blk", "erofs", "overlay"];

/// Modules loaded at boot, as a worker node of a storage cluster has them.
pub(crate) const BOOT_MODULES: &[&str] = &[
    "virtio_console",
    "virtio_net",
    "af_packet",
    "crc32c_generic",
    "sd_mod",
    "sg",
    "iscsi_tcp",
    "scsi_dh_alua",
    "dm_multipath",
    "dm_service_time",
    "dm_round_robin",
    "dm_queue_length",
    "ext4",
    "xfs",
    "nfsv3",
    "nfsv4",
    "loop",
];

/// Modules carried for tests and journeys, loaded when asked for.
pub(crate) const SPARE_MODULES: &[&str] = &[
    "8021q",
    "aesni_intel",
    "algif_skcipher",
    "brd",
    "btrfs",
    "crc32c_intel",
    "dm_crypt",
    "dm_delay",
    "dm_flakey",
    "dm_log_writes",
    "dm_snapshot",
    "dm_thin_pool",
    "dummy",
    "nbd",
    "nf_tables",
    "nfs_layout_flexfiles",
    "nft_ct",
    "nft_reject_inet",
    "nls_ascii",
    "nls_cp437",
    "nvme",
    "nvme_tcp",
    "nvmet_tcp",
    "rpcsec_gss_krb5",
    "sch_netem",
    "scsi_debug",
    "scsi_dh_emc",
    "scsi_dh_rdac",
    "sha256_generic",
    "tun",
    "vfat",
    "veth",
    "virtio_rng",
    "xts",
];
