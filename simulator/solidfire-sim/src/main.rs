//! A NetApp SolidFire cluster in one process: JSON-RPC API and iSCSI

fn main() {}
