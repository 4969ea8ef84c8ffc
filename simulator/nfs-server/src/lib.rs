//! An NFS server in user space with export policies
