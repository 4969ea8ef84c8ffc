//! Qtrees and quotas. ONTAPI names qtrees by path and counts disk limits in KiB.

use serde_json::{Value, json};

use super::super::change::{Change, Creation, Find};
use super::super::failure::{Failure, INVALID_INPUT, NO_SUCH_VOLUME, NOT_FOUND};
use super::super::field::{Column, Kind, computed, may, must, permission_letters, plain};
use super::super::listing::Listing;
use super::super::xml::Element;
use super::super::{Act, Api, anyone, vserver};
use super::{number, text, volume};
use crate::management::{Management, Members, Source, href};
use crate::rest::Method;

pub(super) const CALLS: &[Api] = &[
    anyone("qtree-list-iter", Act::List(&QTREES)),
    vserver("qtree-create", Act::Create(&CREATE)),
    vserver("qtree-modify", Act::Change(&MODIFY)),
    vserver("qtree-rename", Act::Run(rename)),
    vserver("qtree-delete", Act::Run(delete)),
    vserver("qtree-delete-async", Act::Run(delete_async)),
    anyone("quota-list-entries-iter", Act::List(&RULES)),
    vserver("quota-set-entry", Act::Run(set_entry)),
    vserver("quota-add-entry", Act::Run(set_entry)),
    vserver("quota-on", Act::Run(|management, request| switch(management, request, true))),
    vserver("quota-off", Act::Run(|management, request| switch(management, request, false))),
    vserver("quota-resize", Act::Run(resize)),
    vserver("quota-status", Act::Run(status)),
];

const QTREES: Listing =
    Listing { source: Source::Collection("storage/qtrees"), record: "qtree-info", columns: QTREE };

const QTREE: &[Column] = &[
    plain("qtree", "name"),
    plain("volume", "volume.name"),
    plain("vserver", "svm.name"),
    plain("id", "id"),
    plain("security-style", "security_style"),
    plain("export-policy", "export_policy.name"),
    computed("mode", |qtree| {
        permission_letters(number(qtree, "unix_permissions")?)
            .map(|letters| letters.trim_start_matches("---").to_owned())
    }),
];

const CREATE: Creation = Creation {
    within: None,
    path: "storage/qtrees",
    inputs: &[
        must("qtree", "name", Kind::Text),
        must("volume", "volume.name", Kind::Text),
        may("export-policy", "export_policy.name", Kind::Text),
        may("mode", "unix_permissions", Kind::Permissions),
        may("security-style", "security_style", Kind::Text),
        may("qos-policy-group", "qos_policy.name", Kind::Text),
    ],
    fixed: &[],
};

const MODIFY: Change = Change {
    find: Find {
        within: None,
        path: "storage/qtrees",
        by: &[("qtree", "name"), ("volume", "volume.name")],
        missing: NOT_FOUND,
    },
    inputs: &[
        may("export-policy", "export_policy.name", Kind::Text),
        may("mode", "unix_permissions", Kind::Permissions),
        may("security-style", "security_style", Kind::Text),
    ],
    fixed: &[],
};

const RULES: Listing =
    Listing { source: Source::Collection("storage/quota/rules"), record: "quota-entry", columns: RULE };

const RULE: &[Column] = &[
    plain("volume", "volume.name"),
    plain("vserver", "svm.name"),
    plain("quota-type", "type"),
    computed("quota-target", target),
    computed("disk-limit", |rule| limit(rule, "space.hard_limit", 1024)),
    computed("soft-disk-limit", |rule| limit(rule, "space.soft_limit", 1024)),
    computed("file-limit", |rule| limit(rule, "files.hard_limit", 1)),
    computed("soft-file-limit", |rule| limit(rule, "files.soft_limit", 1)),
    computed("qtree", |rule| {
        Some(if text(rule, "type") == "tree" { String::new() } else { text(rule, "qtree.name") })
    }),
];

/// `/vol/VOLUME/QTREE`, or `*` for the rule of all qtrees.
fn target(rule: &Value) -> Option<String> {
    match (text(rule, "type").as_str(), text(rule, "qtree.name").as_str()) {
        ("tree", "") => Some("*".into()),
        ("tree", qtree) => Some(format!("/vol/{}/{qtree}", text(rule, "volume.name"))),
        ("user", _) => Some(text(rule, "users.name")),
        _ => Some(text(rule, "group.name")),
    }
}

fn limit(rule: &Value, field: &str, unit: u64) -> Option<String> {
    Some(
        number(rule, field)
            .and_then(|limit| limit.checked_div(unit))
            .map_or("-".into(), |limit| limit.to_string()),
    )
}

