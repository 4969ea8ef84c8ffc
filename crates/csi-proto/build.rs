//! Generates `csi.v1`.

fn main() -> anyhow::Result<()> {
    proto_build::compile(&["csi.proto"], "csi.v1.csi_secret")
}
