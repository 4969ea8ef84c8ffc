//! Why a control request was refused: one answer that says what is wrong, where, and the cure.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why an array did not do what the control endpoint asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// What was named does not exist (404).
    #[error("{message}")]
    NotFound {
        /// What was looked for, and what there is.
        message: String,
    },
    /// The request makes no sense (400).
    #[error("{message}")]
    Invalid {
        /// What is wrong, and the cure.
        message: String,
    },
    /// The array could not do it (500).
    #[error("{message}")]
    Failed {
        /// What went wrong.
        message: String,
    },
}

/// A refused request, as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(super) struct Refused {
    status: StatusCode,
    what: String,
    /// Where in the request: `body.medium_errors[0].first`, `query since`, `path`.
    place: String,
    cure: String,
}

impl Refused {
    pub(super) fn new(status: StatusCode, what: impl Into<String>) -> Self {
        let cure = "GET /openapi.json describes every request".to_owned();
        Self { status, what: what.into(), place: "request".to_owned(), cure }
    }

    pub(super) fn bad(what: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, what)
    }

    #[must_use]
    pub(super) fn at(self, place: impl Into<String>) -> Self {
        Self { place: place.into(), ..self }
    }

    #[must_use]
    pub(super) fn cure(self, cure: impl Into<String>) -> Self {
        Self { cure: cure.into(), ..self }
    }
}

impl From<ControlError> for Refused {
    fn from(error: ControlError) -> Self {
        let what = error.to_string();
        match error {
            ControlError::NotFound { .. } => Self::new(StatusCode::NOT_FOUND, what)
                .at("path or query: the name")
                .cure("GET /sim/v1/state shows what there is"),
            ControlError::Invalid { .. } => Self::bad(what),
            ControlError::Failed { .. } => Self::new(StatusCode::INTERNAL_SERVER_ERROR, what)
                .at("the array")
                .cure("see the log of the simulator"),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.what, "where": self.place, "cure": self.cure });
        (self.status, Json(body)).into_response()
    }
}
