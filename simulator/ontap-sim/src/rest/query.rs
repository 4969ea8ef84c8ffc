//! The query language: filters with operators, and the parameters that steer a call.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::Value;

use super::path::decoded;
use super::select::within;
use super::value::{size_from_text, text_of, values_at};
use crate::state::Refusal;

/// Records in one page when the client does not say.
const DEFAULT_PAGE: usize = 10_000;

/// Parameters of every call that are not filters and that need no obeying here.
const IGNORED: [&str; 6] = [
    "validate_only",
    "continue_on_failure",
    "serial_records",
    "privilege_level",
    "ignore_unknown_fields",
    "return_unmatched_nested_array_objects",
];

/// One `field=value` that records must match.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    /// Dotted name of the field.
    pub(super) field: String,
    value: String,
}

/// What is asked about the records.
#[derive(Debug, Default)]
pub(super) struct Query {
    /// Names after `fields=`, dashes mended; empty when not given or given empty.
    pub(super) fields: Vec<String>,
    /// All must match.
    pub(super) filters: Vec<Filter>,
    /// Records in a page.
    pub(super) page: usize,
    /// Order, first wins; `true` is descending.
    pub(super) order: Vec<(String, bool)>,
    /// Where the page starts: the key after which.
    pub(super) start: Option<String>,
    /// `return_records`.
    pub(super) return_records: Option<bool>,
    /// Seconds to wait for a job.
    pub(super) return_timeout: u64,
    /// Parameters of this resource's calls, such as `allow_delete_while_mapped`.
    flags: Vec<(String, String)>,
}

impl Query {
    /// Every field of every record.
    pub(super) fn for_everything() -> Self {
        Self { fields: vec!["**".into()], ..Self::default() }
    }

