//! The REST client: basic authentication, TLS, bounded concurrency, errors and jobs.

use std::time::Duration;

use contract::Secret;
use reqwest::{Method, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use url::Url;

use crate::array::ArrayError;
use crate::array::http;
use crate::backend::config::OntapConnection;

/// Requests an array is asked at a time: as many as its other clients use.
const CONCURRENCY: usize = 20;
/// A job that takes longer is reported; the next call finds where it stands.
const JOB_DEADLINE: Duration = Duration::from_secs(60);
/// Seconds the array may hold an answer back until its job has ended, instead of being polled.
const RETURN_TIMEOUT: &str = "15";
/// Job polls start here and double up to [`SLOWEST_POLL`]; REST has no event to await.
const FIRST_POLL: Duration = Duration::from_millis(50);
const SLOWEST_POLL: Duration = Duration::from_secs(2);

/// Error codes this client's callers branch on (ONTAP REST error reference).
pub(super) mod code {
    /// Entry exists.
    pub(in super::super) const DUPLICATE: &str = "1";
    /// Entry does not exist.
    pub(in super::super) const MISSING: &str = "4";
    /// Volume name in use.
    pub(in super::super) const VOLUME_EXISTS: &str = "917526";
    /// Volume busy.
    pub(in super::super) const VOLUME_BUSY: &str = "524486";
    /// Snapshot name in use.
    pub(in super::super) const SNAPSHOT_EXISTS: &str = "525059";
    /// Snapshot does not exist.
    pub(in super::super) const SNAPSHOT_MISSING: &str = "1638600";
    /// The volume is no clone (any more).
    pub(in super::super) const NO_CLONE: &str = "918209";
    /// LUN exists.
    pub(in super::super) const LUN_EXISTS: &str = "5374242";
    /// LUN map exists.
    pub(in super::super) const MAP_EXISTS: &str = "1254207";
    /// LUN map does not exist.
    pub(in super::super) const MAP_MISSING: &str = "5374922";
    /// igroup exists.
    pub(in super::super) const IGROUP_EXISTS: &str = "5374023";
    /// igroup is mapped.
    pub(in super::super) const IGROUP_MAPPED: &str = "1254213";
    /// igroup does not exist.
    pub(in super::super) const IGROUP_MISSING: &str = "5374852";
    /// Initiator is in the igroup.
    pub(in super::super) const INITIATOR_EXISTS: &str = "5374035";
    /// Export rule exists.
    pub(in super::super) const RULE_EXISTS: &str = "1704070";
    /// Not enough space in the aggregate.
    pub(in super::super) const AGGREGATE_FULL: &[&str] = &["917927", "13115445", "460770", "917888"];
}

/// A collection.
#[derive(Debug, Deserialize)]
struct Records<T> {
    #[serde(default = "Vec::new")]
    records: Vec<T>,
}

#[derive(Debug, Deserialize)]
struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Debug, Default, Deserialize)]
struct ErrorDetail {
    #[serde(default)]
    code: Value,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Deserialize)]
struct Job {
    #[serde(default)]
    state: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    code: Value,
    #[serde(default)]
    error: Option<ErrorDetail>,
}

/// A connection to the REST API of one SVM.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    api: Url,
    address: String,
    username: String,
    password: Secret,
    permits: Semaphore,
}

