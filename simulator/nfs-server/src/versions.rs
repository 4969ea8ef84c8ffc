//! Which versions of NFS a server speaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::rpc::{Caller, Refusal, Service};
use crate::xdr::{Decoder, Encoder};

/// The versions of NFS that an SVM has enabled; all of them at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NfsVersions {
    /// NFS v3, with its MOUNT.
    pub v3: bool,
    /// NFS v4.0.
    pub v4_0: bool,
    /// NFS v4.1.
    pub v4_1: bool,
    /// NFS v4.2.
    pub v4_2: bool,
}

impl Default for NfsVersions {
    fn default() -> Self {
        Self { v3: true, v4_0: true, v4_1: true, v4_2: true }
    }
}

/// A service that can be switched off.
#[derive(Debug)]
pub(crate) struct Switched<S> {
    pub(crate) service: S,
    pub(crate) on: Arc<AtomicBool>,
}

impl<S: Service> Service for Switched<S> {
    fn program(&self) -> u32 {
        self.service.program()
    }

    fn version(&self) -> u32 {
        self.service.version()
    }

    fn is_idempotent(&self, procedure: u32) -> bool {
        self.service.is_idempotent(procedure)
    }

    fn moves_data(&self, procedure: u32, arguments: &Decoder) -> bool {
        self.service.moves_data(procedure, arguments)
    }

    fn may_repeat(&self, procedure: u32, arguments: &Decoder) -> bool {
        self.service.may_repeat(procedure, arguments)
    }

    fn is_enabled(&self) -> bool {
        self.on.load(Ordering::Relaxed) && self.service.is_enabled()
    }

    fn serve(
        &self,
        procedure: u32,
        caller: &Caller,
        arguments: &mut Decoder,
        results: &mut Encoder,
    ) -> Result<(), Refusal> {
        self.service.serve(procedure, caller, arguments, results)
    }
}
