//! The ways a volume can be used: CSI access modes and types, and who may share with whom.

use csi_proto::v1::volume_capability::access_mode::Mode;

use crate::array::Protocol;
use crate::store::UseRecord;

impl UseRecord {
    /// The access mode.
    pub fn access_mode(&self) -> Mode {
        Mode::try_from(self.mode).unwrap_or(Mode::Unknown)
    }

    /// One node at a time.
    pub fn is_exclusive(&self) -> bool {
        matches!(
            self.access_mode(),
            Mode::SingleNodeWriter
                | Mode::SingleNodeReaderOnly
                | Mode::SingleNodeSingleWriter
                | Mode::SingleNodeMultiWriter
        )
    }
}

impl core::fmt::Display for UseRecord {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let kind = if self.block { "block" } else { "mount" };
        write!(f, "{kind} {}", self.access_mode().as_str_name())
    }
}

/// Why a volume of `protocol` cannot be used that way, on an array that can (`shares_devices`) or
/// cannot let several nodes use one device and take the leave of each back alone.
pub fn refusal(protocol: Protocol, shares_devices: bool, r#use: &UseRecord) -> Option<&'static str> {
    match (protocol, r#use.block, r#use.access_mode()) {
        (_, _, Mode::Unknown) => Some("the access mode is not known"),
        (_, _, Mode::MultiNodeSingleWriter) => Some("MULTI_NODE_SINGLE_WRITER cannot be enforced there"),
        (Protocol::File, true, _) => Some("it serves files: a raw block volume needs a SAN backend"),
        (Protocol::Block, true, _) if !shares_devices && !r#use.is_exclusive() => Some(
            "this array cannot revoke one node's access alone: use a single-node access mode, or ontap-san",
        ),
        (Protocol::File, false, _) | (Protocol::Block, true, _) => None,
        (Protocol::Block, false, _) if r#use.is_exclusive() => None,
        (Protocol::Block, false, _) => Some(
            "a filesystem on a block device is for one node at a time: use a NAS backend, or volumeMode Block",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_and_raw_devices_are_shared_between_nodes() {
        let refused = |protocol, block, mode: Mode| {
            refusal(protocol, true, &UseRecord { block, mode: mode as i32 }).is_some()
        };
        assert!(!refused(Protocol::File, false, Mode::MultiNodeMultiWriter));
        assert!(!refused(Protocol::Block, true, Mode::MultiNodeMultiWriter));
        assert!(!refused(Protocol::Block, false, Mode::SingleNodeWriter));
        assert!(refused(Protocol::Block, false, Mode::MultiNodeMultiWriter));
        assert!(refused(Protocol::Block, false, Mode::MultiNodeReaderOnly));
        assert!(refused(Protocol::File, true, Mode::SingleNodeWriter));
        assert!(refused(Protocol::File, false, Mode::MultiNodeSingleWriter));
    }
}
