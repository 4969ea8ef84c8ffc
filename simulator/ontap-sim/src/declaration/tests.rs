use std::path::Path;

use super::*;

/// Every section that hosts see, in the fewest words.
const WHOLE: &str = r#"
version: 9.16.1
model: AFF-A250
cluster: { name: lab }
aggregates:
  - { name: fast, node: sim-01, block_storage.primary: { disk_class: solid_state, disk_count: 24 } }
svms:
  - { name: gold, aggregates: [fast], iscsi.enabled: true }
  - { name: iron, aggregates: [fast] }
roles:
  - { name: watcher, privileges: [{ path: /api/storage/volumes, access: readonly }] }
users:
  - { name: ops, password: Secret-word1, role: watcher }
  - { name: vsadmin, owner: gold, password: Secret-word2 }
nfs_services:
  - { svm: gold, protocol.v41_enabled: true }
lifs:
  - { name: data, svm: gold, ip: { address: 127.0.0.2, netmask: 8 }, location.home_node: sim-01, service_policy: default-data-files }
  - { name: block, svm: gold, ip: { address: 127.0.0.3, netmask: 8 }, location.home_node: sim-02, service_policy: default-data-blocks }
export_policies:
  - name: default
    svm: gold
    rules: [{ clients: [10.0.0.0/8], ro_rule: [any], rw_rule: [any], superuser: [any] }]
  - { name: closed, svm: gold }
volumes:
  - { name: v1, svm: gold, aggregates: [fast], size: 1GB, nas: { path: /v1, export_policy: closed } }
luns:
  - { name: /vol/v1/lun0, svm: gold, os_type: linux, space.size: 100MB }
igroups:
  - { name: hosts, svm: gold, os_type: linux, initiators: [iqn.2026-11.example:a] }
lun_maps:
  - { svm: gold, lun: /vol/v1/lun0, igroup: hosts }
"#;

fn blueprint() -> Blueprint {
    Blueprint { default_export_clients: Vec::new(), addressed: false, ..Blueprint::sample() }
}

fn built(text: &str) -> Result<Cluster, DeclarationError> {
    Declaration::parse(Path::new("array.yaml"), text)?.build(&blueprint())
}

#[test]
fn a_declaration_makes_everything_it_names_and_nothing_else() {
    let declaration = Declaration::parse(Path::new("array.yaml"), WHOLE).unwrap();
    assert_eq!(declaration.version(), Some("9.16.1".parse().unwrap()));
    assert_eq!(declaration.model(), Some("AFF-A250"));
    let cluster = declaration.build(&blueprint()).unwrap();
    assert_eq!(cluster.about.name, "lab");
    let names: Vec<_> = cluster.svms.values().map(|svm| svm.name.as_str()).collect();
    assert_eq!(names, ["gold", "iron"]);
    assert_eq!(cluster.aggregates.values().map(|known| known.name.as_str()).collect::<Vec<_>>(), ["fast"]);
    let gold = cluster.find_svm_named("gold").unwrap().id;
    let volume = cluster.find_volume_named(gold, "v1").unwrap();
    assert_eq!((volume.size, volume.junction.as_deref()), (1 << 30, Some("/v1")));
    let rules = |name: &str| cluster.find_policy_named(gold, name).unwrap().rules.len();
    assert_eq!((rules("default"), rules("closed")), (1, 0));
    let addresses: Vec<_> = cluster.lifs.values().map(|lif| lif.address.to_string()).collect();
    assert_eq!(addresses, ["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    assert_eq!(cluster.lun_maps.values().count(), 1);
    assert_eq!(cluster.log_in(None, "ops", "Secret-word1").unwrap().role, "watcher");
    assert_eq!(cluster.log_in(Some(gold), "vsadmin", "Secret-word2").unwrap().role, "vsadmin");
}

#[test]
fn without_aggregates_of_its_own_a_declaration_has_the_usual_ones() {
    let cluster = built("svms: [{ name: a, aggregates: [aggr2] }]").unwrap();
    assert!(cluster.find_aggregate_named("aggr1").is_some());
    assert_eq!(cluster.svms.values().count(), 1);
}

/// What is put in place of what, and what the complaint must say.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    ("svms:", "smvs:", &["line 7, column 1: smvs: no such key", "svms, roles, users"]),
    (
        "name: iron",
        "name: gold",
        &["line 9", "svms[1].name: `gold` is declared already at line 8", "another name"],
    ),
    (
        "name: block, svm: gold",
        "name: block, svm: lead",
        &["line 19", "lifs[1].svm", "lead", "one of gold, iron"],
    ),
    ("address: 127.0.0.3", "address: 127.0.0.999", &["line 19", "lifs[1].ip.address", "127.0.0.999"]),
    (
        "address: 127.0.0.3",
        "address: 127.0.0.2",
        &["line 19", "lifs[1].ip.address", "127.0.0.2", "no other LIF"],
    ),
    (
        "home_node: sim-02",
        "home_node: sim-09",
        &["line 19", "lifs[1].location.home_node", "sim-09", "sim-01, sim-02"],
    ),
    ("size: 1GB", "size: huge", &["line 26", "volumes[0].size", "huge", "100MB"]),
    ("size: 1GB", "sise: 1GB", &["line 26, column 48", "volumes[0].sise", "take it out", "storage/volumes"]),
    (
        "aggregates: [fast], size",
        "aggregates: [slow], size",
        &["line 26", "volumes[0].aggregates", "slow", "fast"],
    ),
    ("version: 9.16.1", "version: 9.16", &["line 2", "version: `9.16` is no release", "9.15.1"]),
    ("clients: [10.0.0.0/8]", "clients: [no client]", &["line 21", "export_policies[0]", "no client"]),
    ("igroup: hosts", "igroup: guests", &["line 32", "lun_maps[0].igroup", "correct the name"]),
    ("Secret-word1", "short", &["line 13", "users[0].password", "8 characters"]),
    ("role: watcher }", "role: boss }", &["line 13", "users[0].role", "boss"]),
    ("svms:\n", "svms: many\nx:\n", &["line 7", "svms: no list"]),
    ("cluster: { name: lab }", "cluster: { name: \"1 lab\" }", &["line 4", "cluster.name", "1 lab"]),
    ("os_type: linux, space", "os_type: [, space", &["line 28", "not readable as YAML", "correct it there"]),
    ("cluster: { name: lab }", "model: two", &["line 4", "model", "YAML"]),
];

#[test]
fn every_mistake_is_told_with_file_line_field_and_cure() {
    let mut missed = Vec::new();
    for (right, wrong, expected) in MISTAKES {
        assert!(WHOLE.contains(right), "{right}");
        let said = match built(&WHOLE.replacen(right, wrong, 1)) {
            Ok(_) => "nothing".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(!said.contains("Secret-word1"), "{said}");
        let whole = said.starts_with("--config array.yaml: line ");
        if !whole || !expected.iter().all(|part| said.contains(part)) {
            missed.push(format!("`{wrong}`: {expected:?} is not all in: {said}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn a_declaration_prints_without_its_passwords() {
    let declaration = Declaration::parse(Path::new("array.yaml"), WHOLE).unwrap();
    assert!(!format!("{declaration:?}").contains("Secret-word1"));
}