impl Client {
    pub(super) fn new(connection: &OntapConnection) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: http::client(connection.trusted_ca.as_deref())?,
            api: connection.api.clone(),
            address: connection.management_lif.clone(),
            username: connection.username.clone(),
            password: connection.password.clone(),
            permits: Semaphore::new(CONCURRENCY),
        })
    }

    /// One object.
    pub(super) async fn object<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ArrayError> {
        let call = format!("GET {path}");
        let (_, body) = self.request(Method::GET, path, query, None).await?;
        serde_json::from_value(body)
            .map_err(|error| ArrayError::Unexpected { call, problem: error.to_string() })
    }

    /// All records of a collection that match `query`. Lists here are short: an object and its
    /// parts, or what one igroup maps; the array's page holds 10 000.
    pub(super) async fn records<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<T>, ArrayError> {
        Ok(self.object::<Records<T>>(path, query).await?.records)
    }

    /// Creates, and waits until it is created.
    pub(super) async fn post(
        &self,
        path: &str,
        query: &[(&str, &str)],
        body: Value,
    ) -> Result<Value, ArrayError> {
        self.change(Method::POST, path, query, Some(body)).await
    }

    /// Modifies, and waits until it is modified.
    pub(super) async fn patch(&self, path: &str, body: Value) -> Result<(), ArrayError> {
        self.change(Method::PATCH, path, &[], Some(body)).await.map(drop)
    }

    /// Deletes, and waits until it is deleted.
    pub(super) async fn delete(&self, path: &str) -> Result<(), ArrayError> {
        self.change(Method::DELETE, path, &[], None).await.map(drop)
    }

    async fn change(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Value, ArrayError> {
        let call = format!("{method} {path}");
        let mut query = query.to_vec();
        // Only volumes are changed by jobs; the rest is answered at once and has no such parameter.
        if path.starts_with("storage/volumes") {
            query.push(("return_timeout", RETURN_TIMEOUT));
        }
        let (status, body) = self.request(method, path, &query, body).await?;
        if status == StatusCode::ACCEPTED {
            let job = body.pointer("/job/uuid").and_then(Value::as_str).ok_or_else(|| {
                ArrayError::Unexpected { call: call.clone(), problem: "202 without a job".to_owned() }
            })?;
            self.await_job(&call, job).await?;
        }
        Ok(body)
    }

    async fn await_job(&self, call: &str, uuid: &str) -> Result<(), ArrayError> {
        let started = Instant::now();
        let mut pause = FIRST_POLL;
        loop {
            let path = format!("cluster/jobs/{uuid}");
            let job: Job = self.object(&path, &[("fields", "state,message,code,error")]).await?;
            match job.state.as_str() {
                "success" => return Ok(()),
                "queued" | "running" | "paused" | "pausing" => {}
                "failure" => {
                    let detail = job.error.unwrap_or_default();
                    let code = if detail.code.is_null() { job.code } else { detail.code };
                    let message = if detail.message.is_empty() { job.message } else { detail.message };
                    return Err(ArrayError::Refused {
                        call: call.to_owned(),
                        code: code_text(&code),
                        message: one_line(&message),
                    });
                }
                other => {
                    let problem = format!("its job is `{other}`");
                    return Err(ArrayError::Unexpected { call: call.to_owned(), problem });
                }
            }
            if started.elapsed() + pause > JOB_DEADLINE {
                return Err(ArrayError::Deadline { call: call.to_owned(), after: JOB_DEADLINE });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(SLOWEST_POLL);
        }
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<(StatusCode, Value), ArrayError> {
        let call = format!("{method} {path}");
        let unreachable = |source: reqwest::Error| ArrayError::Unreachable {
            address: self.address.clone(),
            source: source.without_url(),
        };
        let url = self
            .api
            .join(path)
            .map_err(|error| ArrayError::Unexpected { call: call.clone(), problem: error.to_string() })?;
        // Closed never: the semaphore lives as long as the client.
        let _permit = self.permits.acquire().await;
        let mut request = self
            .http
            .request(method, url)
            .basic_auth(&self.username, Some(self.password.expose()))
            .header(header::ACCEPT, "application/json")
            .header("X-Dot-Client-App", concat!("Tine/", env!("CARGO_PKG_VERSION")))
            .query(query);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(unreachable)?;
        tracing::debug!(call, status = status.as_u16(), "array answered");
        if status == StatusCode::UNAUTHORIZED {
            return Err(ArrayError::Unauthorized { address: self.address.clone() });
        }
        if http::is_not_now(status) {
            return Err(ArrayError::Busy { call, status });
        }
        if !status.is_success() {
            let detail = serde_json::from_slice::<ErrorBody>(&bytes).map(|body| body.error);
            let detail = detail.unwrap_or_else(|_| ErrorDetail {
                code: Value::Null,
                message: format!("HTTP status {status}"),
            });
            let code = match code_text(&detail.code) {
                text if text.is_empty() => status.as_u16().to_string(),
                text => text,
            };
            return Err(ArrayError::Refused { call, code, message: one_line(&detail.message) });
        }
        if bytes.is_empty() {
            return Ok((status, Value::Null));
        }
        let value = serde_json::from_slice(&bytes)
            .map_err(|error| ArrayError::Unexpected { call, problem: error.to_string() })?;
        Ok((status, value))
    }
}

/// Codes are strings in errors and numbers in jobs.
fn code_text(code: &Value) -> String {
    match code {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// An array's words become part of a one-line error.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Takes an error with one of `codes` for success.
pub(super) fn tolerate<T>(answer: Result<T, ArrayError>, codes: &[&str]) -> Result<(), ArrayError> {
    match answer {
        Err(ArrayError::Refused { code, .. }) if codes.contains(&code.as_str()) => Ok(()),
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_array_that_is_overloaded_has_refused_nothing() {
        for (status, busy) in [(429, true), (500, true), (503, true), (400, false)] {
            let client = Client {
                api: http::answering(status).await,
                http: http::client(None).unwrap(),
                address: String::new(),
                username: String::new(),
                password: Secret::new(String::new()),
                permits: Semaphore::new(1),
            };
            let error = client.object::<Value>("cluster", &[]).await.unwrap_err();
            assert_eq!(matches!(error, ArrayError::Busy { .. }), busy, "{status}: {error}");
            assert_eq!(error.is_final(), !busy, "{status}: {error}");
        }
    }
}
