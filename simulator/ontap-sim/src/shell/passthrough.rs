//! The shell's commands by `/api/private/cli`: words are path segments, GET shows, POST creates, PATCH
//! modifies, DELETE deletes, unless the path is a command itself; parameters have `_` for `-`.

use serde_json::{Map, Value, json};

use super::arguments::{Arguments, find, read};
use super::command::{Act, Command};
use super::commands::ALL;
use super::table::Table;
use super::{Failure, run};
use crate::management::Management;
use crate::rest::Method;
use crate::state::Refusal;

/// What is asked of a command by HTTP.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// Method.
    pub(crate) method: Method,
    /// Path segments below `private/cli`.
    pub(crate) words: &'a [String],
    /// Query parameters, decoded.
    pub(crate) query: &'a [(String, String)],
    /// JSON body, or null.
    pub(crate) body: &'a Value,
}

/// Answers with a status and a body; `None` when the path is no command of the shell.
pub(crate) fn passthrough(
    management: &mut Management<'_>,
    request: &Request<'_>,
) -> Option<Result<(u16, Value), Refusal>> {
    let verb = match request.method {
        Method::Get | Method::Options => "show",
        Method::Post => "create",
        Method::Patch => "modify",
        Method::Delete => "delete",
    };
    let mut words = request.words.to_vec();
    words.push(verb.to_owned());
    let command = exactly(&words).or_else(|| exactly(request.words))?;
    // Whoever may only read changes nothing by reading.
    if verb == "show" && !matches!(command.act, Act::Show(_)) {
        return None;
    }
    Some(answer(management, request, &command))
}

/// The command of exactly these words: an address is not abbreviated.
fn exactly(words: &[String]) -> Option<Command> {
    let (command, rest) = find(ALL, words).ok()?;
    (rest.is_empty() && command.words.iter().copied().eq(words.iter().map(String::as_str))).then_some(command)
}

fn answer(
    management: &mut Management<'_>,
    request: &Request<'_>,
    command: &Command,
) -> Result<(u16, Value), Refusal> {
    let refused = |Failure(text): Failure| {
        let text =
            text.trim().trim_start_matches("Error: ").trim_start_matches("command failed: ").to_owned();
        match text.as_str() {
            "entry doesn't exist" => Refusal::no_entry(),
            _ => Refusal::request(262_197, text),
        }
    };
    let svm = management.svm().map(str::to_owned);
    let mut words = Vec::new();
    let mut asked = Vec::new();
    let mut answers = Vec::new();
    let query = request.query.iter().map(|(name, value)| (name.clone(), value.clone()));
    let members = request.body.as_object().into_iter().flatten();
    let members = members.map(|(name, value)| (name.clone(), written(value)));
    for (name, value) in query.chain(members) {
        match name.as_str() {
            "fields" => asked.extend(value.split(',').map(|field| field.trim().replace('_', "-"))),
            "password" => answers = vec![value],
            "return_timeout" | "return_records" | "max_records" | "privilege_level" => {}
            _ => words.extend([format!("-{}", name.replace('_', "-")), value]),
        }
    }
    let mut arguments = read(command, &words, svm.as_deref()).map_err(refused)?;
    arguments.answers = answers;
    if let Act::Show(table) = command.act {
        let records = shown(management, table, &arguments, &asked).map_err(refused)?;
        return Ok((200, json!({ "num_records": records.len(), "records": records })));
    }
    let output = run::run(management, command, &arguments).map_err(refused)?;
    let status = if request.method == Method::Post { 201 } else { 200 };
    let body = if output.is_empty() { json!({}) } else { json!({ "cli_output": output }) };
    Ok((status, body))
}

/// The records with their keys and what was asked for; without that, what `show` shows.
fn shown(
    management: &mut Management<'_>,
    table: &Table,
    arguments: &Arguments,
    asked: &[String],
) -> Result<Vec<Value>, Failure> {
    let keys = table.columns.iter().take(table.keys).map(|column| column.name);
    let all = asked.iter().any(|field| field == "*" || field == "**");
    let wanted: Vec<_> = if all {
        table.columns.iter().map(|column| column.name).collect()
    } else if asked.is_empty() {
        keys.chain(table.shown.iter().map(|(name, _, _)| *name)).collect()
    } else {
        keys.chain(
            table
                .columns
                .iter()
                .map(|column| column.name)
                .filter(|name| asked.iter().any(|field| field == name)),
        )
        .collect()
    };
    let records = table.find(management, arguments)?;
    let record = |record: &Value| {
        let mut members = Map::new();
        for column in wanted.iter().filter_map(|name| table.column(name)) {
            if let Some(value) = column.value(record) {
                members.insert(column.name.replace(['-', '.'], "_"), value);
            }
        }
        Value::Object(members)
    };
    Ok(records.iter().map(record).collect())
}

/// A member of a body as it would be typed.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(written).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