    /// Reads a query string. `known` says which names are fields of the resource, `flags` which are
    /// parameters of its calls.
    ///
    /// # Errors
    /// A [`Refusal`] (262179) for a name that is neither, unless `ignore_unknown_fields` is set; and
    /// for a number or boolean that is none.
    pub(super) fn parse(raw: &str, known: impl Fn(&str) -> bool, flags: &[&str]) -> Result<Self, Refusal> {
        let pairs: Vec<(String, String)> = raw
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decoded(name, true), decoded(value, true)))
            .collect();
        let lenient = pairs
            .iter()
            .any(|(name, value)| name == "ignore_unknown_fields" && value.eq_ignore_ascii_case("true"));
        let mut query = Self { page: DEFAULT_PAGE, ..Self::default() };
        for (name, value) in pairs {
            match name.as_str() {
                "fields" => query.fields.extend(
                    value
                        .split(',')
                        .map(|field| field.trim().replace('-', "_"))
                        .filter(|field| !field.is_empty()),
                ),
                "max_records" => query.page = number(&name, &value)?.max(1),
                "order_by" => query.order.extend(value.split(',').filter_map(order_term)),
                "return_records" => query.return_records = Some(boolean(&name, &value)?),
                "return_timeout" => query.return_timeout = seconds(&name, &value)?,
                name if IGNORED.contains(&name) => {}
                name if name.starts_with("start.") => query.start = Some(value),
                name if flags.contains(&name) => query.flags.push((name.to_owned(), value)),
                _ => {
                    let field = name.replace('-', "_");
                    if known(&field) {
                        query.filters.push(Filter { field, value });
                    } else if !lenient {
                        return Err(Refusal::unexpected(&name));
                    }
                }
            }
        }
        Ok(query)
    }

    /// The boolean parameter `name` of this call; false when absent.
    ///
    /// # Errors
    /// A [`Refusal`] when its value is no boolean.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.flags.iter().find(|(given, _)| given == name) {
            Some((_, value)) => boolean(name, value),
            None => Ok(false),
        }
    }

    /// The value of the parameter `name` of this call.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.flags.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// Whether a record whose `field` has `value` can match at all: lets a resource skip building
    /// records that cannot.
    pub(super) fn admits(&self, field: &str, value: String) -> bool {
        let value = Value::String(value);
        self.filters.iter().filter(|filter| filter.field == field).all(|filter| filter.matches(&[&value]))
    }

    /// The one text that a filter lets `field` have.
    pub(super) fn exact(&self, field: &str) -> Option<&str> {
        self.filters.iter().filter(|filter| filter.field == field).find_map(Filter::literal)
    }

    /// Whether the record matches every filter.
    pub(super) fn matches(&self, record: &Value) -> bool {
        self.filters.iter().all(|filter| filter.matches(&values_at(record, &filter.field)))
    }

    /// Adds the filter `field=value`, taken literally.
    pub(super) fn require(&mut self, field: &str, value: &str) {
        self.filters.push(Filter { field: field.to_owned(), value: format!("\"{value}\"") });
    }

    /// Sorts by `order_by`; what compares equal stays in order.
    pub(super) fn sort(&self, records: Vec<Value>) -> Vec<Value> {
        if self.order.is_empty() {
            return records;
        }
        let keyed = |record: Value| {
            let key = |(field, _): &(String, bool)| {
                values_at(&record, field).first().map(|value| Value::clone(value))
            };
            (self.order.iter().map(key).collect::<Vec<_>>(), record)
        };
        let mut keyed: Vec<_> = records.into_iter().map(keyed).collect();
        keyed.sort_by(|(left, _), (right, _)| {
            let terms = self.order.iter().zip(left.iter().zip(right));
            let orders = terms.map(|((_, descending), (left, right))| {
                let order = compare(left.as_ref(), right.as_ref());
                if *descending { order.reverse() } else { order }
            });
            orders.fold(Ordering::Equal, Ordering::then)
        });
        keyed.into_iter().map(|(_, record)| record).collect()
    }

    /// Whether a field at, above or below `name` is asked for, filtered by or put in order.
    pub(super) fn touches(&self, name: &str) -> bool {
        let near = |field: &str| within(field, name) || within(name, field);
        let asked = |field: &String| field == "**" || near(field.strip_suffix(".*").unwrap_or(field));
        self.fields.iter().any(asked)
            || self.filters.iter().any(|filter| near(&filter.field))
            || self.order.iter().any(|(field, _)| near(field))
    }

    /// Names of the filtered fields: a record shows what it was found by.
    pub(super) fn filtered(&self) -> BTreeSet<&str> {
        self.filters.iter().map(|filter| filter.field.as_str()).collect()
    }
}

/// Whether values of a field fit `pattern` in the query language: the other skins have the same one.
pub(crate) fn satisfies(pattern: &str, values: &[&Value]) -> bool {
    Filter { field: String::new(), value: pattern.to_owned() }.matches(values)
}

impl Filter {
    /// The text it asks for, when it has no operator.
    fn literal(&self) -> Option<&str> {
        let operator = |text: &str| {
            text.is_empty()
                || text == "null"
                || text.starts_with(['!', '<', '>'])
                || text.contains(['*', '|', ',', '"'])
        };
        quoted(&self.value).or_else(|| Some(self.value.as_str()).filter(|text| !operator(text)))
    }

    /// Whether any of a field's `values` fits; a field that is not set has none.
    fn matches(&self, values: &[&Value]) -> bool {
        let value = self.value.as_str();
        match value {
            "null" => return values.iter().all(|value| value.is_null()),
            "!null" => return values.iter().any(|value| !value.is_null()),
            "" => {
                return values.is_empty()
                    || values.iter().any(|value| value.as_str().is_none_or(str::is_empty));
            }
            _ => {}
        }
        if let Some(unwanted) = value.strip_prefix('!') {
            return !values.is_empty() && !values.iter().any(|value| alternatives(unwanted, value));
        }
        if values.iter().any(|candidate| alternatives(value, candidate)) {
            return true;
        }
        // A list of values: any element of an array may be any of them.
        value.contains(',') && value.split(',').any(|one| values.iter().any(|value| alternatives(one, value)))
    }
}

