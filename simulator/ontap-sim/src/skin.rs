//! What the levers of the management API must know of ONTAP: what a call does, and how it refuses.

use axum::http::{Method, StatusCode};
use axum::response::Response;
use levers::CallKind;
use sim_front::ApiSkin;

use crate::http::{not_authorised, response};
use crate::rest::Answer;
use crate::state::Refusal;

/// ONTAP's REST API and ZAPI.
#[derive(Debug)]
pub(crate) struct OntapSkin;

impl ApiSkin for OntapSkin {
    fn reads_body(&self, path: &str) -> bool {
        path.starts_with("/servlets/")
    }

    fn kind(&self, method: &Method, _query: &str, body: &[u8]) -> (CallKind, String) {
        if let Some(name) = zapi_name(body) {
            let kind = match name.rsplit('-').next().unwrap_or_default() {
                "get" | "iter" | "info" | "version" | "list" | "status" | "start" | "next" => CallKind::Read,
                "create" | "add" => CallKind::Create,
                "destroy" | "delete" | "remove" => CallKind::Delete,
                _ => CallKind::Change,
            };
            return (kind, name.to_owned());
        }
        let kind = match *method {
            Method::POST => CallKind::Create,
            Method::PATCH | Method::PUT => CallKind::Change,
            Method::DELETE => CallKind::Delete,
            _ => CallKind::Read,
        };
        (kind, String::new())
    }

    fn refusal(&self, status: StatusCode, message: Option<&str>) -> Response {
        if status == StatusCode::UNAUTHORIZED && message.is_none() {
            return not_authorised();
        }
        let (code, usual) = match status {
            StatusCode::FORBIDDEN => (6, "not authorized for that command"),
            StatusCode::NOT_FOUND => (4, "entry doesn't exist"),
            other => (u64::from(other.as_u16()), other.canonical_reason().unwrap_or("Injected failure")),
        };
        let refusal = Refusal { status: status.as_u16(), ..Refusal::request(code, message.unwrap_or(usual)) };
        response(&Answer::refused(&refusal))
    }
}

/// The name of the ZAPI that a body calls: the first element within `<netapp …>`.
fn zapi_name(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    let inside = text.get(text.find("<netapp")?..)?.split_once('>')?.1;
    let name = inside.trim_start().strip_prefix('<')?;
    name.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zapi_is_called_by_the_first_element_of_its_body() {
        let kind = |body: &str| OntapSkin.kind(&Method::POST, "", body.as_bytes());
        let head = "<?xml version='1.0'?><netapp xmlns='x' version=\"1.21\">";
        assert_eq!(
            kind(&format!("{head}<volume-get-iter/></netapp>")),
            (CallKind::Read, "volume-get-iter".into())
        );
        assert_eq!(kind(&format!("{head}\n <lun-destroy><path>")), (CallKind::Delete, "lun-destroy".into()));
        assert_eq!(kind("<netapp"), (CallKind::Create, String::new()));
    }
}