/// Volume and qtree of `/vol/VOLUME/QTREE`.
fn parts(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("/vol/")?
        .split_once('/')
        .filter(|(volume, qtree)| !volume.is_empty() && !qtree.is_empty())
}

fn require(management: &mut Management<'_>, request: &Element) -> Result<Value, Failure> {
    let path = request.text_at("qtree").ok_or_else(|| Failure::missing_input("qtree"))?;
    let (volume, qtree) = parts(path).ok_or_else(|| Failure::invalid_input("qtree", path))?;
    let found = management.exactly("storage/qtrees", &[("volume.name", volume), ("name", qtree)])?;
    found
        .into_iter()
        .next()
        .ok_or_else(|| Failure::new(NOT_FOUND, format!("entry doesn't exist: \"{path}\"")))
}

fn rename(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    let qtree = require(management, request)?;
    let name = request.text_at("new-qtree-name").ok_or_else(|| Failure::missing_input("new-qtree-name"))?;
    let (volume, name) = parts(name).ok_or_else(|| Failure::invalid_input("new-qtree-name", name))?;
    if volume != text(&qtree, "volume.name") {
        return Err(Failure::new(INVALID_INPUT, "A qtree cannot be renamed into another volume"));
    }
    management.modify(href(&qtree), Members::from_iter([("name".to_owned(), name.into())]))?;
    Ok(Vec::new())
}

fn delete(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    let qtree = require(management, request)?;
    management.delete(href(&qtree), &[])?;
    Ok(Vec::new())
}

fn delete_async(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    let qtree = require(management, request)?;
    let answer = management.call(Method::Delete, href(&qtree), &[], Value::Null)?;
    Ok(volume::asynchronous(&answer))
}

fn set_entry(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    let needed = |name: &'static str| request.text_at(name).ok_or_else(|| Failure::missing_input(name));
    let (volume, kind) = (needed("volume")?, request.text_at("quota-type").unwrap_or("tree"));
    if kind != "tree" {
        return Err(Failure::invalid_input("quota-type", kind));
    }
    let target = request.text_at("quota-target").unwrap_or_default();
    let qtree = match target {
        "" | "*" => "",
        path => {
            parts(path).map(|(_, qtree)| qtree).ok_or_else(|| Failure::invalid_input("quota-target", path))?
        }
    };
    let mut members = Members::new();
    for (name, field, unit) in [
        ("disk-limit", "space.hard_limit", 1024_i64),
        ("soft-disk-limit", "space.soft_limit", 1024),
        ("file-limit", "files.hard_limit", 1),
    ] {
        if let Some(text) = request.text_at(name) {
            let number = match text {
                "-" => -1,
                text => text
                    .parse::<i64>()
                    .ok()
                    .and_then(|number| number.checked_mul(unit))
                    .ok_or_else(|| Failure::invalid_input(name, text))?,
            };
            members.insert(field.to_owned(), number.into());
        }
    }
    let rules = management.exactly("storage/quota/rules", &[("volume.name", volume), ("type", "tree")])?;
    match rules.iter().find(|rule| text(rule, "qtree.name") == qtree) {
        Some(rule) => management.modify(href(rule), members)?,
        None => {
            members.extend([
                ("volume.name".to_owned(), json!(volume)),
                ("qtree.name".to_owned(), json!(qtree)),
                ("type".to_owned(), json!("tree")),
            ]);
            management.create("storage/quota/rules", members)?
        }
    };
    Ok(Vec::new())
}

fn switch(management: &mut Management<'_>, request: &Element, on: bool) -> Result<Vec<Element>, Failure> {
    let volume = volume::BY_VOLUME.require(management, request)?;
    let body = json!({ "quota.enabled": on });
    let answer = management.call(Method::Patch, href(&volume), &[], body)?;
    Ok(volume::asynchronous(&answer))
}

/// New limits are in force as they are set: a resize finds nothing to do.
fn resize(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    volume::BY_VOLUME.require(management, request)?;
    Ok(vec![Element::leaf("result-status", "succeeded")])
}

fn status(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    let volume = Find { missing: NO_SUCH_VOLUME, ..volume::BY_VOLUME }.require(management, request)?;
    let state = text(&volume, "quota.state");
    Ok(vec![
        Element::leaf("status", if state.is_empty() { "off" } else { &state }),
        Element::leaf("substatus", "none"),
    ])
}
