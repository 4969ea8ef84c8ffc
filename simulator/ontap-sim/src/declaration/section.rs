//! What a declaration may have, in the order in which it is made: what refers to something comes after it.

/// A list of records that is made with one call of the API each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Section {
    /// Its key in the file.
    pub(super) name: &'static str,
    /// The collection, under `/api`.
    pub(super) collection: &'static str,
    /// The fields that together name a record; two records of a file never share them all.
    pub(super) identity: &'static [&'static str],
}

const fn section(name: &'static str, collection: &'static str, identity: &'static [&'static str]) -> Section {
    Section { name, collection, identity }
}

const IN_SVM: &[&str] = &["svm", "name"];

/// Every section.
pub(super) const SECTIONS: &[Section] = &[
    section("aggregates", "storage/aggregates", &["name"]),
    section("schedules", "cluster/schedules", IN_SVM),
    section("snapshot_policies", "storage/snapshot-policies", IN_SVM),
    section("svms", "svm/svms", &["name"]),
    section("roles", "security/roles", &["owner", "name"]),
    section("users", "security/accounts", &["owner", "name"]),
    section("certificates", "security/certificates", IN_SVM),
    section("qos_policies", "storage/qos/policies", IN_SVM),
    section("nfs_services", "protocols/nfs/services", &["svm"]),
    section("iscsi_services", "protocols/san/iscsi/services", &["svm"]),
    section("iscsi_credentials", "protocols/san/iscsi/credentials", &["svm", "initiator"]),
    section("lifs", "network/ip/interfaces", IN_SVM),
    section("export_policies", "protocols/nfs/export-policies", IN_SVM),
    section("volumes", "storage/volumes", IN_SVM),
    section("qtrees", "storage/qtrees", &["svm", "volume", "name"]),
    section("quota_rules", "storage/quota/rules", &["svm", "volume", "type", "qtree", "users"]),
    section("luns", "storage/luns", IN_SVM),
    section("igroups", "protocols/san/igroups", IN_SVM),
    section("lun_maps", "protocols/san/lun-maps", &["svm", "lun", "igroup"]),
];

/// The section of this key.
pub(super) fn find_section(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.name == name)
}

/// The keys of a declaration, for a message.
pub(super) fn known_keys() -> String {
    let single = ["version", "model", "cluster"];
    single.into_iter().chain(SECTIONS.iter().map(|section| section.name)).collect::<Vec<_>>().join(", ")
}
