//! Export policies and their rules.

use super::super::change::{Change, Creation, Deletion, Find};
use super::super::failure::{Failure, NOT_FOUND};
use super::super::field::{Column, Kind, computed, each, may, must, plain};
use super::super::listing::Listing;
use super::super::xml::Element;
use super::super::{Act, Api, anyone, vserver};
use super::attributes;
use crate::management::{Management, Source};
use crate::rest::{text_of, values_at};

pub(super) const CALLS: &[Api] = &[
    anyone("export-policy-get-iter", Act::List(&POLICIES)),
    vserver("export-policy-get", Act::Run(policy)),
    vserver("export-policy-create", Act::Create(&CREATE)),
    vserver("export-policy-rename", Act::Change(&RENAME)),
    vserver("export-policy-destroy", Act::Delete(&Deletion { find: POLICY, force: None })),
    anyone("export-rule-get-iter", Act::List(&RULES)),
    vserver("export-rule-create", Act::Create(&CREATE_RULE)),
    vserver("export-rule-modify", Act::Change(&MODIFY_RULE)),
    vserver("export-rule-destroy", Act::Delete(&Deletion { find: RULE, force: None })),
];

const POLICY: Find = Find {
    within: None,
    path: "protocols/nfs/export-policies",
    by: &[("policy-name", "name")],
    missing: NOT_FOUND,
};

const RULE: Find =
    Find { within: Some(&POLICY), path: "rules", by: &[("rule-index", "index")], missing: NOT_FOUND };

const POLICIES: Listing = Listing {
    source: Source::Collection("protocols/nfs/export-policies"),
    record: "export-policy-info",
    columns: &[plain("policy-name", "name"), plain("policy-id", "id"), plain("vserver", "svm.name")],
};

const RULES: Listing = Listing {
    source: Source::Within { parent: "protocols/nfs/export-policies", child: "rules", column: "policy-name" },
    record: "export-rule-info",
    columns: RULE_COLUMNS,
};

const RULE_COLUMNS: &[Column] = &[
    plain("policy-name", "policy.name"),
    plain("vserver-name", "svm.name"),
    plain("rule-index", "index"),
    computed("client-match", |rule| {
        Some(values_at(rule, "clients.match").into_iter().map(text_of).collect::<Vec<_>>().join(","))
    }),
    each("protocol", "access-protocol", "protocols"),
    each("ro-rule", "security-flavor", "ro_rule"),
    each("rw-rule", "security-flavor", "rw_rule"),
    each("super-user-security", "security-flavor", "superuser"),
    plain("anonymous-user-id", "anonymous_user"),
    plain("is-allow-set-uid-enabled", "allow_suid"),
    plain("is-allow-dev-is-enabled", "allow_device_creation"),
    plain("export-chown-mode", "chown_mode"),
    plain("export-ntfs-unix-security-ops", "ntfs_unix_security"),
];

const CREATE: Creation = Creation {
    within: None,
    path: "protocols/nfs/export-policies",
    inputs: &[must("policy-name", "name", Kind::Text)],
    fixed: &[],
};

const RENAME: Change =
    Change { find: POLICY, inputs: &[must("new-policy-name", "name", Kind::Text)], fixed: &[] };

const CREATE_RULE: Creation = Creation {
    within: Some(&POLICY),
    path: "rules",
    inputs: &[
        must("client-match", "clients", Kind::Split("match")),
        must("ro-rule", "ro_rule", Kind::Texts),
        must("rw-rule", "rw_rule", Kind::Texts),
        may("rule-index", "index", Kind::Number),
        may("protocol", "protocols", Kind::Texts),
        may("super-user-security", "superuser", Kind::Texts),
        may("anonymous-user-id", "anonymous_user", Kind::Text),
    ],
    fixed: &[],
};

const MODIFY_RULE: Change = Change {
    find: RULE,
    inputs: &[
        may("client-match", "clients", Kind::Split("match")),
        may("ro-rule", "ro_rule", Kind::Texts),
        may("rw-rule", "rw_rule", Kind::Texts),
        may("protocol", "protocols", Kind::Texts),
        may("super-user-security", "superuser", Kind::Texts),
        may("anonymous-user-id", "anonymous_user", Kind::Text),
    ],
    fixed: &[],
};

fn policy(management: &mut Management<'_>, request: &Element) -> Result<Vec<Element>, Failure> {
    Ok(attributes(POLICIES.shown(&POLICY.require(management, request)?)))
}
