//! Qtrees.

use super::super::command::{Act, Command, Kind, Parameter, Target, command, key, may, must};
use super::super::table::{Table, column};
use super::of;
use crate::management::Source;

pub(super) const COMMANDS: &[Command] = &[
    command(&["volume", "qtree", "show"], &[], Act::Show(&QTREES)),
    command(
        &["volume", "qtree", "create"],
        &[
            key("vserver", "svm.name"),
            key("volume", "volume.name"),
            key("qtree", "name"),
            STYLE,
            PERMISSIONS,
            POLICY,
        ],
        Act::Create(&of(&QTREES)),
    ),
    command(
        &["volume", "qtree", "modify"],
        &[key("vserver", ""), key("volume", ""), key("qtree", ""), STYLE, PERMISSIONS, POLICY],
        Act::Modify(&of(&QTREES)),
    ),
    command(
        &["volume", "qtree", "rename"],
        &[key("vserver", ""), key("volume", ""), key("qtree", ""), must("newname", "name", Kind::Text)],
        Act::Modify(&of(&QTREES)),
    ),
    command(
        &["volume", "qtree", "delete"],
        &[key("vserver", ""), key("volume", ""), key("qtree", ""), may("force", "", Kind::Boolean)],
        Act::Delete(&Target { flags: &[], ..of(&QTREES) }),
    ),
];

const STYLE: Parameter = may("security-style", "security_style", Kind::Text);
const PERMISSIONS: Parameter = may("unix-permissions", "unix_permissions", Kind::Permissions);
const POLICY: Parameter = may("export-policy", "export_policy.name", Kind::Text);

const QTREES: Table = Table {
    source: Source::Collection("storage/qtrees"),
    columns: &[
        column("vserver", "Vserver Name", "svm.name"),
        column("volume", "Volume Name", "volume.name"),
        column("qtree", "Qtree Name", "name"),
        column("qtree-id", "Qtree Id", "id"),
        column("security-style", "Security Style", "security_style"),
        column("unix-permissions", "UNIX Permissions", "unix_permissions"),
        column("export-policy", "Export Policy", "export_policy.name"),
        column("qtree-path", "Qtree Path", "path"),
    ],
    keys: 3,
    shown: &[
        ("vserver", "Vserver", 10),
        ("volume", "Volume", 12),
        ("qtree", "Qtree", 12),
        ("security-style", "Style", 12),
        ("export-policy", "Export Policy", 12),
    ],
};
