//! The Container Storage Interface as Rust types: the one crate that generates from `csi.proto`.
//!
//! Every message that carries secrets (fields marked `csi_secret` in the protocol) prints them as
//! `***`, so that a request may be logged whole.

/// Package `csi.v1`: messages, clients and servers as CSI 1.12 names and numbers them.
#[allow(missing_docs, missing_debug_implementations, unreachable_pub)] // generated code
#[allow(clippy::all, clippy::pedantic, rustdoc::all)] // generated code
pub mod v1 {
    tonic::include_proto!("csi.v1");
    include!(concat!(env!("OUT_DIR"), "/csi.v1.redacted.rs"));
}

#[cfg(test)]
mod tests {
    use super::v1;

    fn canary() -> std::collections::HashMap<String, String> {
        [("passphrase".to_owned(), "canary-4711".to_owned())].into()
    }

    #[test]
    fn a_request_with_secrets_prints_their_names_and_never_their_values() {
        let stage = v1::NodeStageVolumeRequest {
            volume_id: "vol-1".to_owned(),
            secrets: canary(),
            ..Default::default()
        };
        let create = v1::CreateVolumeRequest { secrets: canary(), ..Default::default() };
        for text in [format!("{stage:?}"), format!("{stage:#?}"), format!("{create:?}")] {
            assert!(!text.contains("canary-4711"), "{text}");
            assert!(text.contains("passphrase"), "{text}");
        }
        assert!(format!("{stage:?}").contains("vol-1"));
    }

    /// Field numbers are the protocol: encode by name, look at the bytes.
    #[test]
    fn field_numbers_on_the_wire_are_those_of_the_specification() {
        use prost::Message as _;
        let publish = v1::NodePublishVolumeRequest {
            volume_id: "v".into(),
            staging_target_path: "s".into(),
            target_path: "t".into(),
            readonly: true,
            ..Default::default()
        };
        assert_eq!(publish.encode_to_vec(), [0x0a, 1, b'v', 0x1a, 1, b's', 0x22, 1, b't', 0x30, 1]);
    }
}
