//! Running a command that its tables describe.

use serde_json::{Value, json};

use super::Failure;
use super::arguments::Arguments;
use super::command::{Act, Command, Kind, Parameter, Role, Target};
use crate::management::{Management, Members, Source, href};
use crate::rest::{Method, size_from_text};
use crate::zapi::permissions;

/// Runs a command; the text is what is printed.
///
/// # Errors
/// [`Failure`]: what is printed instead.
pub(super) fn run(
    management: &mut Management<'_>,
    command: &Command,
    arguments: &Arguments,
) -> Result<String, Failure> {
    match command.act {
        Act::Show(table) => table.show(management, arguments),
        Act::Run(run) => run(management, arguments),
        Act::Create(target) => create(management, command, target, arguments),
        Act::Modify(target) => {
            let members = members(command, arguments, |parameter| parameter.role != Role::Key)?;
            let members = with(members, target.fixed);
            if members.is_empty() {
                return Err(Failure("Error: command failed: Nothing to modify.".into()));
            }
            each(management, target, arguments, "modified", |management, record| {
                management.waiting(Method::Patch, href(record), target.flags, members.clone())
            })
        }
        Act::Delete(target) => {
            let forced = arguments.get("force") == Some("true");
            let flags = if forced { target.flags } else { &[] };
            each(management, target, arguments, "deleted", |management, record| {
                management.delete(href(record), flags)
            })
        }
    }
}

fn create(
    management: &mut Management<'_>,
    command: &Command,
    target: &Target,
    arguments: &Arguments,
) -> Result<String, Failure> {
    let path = match target.table.source {
        Source::Collection(path) | Source::Where(path, _) => path.to_owned(),
        Source::Within { parent, child, column } => {
            let (svm, name) = (arguments.value("vserver"), arguments.value(column));
            let found = management.exactly(parent, &[("svm.name", svm), ("name", name)])?;
            let record = found.first().ok_or_else(no_entry)?;
            format!("{}/{child}", href(record))
        }
    };
    let members = with(members(command, arguments, |parameter| !parameter.field.is_empty())?, target.fixed);
    management.create(&path, members)?;
    Ok(said(target.said, arguments))
}

/// Does something to every record that the keys name; by pattern there may be several.
fn each(
    management: &mut Management<'_>,
    target: &Target,
    arguments: &Arguments,
    done: &str,
    act: impl Fn(&mut Management<'_>, &Value) -> Result<crate::rest::Answer, crate::state::Refusal>,
) -> Result<String, Failure> {
    let mut keys = Arguments::default();
    for column in target.table.columns.iter().take(target.table.keys) {
        if let Some(value) = arguments.get(column.name) {
            keys.set(column.name, value);
        }
    }
    let records = target.table.find(management, &keys)?;
    if records.is_empty() {
        return Err(no_entry());
    }
    for record in &records {
        act(management, record)?;
    }
    let by_pattern = keys.iter().any(|(_, value)| value.contains('*'));
    Ok(match records.len() {
        1 if !by_pattern => said(target.said, arguments),
        1 => format!("1 entry was {done}.\n"),
        number => format!("{number} entries were {done}.\n"),
    })
}

/// What is not there.
pub(super) fn no_entry() -> Failure {
    Failure("Error: command failed: entry doesn't exist".into())
}

/// A template with the values of parameters for their names in braces.
fn said(template: &str, arguments: &Arguments) -> String {
    arguments
        .iter()
        .fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// The body that the chosen parameters make.
///
/// # Errors
/// [`Failure`] for a value that cannot be read.
pub(super) fn members(
    command: &Command,
    arguments: &Arguments,
    chosen: impl Fn(&Parameter) -> bool,
) -> Result<Members, Failure> {
    let mut members = Members::new();
    for parameter in
        command.parameters.iter().filter(|parameter| !parameter.field.is_empty() && chosen(parameter))
    {
        if let Some(text) = arguments.get(parameter.name) {
            members.insert(parameter.field.to_owned(), value(parameter, text)?);
        }
    }
    Ok(members)
}

fn with(mut members: Members, fixed: &[(&str, &str)]) -> Members {
    members.extend(fixed.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))));
    members
}

fn value(parameter: &Parameter, text: &str) -> Result<Value, Failure> {
    let name = parameter.name;
    let invalid = || Failure(format!("Error: \"{text}\" is an invalid value for field \"-{name}\"."));
    let parts = || text.split(',').map(str::trim);
    Ok(match parameter.kind {
        Kind::Text => text.into(),
        Kind::Boolean | Kind::Enabled => match text.to_ascii_lowercase().as_str() {
            "true" | "enabled" | "on" | "yes" => true.into(),
            "false" | "disabled" | "off" | "no" => false.into(),
            _ => return Err(invalid()),
        },
        Kind::Size => {
            let bytes = size_from_text(text).and_then(|bytes| u64::try_from(bytes).ok());
            bytes.ok_or_else(invalid)?.into()
        }
        Kind::Number => text.parse::<i64>().map_err(|_| invalid())?.into(),
        Kind::Percent => text.trim_end_matches('%').parse::<u8>().map_err(|_| invalid())?.into(),
        Kind::Texts => parts().map(Value::from).collect(),
        Kind::Objects(member) => parts().map(|part| json!({ member: part })).collect(),
        Kind::Permissions => permissions(text).ok_or_else(invalid)?.into(),
        Kind::Words(words) => {
            words.iter().find(|(ours, _)| *ours == text).map_or(text, |(_, theirs)| *theirs).into()
        }
    })
}
