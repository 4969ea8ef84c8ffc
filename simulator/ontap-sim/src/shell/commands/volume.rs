//! Volumes.

use super::super::command::{Act, Command, Kind, Parameter, Target, command, key, may, must};
use super::super::table::{Form, Table, column, formed};
use super::{of, saying};
use crate::management::Source;
use crate::rest::values_at;
use crate::zapi::permission_letters;

pub(super) const COMMANDS: &[Command] = &[
    command(&["volume", "show"], &[], Act::Show(&VOLUMES)),
    command(
        &["volume", "create"],
        &[
            key("vserver", "svm.name"),
            key("volume", "name"),
            may("aggregate", "aggregates.name", Kind::Text),
            may("aggr-list", "aggregates", Kind::Objects("name")),
            may("size", "size", Kind::Size),
            may("state", "state", Kind::Text),
            may("type", "type", Kind::Words(&[("RW", "rw"), ("DP", "dp")])),
            may("junction-path", "nas.path", Kind::Text),
            may("space-guarantee", "guarantee.type", Kind::Text),
            may("language", "language", Kind::Text),
            may("encrypt", "encryption.enabled", Kind::Boolean),
            POLICY,
            USER,
            GROUP,
            STYLE,
            PERMISSIONS,
            COMMENT,
            SNAPSHOT_POLICY,
            RESERVE,
            TIERING,
            QOS,
        ],
        Act::Create(&saying(&VOLUMES, "[Job 1] Job succeeded: Successful\n")),
    ),
    command(
        &["volume", "modify"],
        &[
            key("vserver", ""),
            key("volume", ""),
            may("size", "size", Kind::Size),
            may("state", "state", Kind::Text),
            may("space-guarantee", "guarantee.type", Kind::Text),
            may("snapdir-access", "snapshot_directory_access_enabled", Kind::Boolean),
            POLICY,
            USER,
            GROUP,
            STYLE,
            PERMISSIONS,
            COMMENT,
            SNAPSHOT_POLICY,
            RESERVE,
            TIERING,
            QOS,
        ],
        Act::Modify(&saying(&VOLUMES, "Volume modify successful on volume {volume} of Vserver {vserver}.\n")),
    ),
    command(
        &["volume", "size"],
        &[key("vserver", ""), key("volume", ""), must("new-size", "size", Kind::Size)],
        Act::Modify(&saying(&VOLUMES, "vol size: Volume \"{vserver}:{volume}\" size set to {new-size}.\n")),
    ),
    command(
        &["volume", "rename"],
        &[key("vserver", ""), key("volume", ""), must("newname", "name", Kind::Text)],
        Act::Modify(&saying(&VOLUMES, "[Job 1] Job succeeded: Successful\n")),
    ),
    command(
        &["volume", "mount"],
        &[key("vserver", ""), key("volume", ""), must("junction-path", "nas.path", Kind::Text)],
        Act::Modify(&of(&VOLUMES)),
    ),
    command(
        &["volume", "unmount"],
        &[key("vserver", ""), key("volume", "")],
        Act::Modify(&Target { fixed: &[("nas.path", "")], ..of(&VOLUMES) }),
    ),
    command(
        &["volume", "online"],
        &[key("vserver", ""), key("volume", "")],
        Act::Modify(&Target {
            fixed: &[("state", "online")],
            ..saying(&VOLUMES, "Volume \"{vserver}:{volume}\" is now online.\n")
        }),
    ),
    command(
        &["volume", "offline"],
        &[key("vserver", ""), key("volume", ""), may("force", "", Kind::Boolean)],
        Act::Modify(&Target {
            fixed: &[("state", "offline")],
            ..saying(&VOLUMES, "Volume \"{vserver}:{volume}\" is now offline.\n")
        }),
    ),
    command(
        &["volume", "delete"],
        &[key("vserver", ""), key("volume", ""), may("force", "", Kind::Boolean)],
        Act::Delete(&Target {
            flags: &[("force", "true")],
            ..saying(&VOLUMES, "[Job 1] Job succeeded: Successful\n")
        }),
    ),
    command(
        &["volume", "clone", "create"],
        &[
            key("vserver", "svm.name"),
            key("flexclone", "name"),
            must("parent-volume", "clone.parent_volume.name", Kind::Text),
            may("parent-snapshot", "clone.parent_snapshot.name", Kind::Text),
            may("junction-path", "nas.path", Kind::Text),
        ],
        Act::Create(&Target {
            fixed: &[("clone.is_flexclone", "true")],
            ..saying(&CLONES, "[Job 1] Job succeeded: Successful\n")
        }),
    ),
    command(&["volume", "clone", "show"], &[], Act::Show(&CLONES)),
    command(
        &["volume", "clone", "split", "start"],
        &[key("vserver", ""), key("flexclone", "")],
        Act::Modify(&Target { fixed: &[("clone.split_initiated", "true")], ..of(&CLONES) }),
    ),
    command(
        &["volume", "quota", "on"],
        &[key("vserver", ""), key("volume", "")],
        Act::Modify(&Target { fixed: &[("quota.enabled", "true")], ..of(&VOLUMES) }),
    ),
    command(
        &["volume", "quota", "off"],
        &[key("vserver", ""), key("volume", "")],
        Act::Modify(&Target { fixed: &[("quota.enabled", "false")], ..of(&VOLUMES) }),
    ),
];

