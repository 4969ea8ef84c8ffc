//! The whole system on one machine: worker nodes that are virtual machines with a stock kernel,
//! simulated arrays, the controller, an agent in each node — the programs that ship, started the
//! way a cluster starts them.
//!
//! * [`bare`] is a node without agent, for judging one service.
//! * [`lab`] starts and stops all of it in a network namespace of its own.
//! * [`orchestrator`] calls CSI as kubelet and the sidecars do.
//! * [`planes`] are the arrays' data planes alone, with the load that judges them.
//! * [`scenes`] are the stories: each is a scene of the demo *and* a test of this package.
//! * [`soak`] lets them fail for as long as one likes.
//! * [`timeline`] is what the demo prints.

pub mod bare;
pub mod lab;
pub mod orchestrator;
pub mod planes;
pub mod scenes;
pub mod soak;
pub mod timeline;
