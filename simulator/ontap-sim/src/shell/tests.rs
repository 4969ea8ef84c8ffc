//! Commands as administrators type them, over a cluster without data planes.

use super::{execute, help};
use crate::management::Management;
use crate::rest;
use crate::state::{Blueprint, Cluster};

fn cluster() -> Cluster {
    let mut cluster = Cluster::boot(&Blueprint::sample()).unwrap();
    cluster.take_changes();
    cluster
}

fn typed(cluster: &mut Cluster, line: &str) -> (String, bool) {
    let mut ask = |calls: &[rest::Call]| {
        let answers = rest::answer_together(cluster, calls);
        cluster.take_changes();
        answers
    };
    execute(&mut Management::new(&mut ask), &[line.to_owned()])
}

fn prints(cluster: &mut Cluster, line: &str) -> String {
    let (text, good) = typed(cluster, line);
    assert!(good, "{line}: {text}");
    text
}

fn fails(cluster: &mut Cluster, line: &str) -> String {
    let (text, good) = typed(cluster, line);
    assert!(!good, "{line}: {text}");
    text
}

const CREATE: &str = "volume create -vserver svm1 -volume v1 -aggregate aggr1 -size 1g -junction-path /v1 -unix-permissions ---rwxr-xr-x";

#[test]
fn a_volume_is_created_shown_modified_and_deleted() {
    let mut cluster = cluster();
    assert!(prints(&mut cluster, CREATE).contains("Job succeeded"));
    let table = prints(&mut cluster, "volume show -vserver svm1 -volume v*");
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("Vserver   Volume       Aggregate"), "{table}");
    assert!(lines[1].starts_with("--------- ------------ ------------"), "{table}");
    assert!(lines[2].starts_with("svm1      v1           aggr1        online     RW   1GB"), "{table}");
    let fields = prints(&mut cluster, "volume show -volume v1 -fields size,junction-path");
    assert!(
        fields.starts_with(
            "vserver volume size junction-path\n------- ------ ---- -------------\nsvm1    v1     1GB  /v1"
        ),
        "{fields}"
    );
    let instance = prints(&mut cluster, "volume show -vserver svm1 -volume v1");
    assert!(instance.contains("                      Volume Name: v1\n"), "{instance}");
    assert!(instance.contains("UNIX Permissions: ---rwxr-xr-x"), "{instance}");
    let said = prints(&mut cluster, "volume modify -vserver svm1 -volume v1 -comment \"two words\"");
    assert_eq!(said, "Volume modify successful on volume v1 of Vserver svm1.\n");
    assert_eq!(
        prints(&mut cluster, "volume modify -volume v* -vserver svm1 -size 2g"),
        "1 entry was modified.\n"
    );
    prints(&mut cluster, "volume unmount svm1 v1");
    prints(&mut cluster, "volume delete svm1 v1");
    assert_eq!(prints(&mut cluster, "volume show -volume v1"), "There are no entries matching your query.\n");
}

#[test]
fn commands_and_parameters_are_abbreviated_where_it_is_clear_what_is_meant() {
    let mut cluster = cluster();
    prints(&mut cluster, CREATE);
    assert!(prints(&mut cluster, "vol show -vserver svm1").starts_with("  (volume show)\n"));
    assert!(prints(&mut cluster, "net int show").starts_with("  (network interface show)\n"));
    assert!(
        prints(&mut cluster, "export-policy rule show -vs svm1 -pol default")
            .starts_with("  (vserver export-policy rule show)\n")
    );
    assert!(prints(&mut cluster, "igroup show").starts_with("  (lun igroup show)\n"));
    assert!(prints(&mut cluster, "aggr show").contains("aggr1"));
    let unclear = fails(&mut cluster, "volume modify -vserver svm1 -volume v1 -s 1g");
    assert!(unclear.starts_with("Error: Ambiguous argument"), "{unclear}");
}

#[test]
fn what_is_wrong_is_said_as_the_shell_says_it() {
    let mut cluster = cluster();
    assert_eq!(fails(&mut cluster, "frobnicate"), "Error: \"frobnicate\" is not a recognized command\n");
    assert_eq!(
        fails(&mut cluster, "volume frobnicate"),
        "Error: \"frobnicate\" is not a recognized command\n"
    );
    assert_eq!(fails(&mut cluster, "volume show -frobnicate x"), "Error: invalid argument \"-frobnicate\"\n");
    assert_eq!(
        fails(&mut cluster, "volume delete -vserver svm1 -volume none"),
        "Error: command failed: entry doesn't exist\n"
    );
    assert_eq!(
        fails(&mut cluster, "volume create -volume v1"),
        "Error: Missing required parameter: -vserver.\n"
    );
    assert!(
        fails(&mut cluster, "volume create svm1 v1 -size lots")
            .contains("\"lots\" is an invalid value for field \"-size\"")
    );
    prints(&mut cluster, CREATE);
    assert!(fails(&mut cluster, CREATE).starts_with("Error: command failed: "));
    assert_eq!(prints(&mut cluster, "   "), "");
    fails(&mut cluster, "volume show \"");
}

