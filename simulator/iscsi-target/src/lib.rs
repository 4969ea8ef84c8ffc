//! An iSCSI target in user space with an array's identity and failure behaviour
