//! What the levers of the API must know of Element: what a call does, how it refuses, and what goes
//! wrong within the cluster.

use axum::http::{Method, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use levers::CallKind;
use serde_json::Value;
use sim_front::ApiSkin;

use crate::rpc::unauthorized;

/// The Element API.
#[derive(Debug)]
pub(crate) struct ElementSkin;

impl ApiSkin for ElementSkin {
    fn reads_body(&self, path: &str) -> bool {
        path.starts_with("/json-rpc/")
    }

    fn kind(&self, method: &Method, query: &str, body: &[u8]) -> (CallKind, String) {
        let operation = if *method == Method::POST {
            let body: Value = serde_json::from_slice(body).unwrap_or_default();
            body.get("method").and_then(Value::as_str).unwrap_or_default().to_owned()
        } else {
            let named = query.split('&').find_map(|pair| pair.strip_prefix("method="));
            named.unwrap_or_default().to_owned()
        };
        (kind_of(&operation), operation)
    }

    fn refusal(&self, status: StatusCode, message: Option<&str>) -> Response {
        if status == StatusCode::UNAUTHORIZED && message.is_none() {
            return unauthorized();
        }
        let reason = message.or(status.canonical_reason()).unwrap_or("Refused");
        let text = reason.replace('&', "&amp;").replace('<', "&lt;");
        let page = format!(
            "<html><head><title>{0} {text}</title></head><body><h1>{0} {text}.</h1></body></html>\n",
            status.as_u16()
        );
        (status, [(header::CACHE_CONTROL, "no-store")], Html(page)).into_response()
    }
}

/// What a method does, by its name.
fn kind_of(operation: &str) -> CallKind {
    let begins = |heads: &[&str]| heads.iter().any(|head| operation.starts_with(head));
    match () {
        () if begins(&["Create", "Add", "Clone", "Restore"]) => CallKind::Create,
        () if begins(&["Delete", "Remove", "Purge"]) => CallKind::Delete,
        () if begins(&["Modify", "Set", "Start", "Enable", "Disable"]) => CallKind::Change,
        () => CallKind::Read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_tells_what_it_does_in_both_forms_of_a_call() {
        let post = ElementSkin.kind(&Method::POST, "", br#"{"method":"CreateVolume","params":{}}"#);
        assert_eq!(post, (CallKind::Create, "CreateVolume".into()));
        let get = ElementSkin.kind(&Method::GET, "a=1&method=ListAccounts", b"");
        assert_eq!(get, (CallKind::Read, "ListAccounts".into()));
        assert_eq!(ElementSkin.kind(&Method::POST, "", b"{").1, "");
        assert_eq!(kind_of("PurgeDeletedVolume"), CallKind::Delete);
    }
}
