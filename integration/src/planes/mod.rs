//! The data planes of an array in the test's own process, without its management API: what the
//! clients of a real kernel are judged against, with every lever in reach.
//!
//! * [`san`] is an SVM with a portal on each fabric, and a node's map with both paths.
//! * [`element`] is a SolidFire cluster, and a node's sessions with its volumes.
//! * [`nas`] is an SVM with one LIF whose NFS service is started anew at will.
//! * [`load`] is the verified load that runs in the node meanwhile: `fio`, and `tine-exercise`
//!   of this package.

pub mod element;
pub mod load;
pub mod nas;
pub mod san;
