//! The listener judged by a verifying client: who is trusted, what one bad connection does to the
//! others, and how it ends.

// Helpers of tests fail the test that called them.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use reqwest::{Certificate, Client};
use sim_front::{Serving, TlsIdentity, bind, serve_https};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

struct Bench {
    identity: TlsIdentity,
    serving: Serving,
    stop: CancellationToken,
}

async fn listening() -> Bench {
    // A second installation finds the first: either is the same provider.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let identity = TlsIdentity::generate("a-sim", &["127.0.0.7".parse().unwrap()]).unwrap();
    let router = Router::new().route("/", get(|| async { "here" })).route(
        "/slow",
        get(|| async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            "late"
        }),
    );
    let listener = bind("--management", "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let stop = CancellationToken::new();
    let serving = serve_https(listener, &identity, router, stop.clone()).unwrap();
    Bench { identity, serving, stop }
}

fn client_trusting(pem: &str) -> Client {
    let ca = Certificate::from_pem(pem.as_bytes()).unwrap();
    Client::builder().tls_certs_only([ca]).no_proxy().build().unwrap()
}

impl Bench {
    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.serving.local_address())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_the_ca_is_served_and_one_that_has_another_is_not() {
    let bench = listening().await;
    let trusting = client_trusting(bench.identity.ca_pem());
    assert_eq!(trusting.get(bench.url("/")).send().await.unwrap().text().await.unwrap(), "here");
    let localhost = format!("https://localhost:{}/", bench.serving.local_address().port());
    assert_eq!(trusting.get(localhost).send().await.unwrap().status(), 200);
    let other = TlsIdentity::generate("a-sim", &[]).unwrap();
    let error = client_trusting(other.ca_pem()).get(bench.url("/")).send().await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    bench.stop.cancel();
    bench.serving.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_and_a_stalled_handshake_harm_nobody() {
    let bench = listening().await;
    let address = bench.serving.local_address();
    let stalled = TcpStream::connect(address).await.unwrap();
    let mut broken = TcpStream::connect(address).await.unwrap();
    broken.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    // It is told off with an alert, or cut.
    let mut rest = Vec::new();
    let told = tokio::time::timeout(Duration::from_secs(5), broken.read_to_end(&mut rest)).await.unwrap();
    assert!(told.is_err() || !String::from_utf8_lossy(&rest).contains("HTTP/1.1 200"));
    let client = client_trusting(bench.identity.ca_pem());
    let calls = (0..40).map(|_| {
        let (client, url) = (client.clone(), bench.url("/"));
        tokio::spawn(async move { client.get(url).send().await.unwrap().status() })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), 200);
    }
    drop(stalled);
    bench.stop.cancel();
    bench.serving.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_the_running_request_end_and_frees_the_port() {
    let bench = listening().await;
    let address = bench.serving.local_address();
    let client = client_trusting(bench.identity.ca_pem());
    // A first request, so that the connection stands before the slow one is sent.
    client.get(bench.url("/")).send().await.unwrap();
    let slow = tokio::spawn(client.get(bench.url("/slow")).send());
    tokio::time::sleep(Duration::from_millis(50)).await;
    bench.stop.cancel();
    assert_eq!(slow.await.unwrap().unwrap().text().await.unwrap(), "late");
    tokio::time::timeout(Duration::from_secs(4), bench.serving.stopped()).await.unwrap();
    bind("--management", address).await.unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_refused_with_flag_value_and_cure() {
    let taken = bind("--management", "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = bind("--control", address).await.unwrap_err().to_string();
    assert!(
        error.contains("--control") && error.contains(&address.to_string()) && error.contains("free port"),
        "{error}"
    );
}

#[test]
fn an_identity_does_not_print_its_keys_and_exports_only_the_certificate() {
    let identity = TlsIdentity::generate("a-sim", &[]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    identity.write_ca_pem(&path).unwrap();
    let exported = std::fs::read_to_string(&path).unwrap();
    assert!(exported.starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(!format!("{identity:?}{exported}").contains("PRIVATE KEY"));
    let error = identity.write_ca_pem(directory.path()).unwrap_err().to_string();
    assert!(error.contains("--ca-out"), "{error}");
}
