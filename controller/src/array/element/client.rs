//! JSON-RPC over HTTPS: API errors arrive with HTTP status 200 and a name.

use contract::Secret;
use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use url::Url;

use crate::array::{ArrayError, http};
use crate::backend::config::SolidFireConfig;

/// Requests a cluster is asked at a time.
const CONCURRENCY: usize = 20;

#[derive(Debug, Deserialize)]
struct Envelope {
    #[serde(default)]
    result: Option<Value>,
    #[serde(default)]
    error: Option<ApiError>,
}

#[derive(Debug, Deserialize)]
struct ApiError {
    #[serde(default)]
    name: String,
    #[serde(default)]
    message: String,
}

#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    endpoint: Url,
    address: String,
    username: String,
    password: Secret,
    permits: Semaphore,
}

impl Client {
    pub(super) fn new(config: &SolidFireConfig) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: http::client(config.trusted_ca.as_deref())?,
            endpoint: config.endpoint.clone(),
            address: config.endpoint.host_str().unwrap_or_default().to_owned(),
            username: config.username.clone(),
            password: config.password.clone(),
            permits: Semaphore::new(CONCURRENCY),
        })
    }

    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
    ) -> Result<T, ArrayError> {
        let unreachable = |source: reqwest::Error| ArrayError::Unreachable {
            address: self.address.clone(),
            source: source.without_url(),
        };
        let unexpected = |problem: String| ArrayError::Unexpected { call: method.to_owned(), problem };
        // Closed never: the semaphore lives as long as the client.
        let _permit = self.permits.acquire().await;
        let answer = self
            .http
            .post(self.endpoint.clone())
            .basic_auth(&self.username, Some(self.password.expose()))
            .json(&json!({ "method": method, "params": params, "id": 1 }))
            .send()
            .await
            .map_err(unreachable)?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(unreachable)?;
        tracing::debug!(method, status = status.as_u16(), "array answered");
        if status == StatusCode::UNAUTHORIZED {
            return Err(ArrayError::Unauthorized { address: self.address.clone() });
        }
        if http::is_not_now(status) {
            return Err(ArrayError::Busy { call: method.to_owned(), status });
        }
        if !status.is_success() {
            return Err(unexpected(format!("HTTP status {status}")));
        }
        let envelope: Envelope =
            serde_json::from_slice(&bytes).map_err(|error| unexpected(error.to_string()))?;
        if let Some(error) = envelope.error {
            let message = error.message.split_whitespace().collect::<Vec<_>>().join(" ");
            return Err(ArrayError::Refused { call: method.to_owned(), code: error.name, message });
        }
        let result = envelope.result.ok_or_else(|| unexpected("no result".to_owned()))?;
        serde_json::from_value(result).map_err(|error| unexpected(error.to_string()))
    }
}

/// The name of the API error, if that is what it is.
pub(super) fn refusal_name(error: &ArrayError) -> Option<&str> {
    match error {
        ArrayError::Refused { code, .. } => Some(code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_array_that_is_overloaded_has_refused_nothing() {
        for (status, busy) in [(429, true), (500, true), (503, true), (400, false)] {
            let client = Client {
                endpoint: http::answering(status).await,
                http: http::client(None).unwrap(),
                address: String::new(),
                username: String::new(),
                password: Secret::new(String::new()),
                permits: Semaphore::new(1),
            };
            let error = client.call::<Value>("GetClusterInfo", json!({})).await.unwrap_err();
            assert_eq!(matches!(error, ArrayError::Busy { .. }), busy, "{status}: {error}");
            assert_eq!(error.is_final(), !busy, "{status}: {error}");
        }
    }
}
