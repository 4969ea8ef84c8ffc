//! A NetApp ONTAP array in one process: REST API, NFS and iSCSI

fn main() {}
