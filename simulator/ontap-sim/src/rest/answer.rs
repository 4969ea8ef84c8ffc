//! What goes back to the client, and its error envelope.

use serde_json::{Value, json};

use crate::state::{JobId, Refusal};

/// An answer, before it is HTTP.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Location` header: the path of what was made, with every key.
    pub location: Option<String>,
    /// `Allow` header.
    pub allow: Option<String>,
    /// JSON body.
    pub body: Value,
}

impl Answer {
    pub(super) fn new(status: u16, body: Value) -> Self {
        Self { status, location: None, allow: None, body }
    }

    /// The answer to a refused request. In error bodies the code is text.
    pub fn refused(refusal: &Refusal) -> Self {
        let mut error = json!({ "message": refusal.message, "code": refusal.code.to_string() });
        if let (Some(target), Some(error)) = (&refusal.target, error.as_object_mut()) {
            error.insert("target".into(), target.as_str().into());
        }
        Self::new(refusal.status, json!({ "error": error }))
    }

    /// The answer to a request that a job carries out.
    pub fn accepted(job: JobId) -> Self {
        Self::new(202, json!({ "job": job_link(job) }))
    }
}

/// The link to a job, in the form that every client finds.
pub(super) fn job_link(job: JobId) -> Value {
    json!({ "uuid": job.to_string(), "_links": { "self": { "href": format!("/api/cluster/jobs/{job}") } } })
}
