//! What a request brings, parsed: bounded in size and time, and refused with the place of the fault.

use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::Refused;

/// The largest body that is read.
const LARGEST_BODY: usize = 1 << 20;
/// How long a client may take to send it.
const BODY_DEADLINE: Duration = Duration::from_secs(5);

/// The body, JSON. Any content type will do: `curl -d` sends a form's.
pub(super) struct Input<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Input<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        parsed(&read(request).await?).map(Self)
    }
}

async fn read(request: Request) -> Result<Bytes, Refused> {
    let too_large = |announced: &str| {
        let what = format!("the body is larger than {LARGEST_BODY} bytes{announced}");
        Refused::new(StatusCode::PAYLOAD_TOO_LARGE, what)
            .at("body")
            .cure(format!("send at most {LARGEST_BODY} bytes"))
    };
    let announced = request.headers().get("content-length").and_then(|length| length.to_str().ok());
    if let Some(length) = announced.and_then(|length| length.parse::<u64>().ok())
        && length > LARGEST_BODY as u64
    {
        return Err(too_large(&format!(": {length} are announced")));
    }
    match tokio::time::timeout(BODY_DEADLINE, to_bytes(request.into_body(), LARGEST_BODY)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_length_limit(&error) => Err(too_large("")),
        Ok(Err(error)) => Err(Refused::bad(format!("the body broke off: {error}")).at("body")),
        Err(_) => {
            let what = format!("the body did not come within {} s", BODY_DEADLINE.as_secs());
            Err(Refused::new(StatusCode::REQUEST_TIMEOUT, what)
                .at("body")
                .cure("send it at once, with the right Content-Length"))
        }
    }
}

fn is_length_limit(error: &axum::Error) -> bool {
    // The limit is the only error of axum's own; all others come from the connection.
    std::error::Error::source(error).is_some_and(|source| source.to_string().contains("length limit"))
}

/// A body, or an error that says where in it something is wrong.
pub(super) fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    let at = |place: &str| if place == "." { "body".to_owned() } else { format!("body.{place}") };
    let deserializer = &mut serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut *deserializer).map_err(|error| {
        let place = at(&error.path().to_string());
        Refused::bad(format!("the body is not what this request takes: {}", error.inner())).at(place)
    })?;
    let after = |error| Refused::bad(format!("the body goes on after its JSON value: {error}")).at("body");
    deserializer.end().map_err(after)?;
    Ok(value)
}

/// The query.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(Self(query)),
            Err(error) => {
                let reason = std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string);
                Err(Refused::bad(format!("the query is not what this request takes: {reason}")).at("query"))
            }
        }
    }
}

/// The variable part of the path.
pub(super) struct Segment(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(segment)| Self(segment))
            .map_err(|error| Refused::bad(format!("the path cannot be read: {error}")).at("path"))
    }
}
