//! The controller's own gRPC: [`fleet`] for agents, [`admin`] for `tinectl`.
//!
//! Fields marked `secret` in the protocol print as `***`.

/// gRPC metadata key under which an agent sends the token its registration was answered with.
pub const NODE_TOKEN_METADATA: &str = "x-tine-node-token";

/// Generated code; the modules mirror the protobuf packages so that references across them resolve.
#[allow(missing_docs, missing_debug_implementations, unreachable_pub)] // generated code
#[allow(clippy::all, clippy::pedantic, rustdoc::all)] // generated code
mod tine {
    pub mod fleet {
        pub mod v1 {
            tonic::include_proto!("tine.fleet.v1");
            include!(concat!(env!("OUT_DIR"), "/tine.fleet.v1.redacted.rs"));
        }
    }
    pub mod admin {
        pub mod v1 {
            tonic::include_proto!("tine.admin.v1");
            include!(concat!(env!("OUT_DIR"), "/tine.admin.v1.redacted.rs"));
        }
    }
}

pub use tine::{admin::v1 as admin, fleet::v1 as fleet};

#[cfg(test)]
mod tests {
    use super::{admin, fleet};

    #[test]
    fn chap_secrets_and_backend_files_never_print() {
        let chap = fleet::Chap { username: "u".into(), secret: "canary".into(), ..Default::default() };
        let file = admin::CreateBackendRequest { file_name: "b.json".into(), content: b"canary".to_vec() };
        for text in [
            format!("{chap:?}"),
            format!("{:?}", fleet::GetAccessResponse { chap: Some(chap) }),
            format!("{file:?}"),
        ] {
            assert!(!text.contains("canary") && !text.contains("99, 97, 110"), "{text}");
        }
    }
}
