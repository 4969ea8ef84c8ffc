//! The listeners: HTTPS for the management API, plain HTTP for the control endpoint. HTTP/1.1 with
//! keep-alive; every connection is a task of its own, so that one client's broken handshake or
//! stalled request harms nobody else.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{ClientCertificates, TlsIdentity};

/// How long a client may take over its TLS handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// How long a client may take to send its request's headers, and a kept-alive connection may idle.
const HEADER_DEADLINE: Duration = Duration::from_secs(120);
/// How long open requests may run on after the stop.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);
/// The pause after an accept that failed for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a listener could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be bound.
    #[error("{flag} {address}: cannot listen there ({reason}); give a free port of an address of this host")]
    Bind {
        /// The flag that named the address.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's reason, in its words.
        reason: String,
    },
    /// A bound listener does not tell its address.
    #[error("the listener has no local address")]
    Local(#[from] io::Error),
}

/// In the extensions of each request: cancelled when the listener stops. An answer without end ends
/// then.
#[derive(Debug, Clone)]
pub(crate) struct Stopping(pub(crate) CancellationToken);

/// In the extensions of an answer that is not to be sent: the connection is closed instead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CutConnection;

#[derive(Debug, thiserror::Error)]
#[error("cut by a lever")]
struct Cut;

/// A running listener.
#[derive(Debug)]
pub struct Serving {
    local_address: SocketAddr,
    task: JoinHandle<()>,
}

impl Serving {
    /// Where it really listens (tells the port when 0 was asked for).
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Waits until the listener has stopped after its token was cancelled: requests that were running have been
    /// answered or, after 5 s, dropped.
    pub async fn stopped(self) {
        // The task can only end by returning or by a panic that was already reported.
        let _ended = self.task.await;
    }
}

/// Binds `address`; `flag` is named in the error.
///
/// # Errors
/// [`ServeError::Bind`] with flag, address and cure.
pub async fn bind(flag: &'static str, address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|error| ServeError::Bind {
        flag,
        address,
        reason: error.to_string(),
    })
}

/// Serves `router` over TLS on `listener` until `stop` is cancelled. Requests have the
/// [`ClientCertificates`] of their connection as an extension, of which there may be none.
///
/// # Errors
/// [`ServeError::Local`] when the listener has no address.
pub fn serve_https(
    listener: TcpListener,
    identity: &TlsIdentity,
    router: Router,
    stop: CancellationToken,
) -> Result<Serving, ServeError> {
    serve(listener, Some(TlsAcceptor::from(identity.server_config())), router, stop)
}

/// Serves `router` in clear on `listener` until `stop` is cancelled.
///
/// # Errors
/// [`ServeError::Local`] when the listener has no address.
pub fn serve_http(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) -> Result<Serving, ServeError> {
    serve(listener, None, router, stop)
}

fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: CancellationToken,
) -> Result<Serving, ServeError> {
    let local_address = listener.local_addr()?;
    let task = tokio::spawn(accept_until_stopped(listener, tls, router, stop));
    Ok(Serving { local_address, task })
}

async fn accept_until_stopped(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: CancellationToken,
) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(connection(stream, peer, tls.clone(), router.clone(), stop.clone()));
                }
                Err(error) => {
                    warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let drained = timeout(DRAIN_DEADLINE, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        connections.abort_all();
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%peer, %error, "no TCP_NODELAY");
    }
    let Some(tls) = tls else {
        return converse(stream, peer, router, stop).await;
    };
    tokio::select! {
        () = stop.cancelled() => {}
        shaken = timeout(HANDSHAKE_DEADLINE, tls.accept(stream)) => match shaken {
            Ok(Ok(stream)) => {
                let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
                let shown = ClientCertificates(shown.iter().map(|shown| shown.clone().into_owned()).collect());
                converse(stream, peer, router.layer(Extension(shown)), stop).await;
            }
            Ok(Err(error)) => warn!(%peer, %error, "TLS handshake failed"),
            Err(_) => warn!(%peer, "TLS handshake not finished in {HANDSHAKE_DEADLINE:?}"),
        },
    }
}

async fn converse<S>(stream: S, peer: SocketAddr, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_DEADLINE);
    let service = TowerToHyperService::new(router);
    let stopping = Stopping(stop.clone());
    let service = service_fn(move |mut request| {
        request.extensions_mut().insert(stopping.clone());
        let answered = service.call(request);
        async {
            let Ok(response) = answered.await;
            // hyper closes the connection of a service that fails, and sends nothing.
            if response.extensions().get::<CutConnection>().is_some() { Err(Cut) } else { Ok(response) }
        }
    });
    let conversation = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(conversation);
    let ended = tokio::select! {
        ended = conversation.as_mut() => ended,
        () = stop.cancelled() => {
            conversation.as_mut().graceful_shutdown();
            conversation.await
        }
    };
    if let Err(error) = ended {
        debug!(%peer, %error, "connection ended");
    }
}
