//! The management API at the LIFs of SVMs: a listener each, where the SVM's own accounts log in and
//! see that SVM alone.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use sim_front::{Serving, TlsIdentity, bind, serve_https};
use tokio_util::sync::CancellationToken;

use crate::array::{Array, WeakArray};
use crate::http;
use crate::state::SvmId;

/// Opens doors. The array holds the data planes, which hold it.
pub(crate) struct Doorkeeper {
    array: WeakArray,
    identity: TlsIdentity,
    port: u16,
}

impl fmt::Debug for Doorkeeper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Doorkeeper").field("port", &self.port).finish_non_exhaustive()
    }
}

/// An open door.
#[derive(Debug)]
pub(crate) struct Door {
    address: IpAddr,
    serving: Serving,
    stop: CancellationToken,
}

impl Doorkeeper {
    /// Doors to `array` listen on the port of the cluster's own.
    pub(crate) fn new(array: &Array, identity: &TlsIdentity, port: u16) -> Self {
        Self { array: array.downgrade(), identity: identity.clone(), port }
    }

    /// Opens the door of an SVM; the reason when it cannot.
    pub(crate) async fn open(&self, address: IpAddr, svm: SvmId) -> Result<Door, String> {
        let array = self.array.upgrade().ok_or("the array is shutting down")?;
        let stop = CancellationToken::new();
        let asked = SocketAddr::new(address, self.port);
        let listener = bind("management LIF", asked).await.map_err(|error| error.to_string())?;
        let identity = self.identity.at(address).map_err(|error| error.to_string())?;
        let router = http::router(array, Some(svm));
        let serving = serve_https(listener, &identity, router, stop.clone());
        Ok(Door { address, serving: serving.map_err(|error| error.to_string())?, stop })
    }
}

impl Door {
    /// Where it is.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// Closes it. Requests under way are answered first, which nobody waits for: one of them may be what closes
    /// the door.
    pub(crate) fn close(self) {
        self.stop.cancel();
        tokio::spawn(self.serving.stopped());
    }

    /// Closes it, and waits until nothing is left of it.
    pub(crate) async fn closed(self) {
        self.stop.cancel();
        self.serving.stopped().await;
    }
}