const POLICY: Parameter = may("policy", "nas.export_policy.name", Kind::Text);
const USER: Parameter = may("user", "nas.uid", Kind::Number);
const GROUP: Parameter = may("group", "nas.gid", Kind::Number);
const STYLE: Parameter = may("security-style", "nas.security_style", Kind::Text);
const PERMISSIONS: Parameter = may("unix-permissions", "nas.unix_permissions", Kind::Permissions);
const COMMENT: Parameter = may("comment", "comment", Kind::Text);
const SNAPSHOT_POLICY: Parameter = may("snapshot-policy", "snapshot_policy.name", Kind::Text);
const RESERVE: Parameter = may("percent-snapshot-space", "space.snapshot.reserve_percent", Kind::Percent);
const TIERING: Parameter = may("tiering-policy", "tiering.policy", Kind::Text);
const QOS: Parameter = may("qos-policy-group", "qos.policy.name", Kind::Text);

const TYPES: Form = Form::Words(&[("rw", "RW"), ("dp", "DP"), ("ls", "LS")]);

const VOLUMES: Table = Table {
    source: Source::Collection("storage/volumes"),
    columns: &[
        column("vserver", "Vserver Name", "svm.name"),
        column("volume", "Volume Name", "name"),
        column("aggregate", "Aggregate Name", "aggregates.name"),
        formed("size", "Volume Size", "size", Form::Size),
        column("state", "Volume State", "state"),
        formed("type", "Volume Type", "type", TYPES),
        column("volume-style-extended", "Extended Volume Style", "style"),
        column("policy", "Export Policy", "nas.export_policy.name"),
        column("user", "User ID", "nas.uid"),
        column("group", "Group ID", "nas.gid"),
        column("security-style", "Security Style", "nas.security_style"),
        formed(
            "unix-permissions",
            "UNIX Permissions",
            "",
            Form::Computed(|volume| {
                permission_letters(values_at(volume, "nas.unix_permissions").first()?.as_u64()?)
            }),
        ),
        column("junction-path", "Junction Path", "nas.path"),
        column("comment", "Comment", "comment"),
        formed("available", "Available Size", "space.available", Form::Size),
        formed("used", "Used Size", "space.used", Form::Size),
        formed(
            "percent-used",
            "Used Percentage",
            "",
            Form::Computed(|volume| {
                let number = |field: &str| values_at(volume, field).first().and_then(|value| value.as_u64());
                let (used, available) = (number("space.used")?, number("space.available")?);
                let percent =
                    used.saturating_mul(100).checked_div(used.saturating_add(available)).unwrap_or(0);
                Some(format!("{percent}%"))
            }),
        ),
        column("space-guarantee", "Space Guarantee Style", "guarantee.type"),
        formed(
            "percent-snapshot-space",
            "Space Reserved for Snapshot Copies",
            "space.snapshot.reserve_percent",
            Form::Percent,
        ),
        column("snapshot-policy", "Snapshot Policy", "snapshot_policy.name"),
        column("snapdir-access", "Snapshot Directory Access Enabled", "snapshot_directory_access_enabled"),
        column("language", "Language", "language"),
        column("vsroot", "Vserver Root Volume", "is_svm_root"),
        column("instance-uuid", "Unique Volume Identifier", "uuid"),
        column("create-time", "Creation Time", "create_time"),
        column("encrypt", "Volume Contains Encrypted", "encryption.enabled"),
        column("tiering-policy", "Tiering Policy", "tiering.policy"),
        column("qos-policy-group", "QoS Policy Group Name", "qos.policy.name"),
        column("is-flexclone", "Is Flexclone", "clone.is_flexclone"),
    ],
    keys: 2,
    shown: &[
        ("vserver", "Vserver", 9),
        ("volume", "Volume", 12),
        ("aggregate", "Aggregate", 12),
        ("state", "State", 10),
        ("type", "Type", 4),
        ("size", "Size", 10),
        ("available", "Available", 10),
        ("percent-used", "Used%", 5),
    ],
};

const CLONES: Table = Table {
    source: Source::Where("storage/volumes", &[("clone.is_flexclone", "true")]),
    columns: &[
        column("vserver", "Vserver Name", "svm.name"),
        column("flexclone", "FlexClone Volume", "name"),
        column("parent-volume", "FlexClone Parent Volume", "clone.parent_volume.name"),
        column("parent-snapshot", "FlexClone Parent Snapshot", "clone.parent_snapshot.name"),
        column("state", "State", "state"),
    ],
    keys: 2,
    shown: &[
        ("vserver", "Vserver", 10),
        ("flexclone", "FlexClone", 13),
        ("parent-volume", "Parent Volume", 13),
        ("parent-snapshot", "Parent Snapshot", 20),
        ("state", "State", 9),
    ],
};
