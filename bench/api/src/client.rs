//! A client that keeps its connection, as the drivers' do.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use reqwest::{Certificate, Method};
use serde_json::Value;

/// A client of one array.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    password: String,
}

impl Client {
    pub(crate) fn new(ca_pem: &str, management: SocketAddr, password: &str) -> Result<Self> {
        // A second installation finds the first: either is the same provider.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let ca = Certificate::from_pem(ca_pem.as_bytes())?;
        let http = reqwest::Client::builder().tls_certs_only([ca]).no_proxy().build()?;
        Ok(Self { http, base: format!("https://{management}"), password: password.to_owned() })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_slice(&self.read(path).await?)?)
    }

    /// The body as it came: what a client makes of it is the client's own time.
    pub(crate) async fn read(&self, path: &str) -> Result<Vec<u8>> {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Vec<u8>> {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Vec<u8>> {
        self.call(Method::DELETE, path, None).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Vec<u8>> {
        let request = self.http.request(method, format!("{}{path}", self.base));
        let mut request = request.basic_auth("admin", Some(&self.password));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.with_context(|| path.to_owned())?;
        let status = response.status();
        let body = response.bytes().await?;
        if !status.is_success() {
            bail!("{path}: {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(body.into())
    }
}
