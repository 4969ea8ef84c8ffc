//! The skin as a client sees it, over a cluster without data planes.

use super::xml::{self, Element};
use super::{answer, apis};
use crate::management::Management;
use crate::rest;
use crate::state::{Blueprint, Cluster};

fn cluster() -> Cluster {
    let mut cluster = Cluster::boot(&Blueprint::sample()).unwrap();
    cluster.take_changes();
    cluster
}

/// The `results` of a document.
fn send(cluster: &mut Cluster, document: &str) -> Element {
    let mut ask = |calls: &[rest::Call]| rest::answer_together(cluster, calls);
    let reply = answer(&mut Management::new(&mut ask), document.as_bytes());
    let netapp = xml::parse(&reply.document).unwrap();
    let results = netapp.at("results").unwrap().clone();
    assert_eq!(results.attribute("errno"), reply.errno.map(|errno| errno.to_string()).as_deref());
    results
}

/// The `results` of a call tunnelled to the SVM.
fn call(cluster: &mut Cluster, request: &str) -> Element {
    let envelope =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><netapp xmlns=\"http://www.netapp.com/filer/admin\"";
    send(cluster, &format!("{envelope} version=\"1.21\" vfiler=\"svm1\">{request}</netapp>"))
}

fn passes(cluster: &mut Cluster, request: &str) -> Element {
    let results = call(cluster, request);
    assert_eq!(results.attribute("status"), Some("passed"), "{request}: {results:?}");
    results
}

fn fails(cluster: &mut Cluster, request: &str, errno: &str) -> String {
    let results = call(cluster, request);
    assert_eq!(results.attribute("errno"), Some(errno), "{request}: {results:?}");
    assert_eq!(results.attribute("status"), Some("failed"));
    results.attribute("reason").unwrap().to_owned()
}

fn create_volume(cluster: &mut Cluster, name: &str) {
    passes(
        cluster,
        &format!(
            "<volume-create><volume>{name}</volume><containing-aggr-name>aggr1</containing-aggr-name>\
             <size>1g</size><space-reserve>none</space-reserve><unix-permissions>---rwxr-x---</unix-permissions>\
             <junction-path>/{name}</junction-path></volume-create>"
        ),
    );
}

fn volumes(cluster: &mut Cluster, more: &str) -> Element {
    passes(cluster, &format!("<volume-get-iter>{more}</volume-get-iter>"))
}

fn names(results: &Element) -> Vec<&str> {
    let names = results.all("attributes-list/volume-attributes/volume-id-attributes/name");
    names.into_iter().map(|name| name.text.as_str()).collect()
}

#[test]
fn the_version_follows_the_release() {
    let results = passes(&mut cluster(), "<system-get-ontapi-version/>");
    assert_eq!(
        (results.text_at("major-version"), results.text_at("minor-version")),
        (Some("1"), Some("251"))
    );
    let results = passes(&mut cluster(), "<system-get-version/>");
    assert_eq!(results.text_at("version-tuple/system-version-tuple/generation"), Some("9"));
    assert_eq!(results.text_at("is-clustered"), Some("true"));
}

#[test]
fn every_call_has_one_row() {
    let mut names: Vec<_> = apis::ALL.iter().copied().flatten().map(|api| api.name).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(all >= 100, "{all}");
}

#[test]
fn a_volume_lives_as_its_calls_say() {
    let mut cluster = cluster();
    create_volume(&mut cluster, "v1");
    let found = volumes(
        &mut cluster,
        "<query><volume-attributes><volume-id-attributes><name>v1</name></volume-id-attributes></volume-attributes></query>",
    );
    assert_eq!(found.text_at("num-records"), Some("1"));
    let volume = found.at("attributes-list/volume-attributes").unwrap();
    for (path, text) in [
        ("volume-id-attributes/junction-path", "/v1"),
        ("volume-id-attributes/containing-aggregate-name", "aggr1"),
        ("volume-id-attributes/style-extended", "flexvol"),
        ("volume-space-attributes/size", "1073741824"),
        ("volume-space-attributes/space-guarantee", "none"),
        ("volume-security-attributes/volume-security-unix-attributes/permissions", "---rwxr-x---"),
        ("volume-state-attributes/state", "online"),
        ("volume-id-attributes/creation-time", "1767323045"),
    ] {
        assert_eq!(volume.text_at(path), Some(text), "{path}");
    }
    let grown =
        passes(&mut cluster, "<volume-size><volume>v1</volume><new-size>+1g</new-size></volume-size>");
    assert_eq!(grown.text_at("volume-size"), Some("2147483648"));
    let modified = passes(
        &mut cluster,
        "<volume-modify-iter><query><volume-attributes><volume-id-attributes><name>v1</name></volume-id-attributes>\
         </volume-attributes></query><attributes><volume-attributes><volume-snapshot-attributes>\
         <snapdir-access-enabled>false</snapdir-access-enabled></volume-snapshot-attributes></volume-attributes>\
         </attributes></volume-modify-iter>",
    );
    assert_eq!(modified.text_at("num-succeeded"), Some("1"));
    passes(&mut cluster, "<volume-unmount><volume-name>v1</volume-name></volume-unmount>");
    let reason = fails(&mut cluster, "<volume-destroy><name>v1</name></volume-destroy>", "13001");
    assert!(reason.contains("must be offline"), "{reason}");
    passes(&mut cluster, "<volume-offline><name>v1</name></volume-offline>");
    passes(&mut cluster, "<volume-destroy><name>v1</name></volume-destroy>");
    fails(&mut cluster, "<volume-destroy><name>v1</name></volume-destroy>", "13040");
}

