//! What a command is: its words, its parameters and what it does with the management API. One table of these
//! serves SSH, `system-cli` and the CLI passthrough.

use super::Failure;
use super::arguments::Arguments;
use super::table::Table;
use crate::management::Management;

/// A command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Command {
    /// Its words: `volume create`.
    pub(super) words: &'static [&'static str],
    /// What it takes. A `show` takes its table's columns.
    pub(super) parameters: &'static [Parameter],
    /// What it does.
    pub(super) act: Act,
    /// What it asks for once it is called, such as passwords; the answers are not echoed.
    pub(super) prompts: &'static [&'static str],
}

/// A parameter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    /// Its name, without the dash.
    pub(super) name: &'static str,
    /// Member of the body that it becomes; empty where a function reads it.
    pub(super) field: &'static str,
    /// How its value is read.
    pub(super) kind: Kind,
    /// Whether it must be given, and whether it names the object.
    pub(super) role: Role,
}

/// What a parameter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Part of the object's name: required, and may be given without its name, in order.
    Key,
    /// Required.
    Required,
    /// May be left out.
    Optional,
}

/// How a value is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// As it is.
    Text,
    /// `true` or `false`.
    Boolean,
    /// `enabled` or `disabled`, as `true` or `false`.
    Enabled,
    /// Bytes, with or without a unit.
    Size,
    /// A whole number.
    Number,
    /// Texts between commas.
    Texts,
    /// Texts between commas, each as an object with this one member.
    Objects(&'static str),
    /// Unix permissions.
    Permissions,
    /// By another word, given as (shell, management API).
    Words(&'static [(&'static str, &'static str)]),
    /// `10%` or `10`.
    Percent,
}

/// What a command does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    /// Shows records.
    Show(&'static Table),
    /// Makes a record.
    Create(&'static Target),
    /// Changes the records that its keys name.
    Modify(&'static Target),
    /// Deletes the records that its keys name.
    Delete(&'static Target),
    /// What no table describes.
    Run(fn(&mut Management<'_>, &Arguments) -> Result<String, Failure>),
}

/// What is made, changed or deleted, and how that is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    /// The records: keys are the table's columns of the same name.
    pub(super) table: &'static Table,
    /// Members that the body has always, as text.
    pub(super) fixed: &'static [(&'static str, &'static str)],
    /// Parameters of the call.
    pub(super) flags: &'static [(&'static str, &'static str)],
    /// What is said of a success; `{name}` stands for a parameter's value.
    pub(super) said: &'static str,
}

/// A command.
pub(super) const fn command(
    words: &'static [&'static str],
    parameters: &'static [Parameter],
    act: Act,
) -> Command {
    Command { words, parameters, act, prompts: &[] }
}

/// A parameter that names the object.
pub(super) const fn key(name: &'static str, field: &'static str) -> Parameter {
    Parameter { name, field, kind: Kind::Text, role: Role::Key }
}

/// A parameter that must be given.
pub(super) const fn must(name: &'static str, field: &'static str, kind: Kind) -> Parameter {
    Parameter { name, field, kind, role: Role::Required }
}

/// A parameter that may be left out.
pub(super) const fn may(name: &'static str, field: &'static str, kind: Kind) -> Parameter {
    Parameter { name, field, kind, role: Role::Optional }
}

impl Command {
    /// Names of everything that may be given, in order.
    pub(super) fn names(&self) -> Vec<&'static str> {
        match self.act {
            Act::Show(table) => {
                let columns = table.columns.iter().map(|column| column.name);
                columns.chain(["fields", "instance"]).collect()
            }
            _ => self.parameters.iter().map(|parameter| parameter.name).collect(),
        }
    }

    /// Names of what may be given without its name, in order.
    pub(super) fn positional(&self) -> Vec<&'static str> {
        match self.act {
            Act::Show(table) => table.columns.iter().take(table.keys).map(|column| column.name).collect(),
            _ => {
                let keys = self.parameters.iter().filter(|parameter| parameter.role == Role::Key);
                keys.map(|parameter| parameter.name).collect()
            }
        }
    }

    /// Its words with blanks between.
    pub(super) fn title(&self) -> String {
        self.words.join(" ")
    }
}
