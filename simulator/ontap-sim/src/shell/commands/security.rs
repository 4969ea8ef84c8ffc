//! Accounts.

use serde_json::{Value, json};

use super::super::Failure;
use super::super::arguments::Arguments;
use super::super::command::{Act, Command, Kind, Target, command, key, may, must};
use super::super::run::no_entry;
use super::super::table::{Form, Table, column, formed};
use super::{agreed, of};
use crate::management::{Management, Members, Source, href};

pub(super) const COMMANDS: &[Command] = &[
    command(&["security", "login", "show"], &[], Act::Show(&ACCOUNTS)),
    Command {
        prompts: &["\nPlease enter a password for the user: ", "Please enter it again: "],
        ..command(
            &["security", "login", "create"],
            &[
                may("vserver", "", Kind::Text),
                must("user-or-group-name", "", Kind::Text),
                must("application", "", Kind::Text),
                must("authentication-method", "", Kind::Text),
                may("role", "", Kind::Text),
                may("comment", "", Kind::Text),
            ],
            Act::Run(create),
        )
    },
    Command {
        prompts: &["\nEnter a new password: ", "Enter it again: "],
        ..command(
            &["security", "login", "password"],
            &[may("vserver", "", Kind::Text), must("username", "", Kind::Text)],
            Act::Run(password),
        )
    },
    command(
        &["security", "login", "unlock"],
        &[may("vserver", "", Kind::Text), must("username", "", Kind::Text)],
        Act::Run(|management, arguments| lock(management, arguments, false)),
    ),
    command(
        &["security", "login", "lock"],
        &[may("vserver", "", Kind::Text), must("username", "", Kind::Text)],
        Act::Run(|management, arguments| lock(management, arguments, true)),
    ),
    command(
        &["security", "login", "delete"],
        &[
            key("vserver", ""),
            key("user-or-group-name", ""),
            may("application", "", Kind::Text),
            may("authentication-method", "", Kind::Text),
        ],
        Act::Delete(&Target { flags: &[], ..of(&ACCOUNTS) }),
    ),
];

const ACCOUNTS: Table = Table {
    source: Source::Collection("security/accounts"),
    columns: &[
        column("vserver", "Vserver", "owner.name"),
        column("user-or-group-name", "User Name or Group Name", "name"),
        column("application", "Application", "applications.application"),
        column("authentication-method", "Authentication Method", "applications.authentication_methods"),
        column("role", "Role Name", "role.name"),
        formed(
            "is-account-locked",
            "Account Locked",
            "locked",
            Form::Words(&[("true", "yes"), ("false", "no")]),
        ),
        column("comment", "Comment Text", "comment"),
    ],
    keys: 2,
    shown: &[
        ("vserver", "Vserver", 10),
        ("user-or-group-name", "User/Group Name", 16),
        ("application", "Application", 11),
        ("authentication-method", "Authentication Method", 13),
        ("role", "Role Name", 12),
        ("is-account-locked", "Acct Locked", 6),
    ],
};

/// An account without an SVM is the cluster's.
fn owner(
    members: &mut Members,
    arguments: &Arguments,
    management: &mut Management<'_>,
) -> Result<(), Failure> {
    let Some(vserver) = arguments.get("vserver") else { return Ok(()) };
    let of_svm = !management.exactly("svm/svms", &[("name", vserver)])?.is_empty();
    if of_svm {
        members.insert("owner.name".into(), vserver.into());
    }
    Ok(())
}

fn create(management: &mut Management<'_>, arguments: &Arguments) -> Result<String, Failure> {
    let mut members = Members::new();
    owner(&mut members, arguments, management)?;
    let application = json!({
        "application": arguments.value("application"),
        "authentication_methods": [arguments.value("authentication-method")],
    });
    // A further application for an account that there is.
    if let Ok(account) = require(management, arguments, "user-or-group-name") {
        let mut applications =
            account.get("applications").and_then(Value::as_array).cloned().unwrap_or_default();
        applications.push(application);
        management.modify(
            href(&account),
            Members::from_iter([("applications".to_owned(), Value::Array(applications))]),
        )?;
        return Ok(String::new());
    }
    members.insert("name".into(), arguments.value("user-or-group-name").into());
    members.insert("applications".into(), json!([application]));
    if arguments.value("authentication-method") == "password" {
        members.insert("password".into(), agreed(arguments)?);
    }
    for (name, field) in [("role", "role.name"), ("comment", "comment")] {
        if let Some(value) = arguments.get(name) {
            members.insert(field.into(), value.into());
        }
    }
    management.create("security/accounts", members)?;
    Ok(String::new())
}

fn require(management: &mut Management<'_>, arguments: &Arguments, name: &str) -> Result<Value, Failure> {
    let accounts = management.exactly("security/accounts", &[("name", arguments.value(name))])?;
    let owned = |account: &Value| match arguments.get("vserver") {
        Some(vserver) => {
            account.pointer("/owner/name").and_then(Value::as_str).is_none_or(|owner| owner == vserver)
        }
        None => account.pointer("/scope").and_then(Value::as_str) != Some("svm"),
    };
    accounts.into_iter().find(owned).ok_or_else(no_entry)
}

fn password(management: &mut Management<'_>, arguments: &Arguments) -> Result<String, Failure> {
    let account = require(management, arguments, "username")?;
    management.modify(href(&account), Members::from_iter([("password".to_owned(), agreed(arguments)?)]))?;
    Ok(String::new())
}

fn lock(management: &mut Management<'_>, arguments: &Arguments, locked: bool) -> Result<String, Failure> {
    let account = require(management, arguments, "username")?;
    management.modify(href(&account), Members::from_iter([("locked".to_owned(), locked.into())]))?;
    Ok(String::new())
}
