//! From a call to an answer, for every resource alike: find it, read the query, list and trim the
//! records or change them, wrap the answer.

use serde_json::{Map, Value, json};

use super::answer::{Answer, job_link};
use super::body::{Body, names_object};
use super::path::{encoded, segments};
use super::query::Query;
use super::resource::{Records, Resource, Scope};
use super::resources;
use super::select::{Judged, Selection};
use super::value::{underscored, without_nulls};
use super::veil::Veil;
use crate::state::{Cluster, JobId, Phase, Refusal, SvmId};

/// The methods the API knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Read; HEAD is the same without the body.
    Get,
    /// Create.
    Post,
    /// Change.
    Patch,
    /// Delete.
    Delete,
    /// Ask what is allowed.
    Options,
}

impl Method {
    /// From its HTTP name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "GET" | "HEAD" => Some(Self::Get),
            "POST" => Some(Self::Post),
            "PATCH" => Some(Self::Patch),
            "DELETE" => Some(Self::Delete),
            "OPTIONS" => Some(Self::Options),
            _ => None,
        }
    }

    /// Its HTTP name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }
}

/// The SVM a request is narrowed to by `X-Dot-SVM-Name` or `X-Dot-SVM-UUID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SvmScope {
    /// By name.
    Name(String),
    /// By UUID.
    Uuid(String),
}

/// A request, after HTTP and before the machine.
#[derive(Debug, Clone)]
pub struct Call {
    /// Method.
    pub method: Method,
    /// Raw path, as in the request line.
    pub path: String,
    /// Raw query string, as in the request line.
    pub query: String,
    /// The SVM header.
    pub svm: Option<SvmScope>,
    /// JSON body; null when there is none.
    pub body: Value,
}

/// Answers a call; a refused one has changed nothing. What the data planes must do for the answer to be true is in
/// [`Cluster::take_changes`] afterwards.
pub fn answer(cluster: &mut Cluster, call: &Call) -> Answer {
    answer_behind(cluster, call, &Veil::CLEAR)
}

/// Answers calls at one instant, one after the other. When one is refused nothing has changed, and its answer is
/// the only one.
pub fn answer_together(cluster: &mut Cluster, calls: &[Call]) -> Vec<Answer> {
    let mut refused = None;
    let answered = cluster.attempt(|cluster| {
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            let answer = answer(cluster, call);
            if answer.status >= 400 {
                refused = Some(answer);
                return Err(Refusal::no_entry());
            }
            answers.push(answer);
        }
        Ok(answers)
    });
    answered.unwrap_or_else(|_| refused.into_iter().collect())
}

/// The same, where some things are shown as they are not.
pub fn answer_behind(cluster: &mut Cluster, call: &Call, veil: &Veil) -> Answer {
    let answer = cluster.attempt(|cluster| try_answer(cluster, call, veil));
    answer.unwrap_or_else(|refusal| Answer::refused(&refusal))
}

fn try_answer(cluster: &mut Cluster, call: &Call, veil: &Veil) -> Result<Answer, Refusal> {
    let unknown = || Refusal::no_entry().about(&call.path);
    let segments = segments(&call.path).ok_or_else(unknown)?;
    let (resource, parents, keys) = find_resource(&segments).ok_or_else(unknown)?;
    if call.method == Method::Options {
        let answer = Answer::new(200, json!({}));
        return Ok(Answer { allow: Some(resource.allowed()), ..answer });
    }
    let mut query = Query::parse(&call.query, |field| resource.knows(field), resource.flags)?;
    for filter in &mut query.filters {
        // `volume=v1` asks for the volume of that name.
        if names_object(&filter.field, resource.readable) {
            filter.field.push_str(".name");
        }
    }
    let svm = call.svm.as_ref().map(|scope| find_scope(cluster, scope)).transpose()?;
    if let Some(svm) = svm
        && resource.readable.contains(&"svm.uuid")
    {
        query.require("svm.uuid", &svm.to_string());
    }
    if let Some(svm) = svm
        && resource.path == "svm/svms"
    {
        query.require("uuid", &svm.to_string());
    }
    let scope = Scope { resource: &resource, parents: &parents, keys, query: &query, svm, veil };
    if !leads_through_own(cluster, &scope) {
        return Err((resource.missing)());
    }
    let commanded = resource.is_command().then(|| underscored(&call.body));
    let body = commanded.as_ref().unwrap_or(&call.body);
    let on_instance = !scope.keys.is_empty() || resource.is_single();
    match (call.method, resource) {
        (Method::Get, resource) if resource.is_listed() && on_instance => instance(cluster, &scope),
        (Method::Get, resource) if resource.is_listed() => collection(cluster, &scope, &call.query),
        (Method::Post, Resource { create: Some(_), .. }) if scope.keys.is_empty() => {
            create(cluster, &scope, body)
        }
        (Method::Patch, Resource { modify: Some(modify), .. }) => {
            let body = Body::records(body)?.into_iter().next();
            let body = body.ok_or_else(|| Refusal::request(2, "The request body has no record"))?;
            let body = body.with_names(resource.modifiable);
            body.admit(resource.modifiable, |field| resource.knows(field))?;
            change(cluster, &scope, call.method, |cluster, scope| modify(cluster, scope, &body))
        }
        (Method::Delete, Resource { delete: Some(delete), .. }) => {
            change(cluster, &scope, call.method, delete)
        }
        _ => {
            let message = format!("{} is not supported by this resource", call.method.name());
            let refusal = Refusal { status: 405, ..Refusal::missing(4, message) };
            Ok(Answer { allow: Some(resource.allowed()), ..Answer::refused(&refusal) })
        }
    }
}