fn alternatives(pattern: &str, value: &Value) -> bool {
    if let Some(literal) = quoted(pattern) {
        return text_of(value) == literal;
    }
    pattern.split('|').any(|pattern| fits(pattern, value))
}

fn quoted(pattern: &str) -> Option<&str> {
    pattern.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).filter(|inner| !inner.contains('"'))
}

fn fits(pattern: &str, value: &Value) -> bool {
    if let Some(literal) = quoted(pattern) {
        return text_of(value) == literal;
    }
    for (operator, accepted) in [
        (">=", &[Ordering::Greater, Ordering::Equal][..]),
        ("<=", &[Ordering::Less, Ordering::Equal]),
        (">", &[Ordering::Greater]),
        ("<", &[Ordering::Less]),
    ] {
        if let Some(bound) = pattern.strip_prefix(operator) {
            return against(value, bound).is_some_and(|order| accepted.contains(&order));
        }
    }
    if let Some((low, high)) = pattern.split_once("..")
        && !matches!(value, Value::String(_))
    {
        let above = low.is_empty() || against(value, low).is_some_and(Ordering::is_ge);
        let below = high.is_empty() || against(value, high).is_some_and(Ordering::is_le);
        return above && below;
    }
    match value {
        Value::Null => false,
        Value::Bool(value) => pattern == "*" || pattern.eq_ignore_ascii_case(&value.to_string()),
        Value::Number(_) => pattern == "*" || against(value, pattern) == Some(Ordering::Equal),
        Value::String(text) => wildcard(pattern.as_bytes(), text.as_bytes()),
        Value::Array(_) | Value::Object(_) => pattern == "*",
    }
}

/// How the value stands to a bound written in the URL.
fn against(value: &Value, bound: &str) -> Option<Ordering> {
    match value {
        Value::Number(number) => match (number.as_i64(), size_from_text(bound)) {
            (Some(number), Some(bound)) => Some(i128::from(number).cmp(&bound)),
            _ => number.as_f64()?.partial_cmp(&bound.parse().ok()?),
        },
        Value::String(text) => Some(text.as_str().cmp(bound)),
        _ => None,
    }
}

/// `*` stands for any run of characters. Linear in memory, no recursion: patterns come from clients.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at, from));
                at += 1;
            }
            Some(expected) if text.get(from) == Some(expected) => {
                at += 1;
                from += 1;
            }
            _ => match retry {
                Some((star, consumed)) => {
                    retry = Some((star, consumed + 1));
                    (at, from) = (star + 1, consumed + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == b'*')
}

/// A total order over what records hold; unset first.
pub(super) fn compare(left: Option<&Value>, right: Option<&Value>) -> Ordering {
    match (left, right) {
        (Some(Value::Number(left)), Some(Value::Number(right))) => {
            left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal)
        }
        (left, right) => left.map(text_of).cmp(&right.map(text_of)),
    }
}

fn order_term(term: &str) -> Option<(String, bool)> {
    let mut words = term.split_whitespace();
    let field = words.next()?.replace('-', "_");
    Some((field, words.next().is_some_and(|word| word.eq_ignore_ascii_case("desc"))))
}

fn number(name: &str, value: &str) -> Result<usize, Refusal> {
    value.trim().parse().map_err(|_| Refusal::invalid(name, value))
}

fn seconds(name: &str, value: &str) -> Result<u64, Refusal> {
    value.trim().parse().ok().filter(|seconds| *seconds <= 120).ok_or_else(|| Refusal::invalid(name, value))
}

fn boolean(name: &str, value: &str) -> Result<bool, Refusal> {
    boolean_from_text(value).ok_or_else(|| Refusal::invalid(name, value))
}

/// `true` and `false` in any case.
pub(super) fn boolean_from_text(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}
