//! Generates `tine.fleet.v1` and `tine.admin.v1`.

fn main() -> anyhow::Result<()> {
    proto_build::compile(&["fleet.proto", "admin.proto"], "tine.fleet.v1.secret")
}