#[test]
fn an_iteration_is_narrowed_trimmed_and_paged() {
    let mut cluster = cluster();
    for name in ["a1", "a2", "a3", "b1"] {
        create_volume(&mut cluster, name);
    }
    let by = |pattern: &str| {
        format!(
            "<query><volume-attributes><volume-id-attributes><name>{pattern}</name></volume-id-attributes></volume-attributes></query>"
        )
    };
    assert_eq!(names(&volumes(&mut cluster, &by("a*"))).len(), 3);
    assert_eq!(names(&volumes(&mut cluster, &by("a1|b1"))).len(), 2);
    assert_eq!(volumes(&mut cluster, &by("none")).text_at("num-records"), Some("0"));
    // What no field of the management API answers is matched on the record.
    let junctions = "<query><volume-attributes><volume-state-attributes><is-junction-active>true</is-junction-active>\
                     </volume-state-attributes></volume-attributes></query>";
    assert_eq!(names(&volumes(&mut cluster, junctions)).len(), 5);
    let desired = "<desired-attributes><volume-attributes><volume-id-attributes><name/></volume-id-attributes>\
                   </volume-attributes></desired-attributes>";
    let trimmed = volumes(&mut cluster, &format!("{}{desired}", by("b1")));
    assert_eq!(names(&trimmed), ["b1"]);
    assert!(trimmed.at("attributes-list/volume-attributes/volume-space-attributes").is_none());
    let (mut seen, mut tag) = (Vec::new(), String::new());
    for page in 0.. {
        let results = volumes(&mut cluster, &format!("{}<max-records>2</max-records>{tag}", by("a*")));
        seen.extend(names(&results).into_iter().map(str::to_owned));
        match results.text_at("next-tag") {
            Some(next) => tag = format!("<tag>{next}</tag>"),
            None => {
                assert_eq!(page, 1);
                break;
            }
        }
    }
    seen.sort();
    assert_eq!(seen, ["a1", "a2", "a3"]);
}

#[test]
fn a_lun_is_made_mapped_and_taken_away() {
    let mut cluster = cluster();
    create_volume(&mut cluster, "v1");
    let created = passes(
        &mut cluster,
        "<lun-create-by-size><path>/vol/v1/lun0</path><size>104857600</size><ostype>linux</ostype>\
         <space-reservation-enabled>false</space-reservation-enabled></lun-create-by-size>",
    );
    assert_eq!(created.text_at("actual-size"), Some("104857600"));
    let group = "<initiator-group-name>ig</initiator-group-name>";
    passes(
        &mut cluster,
        &format!(
            "<igroup-create>{group}<initiator-group-type>iscsi</initiator-group-type><os-type>linux</os-type></igroup-create>"
        ),
    );
    fails(
        &mut cluster,
        &format!(
            "<igroup-create>{group}<initiator-group-type>iscsi</initiator-group-type><os-type>linux</os-type></igroup-create>"
        ),
        "9004",
    );
    let add = format!("<igroup-add>{group}<initiator>iqn.2026-11.example:host1</initiator></igroup-add>");
    passes(&mut cluster, &add);
    fails(&mut cluster, &add, "9008");
    let map = "<lun-map><path>/vol/v1/lun0</path><initiator-group>ig</initiator-group></lun-map>";
    assert_eq!(passes(&mut cluster, map).text_at("lun-id-assigned"), Some("0"));
    fails(&mut cluster, map, "9023");
    let listed = passes(&mut cluster, "<lun-map-list-info><path>/vol/v1/lun0</path></lun-map-list-info>");
    let info = listed.at("initiator-groups/initiator-group-info").unwrap();
    assert_eq!(info.text_at("lun-id"), Some("0"));
    assert_eq!(info.text_at("initiators/initiator-info/initiator-name"), Some("iqn.2026-11.example:host1"));
    fails(&mut cluster, "<lun-destroy><path>/vol/v1/lun0</path></lun-destroy>", "9013");
    fails(&mut cluster, &format!("<igroup-destroy>{group}</igroup-destroy>"), "9029");
    let unmap = "<lun-unmap><path>/vol/v1/lun0</path><initiator-group>ig</initiator-group></lun-unmap>";
    passes(&mut cluster, unmap);
    fails(&mut cluster, unmap, "9016");
    fails(&mut cluster, "<lun-resize><path>/vol/v1/lun0</path><size>104857600</size></lun-resize>", "9042");
    for value in ["ext4", "xfs"] {
        passes(
            &mut cluster,
            &format!(
                "<lun-set-attribute><path>/vol/v1/lun0</path><name>fs</name><value>{value}</value></lun-set-attribute>"
            ),
        );
        let attribute = passes(
            &mut cluster,
            "<lun-get-attribute><path>/vol/v1/lun0</path><name>fs</name></lun-get-attribute>",
        );
        assert_eq!(attribute.text_at("value"), Some(value));
    }
    passes(&mut cluster, "<lun-destroy><path>/vol/v1/lun0</path></lun-destroy>");
    fails(&mut cluster, "<lun-get-serial-number><path>/vol/v1/lun0</path></lun-get-serial-number>", "9017");
}

