//! The description of the control endpoint, OpenAPI 3.1, made from the table of its requests and the
//! schemas of `schemas.json`.

use std::sync::LazyLock;

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use super::routes::{Parameter, ROUTES, Route};

/// Schemas by name; JSON Schema 2020-12, as OpenAPI 3.1 has it.
const SCHEMAS: &str = include_str!("schemas.json");

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

pub(super) async fn serve() -> Response {
    Json(&*DOCUMENT).into_response()
}

fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let item = paths.entry(route.path).or_insert_with(|| Value::Object(Map::new()));
        if let Some(item) = item.as_object_mut() {
            item.insert(route.method.to_lowercase(), operation(route));
        }
    }
    // The file is part of the program, and a test reads it.
    let schemas: Value = serde_json::from_str(SCHEMAS).unwrap_or_default();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Control endpoint of a simulated array",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Event log, state, digests and levers. Errors say what is wrong, where, and the cure.",
        },
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn operation(route: &Route) -> Value {
    let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| {
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
    });
    let in_query = route.query.iter().map(|Parameter { name, schema, required }| {
        json!({ "name": name, "in": "query", "required": required, "schema": reference(schema) })
    });
    let parameters: Vec<_> = in_path.chain(in_query).collect();
    let (content, schema) = route.answer;
    let mut responses = Map::new();
    let answer = json!({ "description": "Done", "content": { content: { "schema": reference(schema) } } });
    responses.insert("200".into(), answer);
    let refused = json!({ "description": "Refused", "content": { "application/json": { "schema": reference("Error") } } });
    responses.insert("default".into(), refused);
    let mut operation =
        json!({ "summary": route.summary, "operationId": name_of(route), "responses": responses });
    if let Some(operation) = operation.as_object_mut() {
        if !parameters.is_empty() {
            operation.insert("parameters".into(), parameters.into());
        }
        if let Some(body) = route.body {
            let content = json!({ "application/json": { "schema": reference(body) } });
            operation.insert("requestBody".into(), json!({ "required": true, "content": content }));
        }
    }
    operation
}

/// `get_sim_v1_events`.
fn name_of(route: &Route) -> String {
    let words = route.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<_> =
        std::iter::once(route.method.to_lowercase()).chain(words.map(str::to_owned)).collect();
    words.join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_schema_that_is_named_is_there_and_every_one_there_is_named() {
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        for reference in &found {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(
                found.iter().any(|reference| reference.ends_with(&format!("/{name}"))),
                "{name} is unused"
            );
        }
    }

    #[test]
    fn every_operation_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = ROUTES.iter().map(name_of).collect();
        assert_eq!(names.len(), ROUTES.len());
    }
}