pub(super) fn find_resource(segments: &[String]) -> Option<(Resource, Vec<String>, Vec<String>)> {
    resources::ALL
        .iter()
        .find_map(|resource| resource.match_path(segments).map(|(parents, keys)| (*resource, parents, keys)))
}

/// Whether changes at this path are jobs.
pub fn makes_jobs(path: &str) -> bool {
    let found = segments(path).and_then(|segments| find_resource(&segments));
    found.is_some_and(|(resource, ..)| resource.asynchronous)
}

/// Every record of every collection that stands by itself, complete, by path: the array for people
/// and for assertions.
pub fn portrait(cluster: &Cluster) -> Map<String, Value> {
    let query = Query::for_everything();
    let alone = resources::ALL.iter().filter(|resource| resource.is_listed() && !resource.path.contains('{'));
    let pictured = |resource: &Resource| {
        let scope =
            Scope { resource, parents: &[], keys: Vec::new(), query: &query, svm: None, veil: &Veil::CLEAR };
        (resource.path.to_owned(), Value::Array(records(cluster, &scope).unwrap_or_default()))
    };
    alone.map(pictured).collect()
}

/// The SVM that a header names.
///
/// # Errors
/// A [`Refusal`] (2621462) when there is none.
pub(crate) fn find_scope(cluster: &Cluster, scope: &SvmScope) -> Result<SvmId, Refusal> {
    let (svm, text) = match scope {
        SvmScope::Name(name) => (cluster.find_svm_named(name), name),
        SvmScope::Uuid(uuid) => (uuid.parse().ok().and_then(|uuid| cluster.find_svm(SvmId(uuid))), uuid),
    };
    svm.map(|svm| svm.id)
        .ok_or_else(|| Refusal::missing(2_621_462, format!("SVM \"{text}\" does not exist.")).about("svm"))
}

/// The records of an answer, made one after the other.
fn stream<'c>(cluster: &'c Cluster, scope: &'c Scope<'_>) -> Result<Records<'c>, Refusal> {
    let all: Records<'c> = match (scope.resource.stream, scope.resource.list) {
        (Some(stream), _) => stream(cluster, scope),
        (None, Some(list)) => Box::new(list(cluster, scope)?.into_iter()),
        (None, None) => Box::new(std::iter::empty()),
    };
    let wanted = |record: &Value| match scope.keys.as_slice() {
        [] => scope.query.matches(record),
        keys => scope.key_of(record) == keys && is_within(scope, record),
    };
    let all = all.map(without_nulls);
    if scope.veil.is_clear() {
        return Ok(Box::new(all.filter(wanted)));
    }
    // What is veiled may be anywhere: all records are made, then those that are wanted are kept.
    let mut shown: Vec<_> = all.collect();
    scope.veil.over(&mut shown, |record| instance_href(scope, &scope.key_of(record)));
    Ok(Box::new(shown.into_iter().filter(wanted)))
}

fn records(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    Ok(stream(cluster, scope)?.collect())
}

/// Whether a record is of the SVM that the call is narrowed to, if it is of any.
fn is_within(scope: &Scope<'_>, record: &Value) -> bool {
    let Some(svm) = scope.svm else { return true };
    let own = if scope.resource.path == "svm/svms" { "/uuid" } else { "/svm/uuid" };
    record.pointer(own).and_then(Value::as_str).is_none_or(|uuid| uuid == svm.to_string())
}

/// Whether what a path leads through is of the SVM that the call is narrowed to: the parent of a
/// collection is looked for in the parent's own collection.
fn leads_through_own(cluster: &Cluster, scope: &Scope<'_>) -> bool {
    if scope.svm.is_none() || scope.parents.is_empty() {
        return true;
    }
    let Some((above, _)) = scope.resource.path.split_once("/{") else { return true };
    let Some(parent) = resources::ALL.iter().find(|resource| resource.path == above) else { return true };
    let keys: Vec<_> = scope.parents.iter().take(parent.keys.len()).cloned().collect();
    let query = Query::default();
    let above = Scope { resource: parent, parents: &[], keys, query: &query, ..*scope };
    records(cluster, &above).is_ok_and(|found| !found.is_empty())
}