#[test]
fn an_export_policy_takes_rules_by_match_and_flavour() {
    let mut cluster = cluster();
    passes(&mut cluster, "<export-policy-create><policy-name>p</policy-name></export-policy-create>");
    fails(&mut cluster, "<export-policy-create><policy-name>p</policy-name></export-policy-create>", "13130");
    let rule = "<export-rule-create><policy-name>p</policy-name><client-match>10.0.0.1,10.0.0.2</client-match>\
                <protocol><access-protocol>nfs</access-protocol></protocol>\
                <ro-rule><security-flavor>any</security-flavor></ro-rule>\
                <rw-rule><security-flavor>any</security-flavor></rw-rule>\
                <super-user-security><security-flavor>any</security-flavor></super-user-security></export-rule-create>";
    passes(&mut cluster, rule);
    let reason = fails(&mut cluster, rule, "13001");
    assert!(reason.contains("policy already contains a rule"), "{reason}");
    let listed = passes(
        &mut cluster,
        "<export-rule-get-iter><query><export-rule-info><policy-name>p</policy-name></export-rule-info></query></export-rule-get-iter>",
    );
    let rule = listed.at("attributes-list/export-rule-info").unwrap();
    assert_eq!(rule.text_at("client-match"), Some("10.0.0.1,10.0.0.2"));
    assert_eq!(rule.text_at("super-user-security/security-flavor"), Some("any"));
    passes(
        &mut cluster,
        "<export-rule-destroy><policy-name>p</policy-name><rule-index>1</rule-index></export-rule-destroy>",
    );
    passes(&mut cluster, "<export-policy-destroy><policy-name>p</policy-name></export-policy-destroy>");
    fails(&mut cluster, "<export-policy-get><policy-name>p</policy-name></export-policy-get>", "15661");
}

#[test]
fn a_call_is_told_what_is_wrong_with_its_envelope() {
    let mut cluster = cluster();
    fails(&mut cluster, "<no-such-call/>", "13005");
    fails(&mut cluster, "<volume-create/>", "13115");
    let elsewhere = send(&mut cluster, "<netapp version='1.21' vfiler='nobody'><volume-get-iter/></netapp>");
    assert_eq!(elsewhere.attribute("errno"), Some("15698"));
    let untunnelled =
        send(&mut cluster, "<netapp version='1.21'><volume-offline><name>v</name></volume-offline></netapp>");
    assert_eq!(untunnelled.attribute("reason"), Some("Vserver API missing vserver parameter."));
    for bad in ["", "<netapp>", "<netapp/>", "<other><volume-get-iter/></other>", "<netapp><a/><b/></netapp>"]
    {
        assert_eq!(send(&mut cluster, bad).attribute("errno"), Some("13001"), "{bad}");
    }
}

#[test]
fn a_job_of_an_asynchronous_call_is_found_by_its_number() {
    let mut cluster = cluster();
    create_volume(&mut cluster, "v1");
    passes(&mut cluster, "<volume-offline><name>v1</name></volume-offline>");
    let started =
        passes(&mut cluster, "<volume-destroy-async><volume-name>v1</volume-name></volume-destroy-async>");
    assert_eq!(started.text_at("result-status"), Some("in_progress"));
    let id = started.text_at("result-jobid").unwrap();
    let found = passes(
        &mut cluster,
        &format!("<job-get-iter><query><job-info><job-id>{id}</job-id></job-info></query></job-get-iter>"),
    );
    assert_eq!(found.text_at("attributes-list/job-info/job-state"), Some("success"));
}
