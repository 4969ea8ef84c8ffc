//! Export policies and their rules.

use super::super::command::{Act, Command, Kind, Parameter, command, key, may, must};
use super::super::table::{Table, column};
use super::of;
use crate::management::Source;

pub(super) const COMMANDS: &[Command] = &[
    command(&["vserver", "export-policy", "show"], &[], Act::Show(&POLICIES)),
    command(
        &["vserver", "export-policy", "create"],
        &[key("vserver", "svm.name"), key("policyname", "name")],
        Act::Create(&of(&POLICIES)),
    ),
    command(
        &["vserver", "export-policy", "rename"],
        &[key("vserver", ""), key("policyname", ""), must("newpolicyname", "name", Kind::Text)],
        Act::Modify(&of(&POLICIES)),
    ),
    command(
        &["vserver", "export-policy", "delete"],
        &[key("vserver", ""), key("policyname", "")],
        Act::Delete(&of(&POLICIES)),
    ),
    command(&["vserver", "export-policy", "rule", "show"], &[], Act::Show(&RULES)),
    command(
        &["vserver", "export-policy", "rule", "create"],
        &[
            key("vserver", ""),
            key("policyname", ""),
            must("clientmatch", "clients", Kind::Objects("match")),
            must("rorule", "ro_rule", Kind::Texts),
            must("rwrule", "rw_rule", Kind::Texts),
            may("ruleindex", "index", Kind::Number),
            PROTOCOL,
            ANONYMOUS,
            SUPERUSER,
        ],
        Act::Create(&of(&RULES)),
    ),
    command(
        &["vserver", "export-policy", "rule", "modify"],
        &[
            key("vserver", ""),
            key("policyname", ""),
            key("ruleindex", ""),
            may("clientmatch", "clients", Kind::Objects("match")),
            may("rorule", "ro_rule", Kind::Texts),
            may("rwrule", "rw_rule", Kind::Texts),
            PROTOCOL,
            ANONYMOUS,
            SUPERUSER,
        ],
        Act::Modify(&of(&RULES)),
    ),
    command(
        &["vserver", "export-policy", "rule", "delete"],
        &[key("vserver", ""), key("policyname", ""), key("ruleindex", "")],
        Act::Delete(&of(&RULES)),
    ),
];

const PROTOCOL: Parameter = may("protocol", "protocols", Kind::Texts);
const ANONYMOUS: Parameter = may("anon", "anonymous_user", Kind::Text);
const SUPERUSER: Parameter = may("superuser", "superuser", Kind::Texts);

const POLICIES: Table = Table {
    source: Source::Collection("protocols/nfs/export-policies"),
    columns: &[
        column("vserver", "Vserver", "svm.name"),
        column("policyname", "Policy Name", "name"),
        column("policyid", "Policy ID", "id"),
    ],
    keys: 2,
    shown: &[("vserver", "Vserver", 15), ("policyname", "Policy Name", 19)],
};

const RULES: Table = Table {
    source: Source::Within { parent: "protocols/nfs/export-policies", child: "rules", column: "policyname" },
    columns: &[
        column("vserver", "Vserver", "svm.name"),
        column("policyname", "Policy Name", "policy.name"),
        column("ruleindex", "Rule Index", "index"),
        column("protocol", "Access Protocol", "protocols"),
        column(
            "clientmatch",
            "List of Client Match Hostnames, IP Addresses, Netgroups, or Domains",
            "clients.match",
        ),
        column("rorule", "RO Access Rule", "ro_rule"),
        column("rwrule", "RW Access Rule", "rw_rule"),
        column("anon", "User ID To Which Anonymous Users Are Mapped", "anonymous_user"),
        column("superuser", "Superuser Security Types", "superuser"),
        column("allow-suid", "Honor SetUID Bits in SETATTR", "allow_suid"),
        column("allow-dev", "Allow Creation of Devices", "allow_device_creation"),
    ],
    keys: 3,
    shown: &[
        ("vserver", "Vserver", 12),
        ("policyname", "Policy Name", 15),
        ("ruleindex", "Rule Index", 6),
        ("protocol", "Access Protocol", 8),
        ("clientmatch", "Client Match", 21),
        ("rorule", "RO Rule", 9),
    ],
};