fn instance(cluster: &Cluster, scope: &Scope<'_>) -> Result<Answer, Refusal> {
    let record = stream(cluster, scope)?.next().ok_or_else(scope.resource.missing)?;
    let href = instance_href(scope, &scope.key_of(&record));
    Ok(Answer::new(200, shown(&selection(scope, true), record, &href)))
}

fn collection(cluster: &Cluster, scope: &Scope<'_>, raw_query: &str) -> Result<Answer, Refusal> {
    if scope.query.return_records == Some(false) {
        let number = after(scope, ordered(cluster, scope)?).count();
        return Ok(Answer::new(200, json!({ "num_records": number })));
    }
    // One more than the page tells whether there is a next one.
    let page = scope.query.page;
    let (base, selection) = (collection_href(scope), selection(scope, false));
    let (mut records, mut last, mut more) = (Vec::new(), Vec::new(), false);
    // Each is trimmed as soon as it is made: what is taken out of it goes into the next one.
    for record in after(scope, ordered(cluster, scope)?).take(page.saturating_add(1)) {
        if records.len() == page {
            more = true;
            break;
        }
        last = scope.key_of(&record);
        records.push(shown(&selection, record, &href_in(&base, &last)));
    }
    let mut links = json!({ "self": { "href": with_query(&base, raw_query) } });
    if more && let Some(links) = links.as_object_mut() {
        let mut next: Vec<_> = raw_query.split('&').filter(|pair| !pair.starts_with("start.")).collect();
        let start = format!("start.key={}", encoded(&last.join("|")));
        next.push(&start);
        next.retain(|pair| !pair.is_empty());
        links.insert("next".into(), json!({ "href": with_query(&base, &next.join("&")) }));
    }
    let number = records.len();
    Ok(Answer::new(200, json!({ "records": records, "num_records": number, "_links": links })))
}

/// The records in the order that was asked for. In the order of keys they need not all be made.
fn ordered<'c>(cluster: &'c Cluster, scope: &'c Scope<'_>) -> Result<Records<'c>, Refusal> {
    if scope.query.order.is_empty() {
        return stream(cluster, scope);
    }
    Ok(Box::new(scope.query.sort(records(cluster, scope)?).into_iter()))
}

/// The records after the one that ended the last page.
fn after<'c>(scope: &'c Scope<'_>, records: Records<'c>) -> Records<'c> {
    let Some(start) = &scope.query.start else { return records };
    let key = |record: &Value| scope.key_of(record).join("|");
    if scope.resource.stream.is_some() && scope.query.order.is_empty() {
        return Box::new(records.skip_while(move |record| key(record) <= *start));
    }
    let mut records: Vec<_> = records.collect();
    match records.iter().position(|record| key(record) == *start) {
        Some(place) => drop(records.drain(..=place)),
        // That record is gone: go on with those after it.
        None => records.retain(|record| key(record) > *start),
    }
    Box::new(records.into_iter())
}

fn create(cluster: &mut Cluster, scope: &Scope<'_>, body: &Value) -> Result<Answer, Refusal> {
    let Some(create) = scope.resource.create else { return Err(Refusal::no_entry()) };
    let bodies = Body::records(body)?.into_iter().map(|body| body.with_names(scope.resource.creatable));
    let bodies: Vec<_> = bodies.collect();
    for body in &bodies {
        body.admit(scope.resource.creatable, |field| scope.resource.knows(field))?;
    }
    let (mut made, mut jobs) = (Vec::new(), Vec::new());
    for body in &bodies {
        let outcome = cluster.attempt(|cluster| create(cluster, scope, body));
        let svm = scope.require_svm(cluster, body).ok().map(|svm| svm.id);
        let description = format!("POST {}", collection_href(scope));
        let (keys, job) = settle(cluster, scope, description, svm, outcome)?;
        made.extend(keys);
        jobs.extend(job);
    }
    let waited = scope.query.return_timeout > 0;
    let status = if scope.resource.asynchronous && !waited { 202 } else { 201 };
    let mut members = Map::new();
    add_jobs(&mut members, &jobs);
    if scope.query.return_records == Some(true) {
        let mut shown_records = Vec::new();
        for keys in made.iter().filter(|keys| !keys.is_empty()) {
            let scope = scope.keyed(keys.clone());
            let selection = selection(&scope, true);
            let made = records(cluster, &scope)?.into_iter();
            shown_records.extend(made.map(|record| {
                let href = instance_href(&scope, &scope.key_of(&record));
                shown(&selection, record, &href)
            }));
        }
        members.insert("num_records".into(), shown_records.len().into());
        members.insert("records".into(), Value::Array(shown_records));
    }
    let location = match made.as_slice() {
        [keys] if !keys.is_empty() => Some(instance_href(scope, keys)),
        _ => None,
    };
    Ok(Answer { location, ..Answer::new(status, Value::Object(members)) })
}

