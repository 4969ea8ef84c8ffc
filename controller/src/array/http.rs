//! The HTTPS client every array is spoken to with.

use std::time::Duration;

/// A management address that does not answer a connection attempt in this time is named as wrong.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for one answer; longer than an array may hold back the answer of a job.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(45);

/// `trusted_ca`: the one certificate (PEM) to trust; without it any is accepted, since arrays
/// present certificates they signed themselves.
pub(super) fn client(trusted_ca: Option<&str>) -> Result<reqwest::Client, reqwest::Error> {
    let builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(ANSWER_TIMEOUT)
        // A proxy of the environment has no business between controller and array.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none());
    match trusted_ca {
        Some(pem) => builder.tls_certs_only([reqwest::Certificate::from_pem(pem.as_bytes())?]),
        None => builder.tls_danger_accept_invalid_certs(true),
    }
    .build()
}

/// Whether the array says "not now" instead of an answer to the request.
pub(super) fn is_not_now(status: reqwest::StatusCode) -> bool {
    status == reqwest::StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

/// Why a connection did not come about, in a few words for people.
pub(super) fn why_unreachable(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", CONNECT_TIMEOUT.as_secs());
    }
    let chain = telemetry::chain(error).to_string();
    match chain.rsplit(": ").next() {
        Some(innermost) if !innermost.is_empty() => innermost.to_owned(),
        _ => chain,
    }
}

/// The address of an array that gives `status` to the next request, and says no more.
#[cfg(test)]
pub(super) async fn answering(status: u16) -> url::Url {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _length = connection.read(&mut request).await.unwrap();
        let answer = format!("HTTP/1.1 {status} -\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        connection.write_all(answer.as_bytes()).await.unwrap();
    });
    format!("http://{address}/api/").parse().unwrap()
}
