//! Small things about JSON values that every part of the skin needs.

use serde_json::{Map, Value};

/// The values at a dotted path; arrays on the way are entered, so there may be several.
pub(crate) fn values_at<'v>(value: &'v Value, path: &str) -> Vec<&'v Value> {
    match value {
        Value::Array(items) => items.iter().flat_map(|item| values_at(item, path)).collect(),
        _ if path.is_empty() => vec![value],
        Value::Object(members) => {
            let (head, rest) = path.split_once('.').unwrap_or((path, ""));
            members.get(head).map_or_else(Vec::new, |member| match member {
                Value::Array(items) if rest.is_empty() => items.iter().collect(),
                _ => values_at(member, rest),
            })
        }
        _ => Vec::new(),
    }
}

/// The text of a scalar, as a client would write it in a URL.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Without the members that are null: what is not set is not shown.
pub(super) fn without_nulls(mut value: Value) -> Value {
    drop_nulls(&mut value);
    value
}

/// In place: a page has a hundred thousand members.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Puts `value` at a dotted path, merging with what is there.
pub(super) fn insert_at(members: &mut Map<String, Value>, path: &str, value: Value) {
    let (head, rest) = match path.split_once('.') {
        Some((head, rest)) => (head, Some(rest)),
        None => (path, None),
    };
    let place = members.entry(head.to_owned()).or_insert(Value::Null);
    match (rest, place) {
        (Some(rest), Value::Object(inner)) => insert_at(inner, rest, value),
        (Some(rest), place) => {
            let mut inner = Map::new();
            insert_at(&mut inner, rest, value);
            *place = Value::Object(inner);
        }
        (None, Value::Object(inner)) if value.is_object() => {
            if let Value::Object(more) = value {
                for (name, value) in more {
                    insert_at(inner, &name, value);
                }
            }
        }
        (None, place) => *place = value,
    }
}

/// Bytes from `1073741824`, `1GB`, `20m` (units of 1024); `None` when it is no such number.
pub(crate) fn size_from_text(text: &str) -> Option<i128> {
    let text = text.trim();
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return None,
    };
    number.parse::<i128>().ok()?.checked_mul(1_i128 << shift)
}

/// With `_` for `-` in the names of its members: parameters of commands are written both ways.
pub(super) fn underscored(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members.iter().map(|(name, member)| (name.replace('-', "_"), member.clone())).collect(),
        ),
        other => other.clone(),
    }
}