/// PATCH and DELETE, of one record by its path or of those that the query finds.
fn change(
    cluster: &mut Cluster,
    scope: &Scope<'_>,
    method: Method,
    act: impl Fn(&mut Cluster, &Scope<'_>) -> Result<(), Refusal>,
) -> Result<Answer, Refusal> {
    let by_query = scope.keys.is_empty() && !scope.resource.is_single();
    if by_query && scope.query.filters.is_empty() {
        return Err(Refusal::request(2, "A change of a whole collection needs at least one query field"));
    }
    let targets = records(cluster, scope)?;
    if targets.is_empty() && !by_query {
        return Err((scope.resource.missing)());
    }
    let mut jobs = Vec::new();
    for record in &targets {
        let target = scope.keyed(scope.key_of(record));
        let outcome = cluster.attempt(|cluster| act(cluster, &target));
        let svm = record.pointer("/svm/uuid").and_then(Value::as_str).and_then(|uuid| uuid.parse().ok());
        let description = format!("{} {}", method.name(), instance_href(&target, &target.keys));
        let (_, job) = settle(cluster, scope, description, svm.map(SvmId), outcome)?;
        jobs.extend(job);
    }
    let waited = scope.query.return_timeout > 0;
    let status = if scope.resource.asynchronous && !waited && !jobs.is_empty() { 202 } else { 200 };
    let mut members = Map::new();
    if by_query {
        members.insert("num_records".into(), targets.len().into());
        let links = jobs.iter().copied().map(job_link).collect();
        members.insert("jobs".into(), Value::Array(links));
    }
    add_jobs(&mut members, &jobs);
    Ok(Answer::new(status, Value::Object(members)))
}

/// Turns the outcome of an asynchronous call into a job, failed or not. A synchronous call, a
/// client that waits, and a request that is bad in itself get the refusal directly.
fn settle<T>(
    cluster: &mut Cluster,
    scope: &Scope<'_>,
    description: String,
    svm: Option<SvmId>,
    outcome: Result<T, Refusal>,
) -> Result<(Option<T>, Option<JobId>), Refusal> {
    if !scope.resource.asynchronous {
        return outcome.map(|done| (Some(done), None));
    }
    match outcome {
        Ok(done) => Ok((Some(done), Some(cluster.finish_job(description, svm, None)))),
        Err(refusal) if refusal.phase == Phase::Execution && scope.query.return_timeout == 0 => {
            Ok((None, Some(cluster.finish_job(description, svm, Some(refusal)))))
        }
        Err(refusal) => Err(refusal),
    }
}

fn add_jobs(members: &mut Map<String, Value>, jobs: &[JobId]) {
    match jobs {
        [] => {}
        [job] => {
            members.insert("job".into(), job_link(*job));
        }
        several => {
            members.insert("jobs".into(), several.iter().copied().map(job_link).collect());
        }
    }
}

fn selection<'s>(scope: &'s Scope<'_>, instance: bool) -> Selection<'s> {
    let mut always = scope.resource.always.to_vec();
    always.extend(scope.query.filtered());
    let (requested, expensive) = (&scope.query.fields, scope.resource.expensive);
    Selection { requested, always, expensive, instance, judged: Judged::default() }
}

fn shown(selection: &Selection<'_>, record: Value, href: &str) -> Value {
    let mut shown = selection.of(record);
    if let Some(members) = shown.as_object_mut() {
        let links = members.entry("_links").or_insert_with(|| json!({}));
        if let Some(links) = links.as_object_mut() {
            links.insert("self".into(), json!({ "href": href }));
        }
    }
    shown
}

fn collection_href(scope: &Scope<'_>) -> String {
    let mut parents = scope.parents.iter();
    let mut href = String::from("/api");
    for part in scope.resource.path.split('/') {
        href.push('/');
        if part.starts_with('{') {
            href.push_str(&encoded(parents.next().map_or("", String::as_str)));
        } else {
            href.push_str(part);
        }
    }
    href
}

fn instance_href(scope: &Scope<'_>, keys: &[String]) -> String {
    href_in(&collection_href(scope), keys)
}

/// The path of a record in the collection at `base`.
fn href_in(base: &str, keys: &[String]) -> String {
    let mut href = base.to_owned();
    for key in keys {
        href.push('/');
        href.push_str(&encoded(key));
    }
    href
}

fn with_query(base: &str, query: &str) -> String {
    if query.is_empty() { base.to_owned() } else { format!("{base}?{query}") }
}