#[test]
fn export_rules_luns_and_igroups_go_their_way() {
    let mut cluster = cluster();
    prints(&mut cluster, CREATE);
    prints(&mut cluster, "export-policy create -vserver svm1 -policyname p");
    prints(
        &mut cluster,
        "export-policy rule create -vserver svm1 -policyname p -clientmatch 10.0.0.0/8 -rorule any -rwrule any -superuser any",
    );
    let rules = prints(
        &mut cluster,
        "vserver export-policy rule show -vserver svm1 -policyname p -fields clientmatch,superuser",
    );
    assert!(rules.contains("10.0.0.0/8") && rules.contains("any"), "{rules}");
    prints(&mut cluster, "vserver export-policy rule delete -vserver svm1 -policyname p -ruleindex 1");
    prints(&mut cluster, "lun create -vserver svm1 -path /vol/v1/lun0 -size 100m -ostype linux");
    prints(
        &mut cluster,
        "igroup create -vserver svm1 -igroup ig -protocol iscsi -ostype linux -initiator iqn.2026-11.example:host1",
    );
    prints(&mut cluster, "lun map -vserver svm1 -path /vol/v1/lun0 -igroup ig");
    let luns = prints(&mut cluster, "lun show");
    assert!(luns.contains("/vol/v1/lun0"), "{luns}");
    assert!(prints(&mut cluster, "lun mapping show").contains("ig "));
    fails(&mut cluster, "lun delete -vserver svm1 -path /vol/v1/lun0");
    prints(&mut cluster, "lun unmap -vserver svm1 -path /vol/v1/lun0 -igroup ig");
    prints(&mut cluster, "lun delete -vserver svm1 -path /vol/v1/lun0");
}

#[test]
fn an_array_is_prepared_as_its_administrators_guide_says() {
    let mut cluster = cluster();
    let guide = [
        "vserver create -vserver tridentsvm -subtype default -rootvolume root -aggregate aggr1 -rootvolume-security-style unix",
        "nfs create -vserver tridentsvm -v3 enabled -v4.0 enabled -v4.1 enabled -tcp enabled -udp disabled",
        "export-policy rule create -vserver tridentsvm -policyname default -clientmatch 0.0.0.0/0 -rorule any -rwrule any -superuser any",
        "network interface create -vserver tridentsvm -lif data1 -service-policy default-data-files -address 127.0.0.31 -netmask 255.0.0.0 -home-node sim-01 -home-port e0c",
        "network interface create -vserver tridentsvm -lif data2 -role data -data-protocol iscsi -address 127.0.0.32 -netmask 255.0.0.0 -home-node sim-01 -home-port e0c",
        "network interface create -vserver tridentsvm -lif mgmt -service-policy default-management -address 127.0.0.33 -netmask-length 8 -home-node sim-01 -home-port e0c",
        "iscsi create -vserver tridentsvm",
        "vserver modify -vserver tridentsvm -aggr-list aggr1,aggr2",
        "security login create -user-or-group-name harvest -application http -authentication-method certificate -role readonly",
        "security login show -vserver tridentsvm",
        "vol show -vserver tridentsvm",
        "net int show -vserver tridentsvm",
    ];
    for line in guide {
        prints(&mut cluster, line);
    }
    let svm = prints(&mut cluster, "vserver show -vserver tridentsvm -fields aggr-list,admin-state,subtype");
    assert!(svm.contains("tridentsvm") && svm.contains("aggr1,aggr2") && svm.contains("running"), "{svm}");
    let lifs = prints(&mut cluster, "net int show -vserver tridentsvm -fields address,service-policy");
    assert!(lifs.contains("127.0.0.31") && lifs.contains("default-data-blocks"), "{lifs}");
    fails(&mut cluster, "security login unlock -vserver tridentsvm -username vsadmin");
    let harvest = prints(&mut cluster, "security login show -user-or-group-name harvest");
    assert!(harvest.contains("certificate") && harvest.contains("readonly"), "{harvest}");
}

#[test]
fn help_tells_what_can_follow() {
    assert!(help("").contains("  volume\n"));
    assert!(help("volume sn").contains("  snapshot\n"));
    let parameters = help("volume create ");
    assert!(
        parameters.contains("  -vserver <value>\n") && parameters.contains("  [ -size <value> ]\n"),
        "{parameters}"
    );
}

mod any {
    use proptest::prelude::*;

    use super::{cluster, help, typed};

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        #[test]
        fn no_line_panics(line in "(volume|vserver|lun|net|show|create|int|modify|-[a-z]{0,4}|\"|\\*|[a-z0-9]{0,3}| ){0,12}") {
            typed(&mut cluster(), &line);
            help(&line);
            super::super::completion(&line);
        }
    }
}
