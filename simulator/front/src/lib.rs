//! What both simulators show to the outside: a TLS identity, an HTTPS listener, basic
//! authentication, the command-line flags they share, the control endpoint a test harness talks
//! to, and the line that says "ready".
//!
//! Nothing here knows ONTAP or Element. A simulator builds an [`axum::Router`] for its API, gives
//! it to [`serve_https`], implements [`Controlled`] for its array and gives
//! [`control_router`] to [`serve_http`].
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use sim_front::{TlsIdentity, bind, serve_https, await_stop_signal};
//! use tokio_util::sync::CancellationToken;
//!
//! let stop = CancellationToken::new();
//! let identity = TlsIdentity::generate("a-sim", &["192.168.0.101".parse()?])?;
//! let listener = bind("--management", "192.168.0.101:443".parse()?).await?;
//! let api = serve_https(listener, &identity, axum::Router::new(), stop.clone())?;
//! println!("listening on {}", api.local_address());
//! await_stop_signal().await?;
//! stop.cancel();
//! api.stopped().await;
//! # Ok(()) }
//! ```

mod api_faults;
mod arguments;
mod auth;
mod certificate;
mod control;
mod ready;
mod serve;
mod signal;
mod tls;
pub mod yaml;

pub use api_faults::{ApiSkin, Mishaps, obey_levers};
pub use arguments::{ArgumentError, FrontArguments};
pub use auth::{BasicAuth, Denied, Password, User, basic_credentials};
pub use certificate::{
    CertificateFacts, ClientCertificates, UnreadableCertificate, common_name_of, is_issued_by,
    read_certificate,
};
pub use control::{
    Cell, ControlError, Controlled, Digest, Happening, Lever, PortalSelector, Portrait, Row, Section,
    control_router, unit_levers,
};
pub use levers::PortalFault;
pub use ready::{ReadyError, announce_ready};
pub use serve::{ServeError, Serving, bind, serve_http, serve_https};
pub use signal::{SignalError, await_stop_signal};
pub use tls::{TlsError, TlsIdentity};
