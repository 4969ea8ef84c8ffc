//! Sessions through the host's own open-iscsi: node records written as files, `iscsiadm` only to log
//! in and out, sysfs for everything that is read.

pub mod locks;
pub mod record;
pub mod scan;
pub mod session;
