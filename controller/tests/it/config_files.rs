//! A wrong backend file gives one line that says where, what and the cure.

use tine_controller::backend::config::{BackendConfig, DriverConfig, ExportAccess, OntapProtocol};

fn line(content: &str) -> String {
    let line = BackendConfig::parse("backend.json", content.as_bytes()).unwrap_err().to_string();
    assert!(!line.contains('\n'), "{line}");
    assert!(!line.contains("Netapp1!") && !line.contains("canary"), "{line}");
    line
}

fn nas(extra: &str) -> String {
    format!(
        "{{ \"version\": 1, \"storageDriverName\": \"ontap-nas\",\n  \"managementLIF\": \"192.168.0.101\",\n  \"username\": \"admin\", \"password\": \"Netapp1!\"{extra} }}"
    )
}

fn solidfire(endpoint: &str, extra: &str) -> String {
    format!(
        "{{ \"version\": 1, \"storageDriverName\": \"solidfire-san\",\n  \"Endpoint\": \"{endpoint}\",\n  \"SVIP\": \"10.0.0.5:3260\", \"TenantName\": \"t\"{extra} }}"
    )
}

#[test]
fn the_published_files_are_understood_as_they_are() {
    let nas = BackendConfig::parse("b", include_bytes!("../../../deploy/examples/backend-ontap-nas.json"));
    let nas = nas.unwrap();
    assert_eq!((nas.driver_name(), nas.name.as_deref()), ("ontap-nas", Some("customBackendName")));
    assert_eq!(nas.prefix, "trident_");
    let DriverConfig::Ontap(connection, OntapProtocol::Nas(options)) = &nas.driver else { panic!("{nas:?}") };
    assert_eq!(connection.api.as_str(), "https://192.168.0.101/api/");
    assert!(matches!(options.access, ExportAccess::Administrator));
    assert!(!format!("{nas:?}").contains("Netapp1!"));

    let san = BackendConfig::parse("b", include_bytes!("../../../deploy/examples/backend-ontap-san.json"));
    assert_eq!(san.unwrap().driver_name(), "ontap-san");

    let solidfire =
        BackendConfig::parse("b", include_bytes!("../../../deploy/examples/backend-solidfire-san.json"))
            .unwrap();
    let DriverConfig::SolidFire(config) = &solidfire.driver else { panic!("{solidfire:?}") };
    assert_eq!(config.endpoint.as_str(), "https://192.168.0.239/json-rpc/8.0");
    assert_eq!((config.username.as_str(), config.types.len()), ("user", 3));
    assert!(!format!("{solidfire:?}").contains("password\""), "{solidfire:?}");
}

#[test]
fn every_documented_default_may_be_written_out() {
    let content = nas(
        ",\n  \"useREST\": true, \"nasType\": \"nfs\", \"limitAggregateUsage\": \"\", \"qtreesPerFlexvol\": \"200\",
        \"debugTraceFlags\": {\"api\": true}, \"storage\": [], \"labels\": {\"cost\": \"100\"},
        \"defaults\": {\"spaceReserve\": \"none\", \"encryption\": \"false\", \"snapshotReserve\": \"\",
        \"splitOnClone\": \"false\", \"unixPermissions\": \"---rwxrwxrwx\", \"size\": \"1G\"}",
    );
    let config = BackendConfig::parse("b", content.as_bytes()).unwrap();
    assert_eq!(config.default_size, 1_000_000_000);
    assert_eq!(config.offered["labels"], "cost=100");
}

#[test]
fn a_wrong_file_is_one_line_with_place_and_cure() {
    for (content, expected) in [
        (
            "",
            "backend.json:1:1: not valid JSON (EOF while parsing a value): correct the syntax here or just before",
        ),
        ("[1]", "backend.json:1:1: the file holds a list, not a JSON object: start it with `{`"),
        (
            "{ \"version\": 1\n  \"svm\": 2 }",
            "backend.json:2:3: not valid JSON (expected `,` or `}`): correct the syntax here or just before",
        ),
        (
            "{ \"version\": 1,\n  # the driver\n  \"x\": 1 }",
            "backend.json:2:3: JSON has no comments: delete the text from `#` to the end of the line",
        ),
        (
            "{ \"version\": 1, // the driver\n  \"x\": 1 }",
            "backend.json:1:17: JSON has no comments: delete the text from `//` to the end of the line",
        ),
        (
            "{ \"version\": 1 }",
            "backend.json:1:1: storageDriverName is missing: name the driver, e.g. \"ontap-nas\"",
        ),
        (
            "{ \"storageDriverName\": \"ontap\" }",
            "backend.json:1:3: storageDriverName `ontap` is not known: write one of ontap-nas, ontap-san, solidfire-san",
        ),
        (
            "{ \"storageDriverName\": \"ontap-nas-economy\" }",
            "backend.json:1:3: storageDriverName `ontap-nas-economy` is not supported yet: use one of ontap-nas, ontap-san, solidfire-san",
        ),
        (
            "{ \"storageDriverName\": \"ontap-nas\" }",
            "backend.json:1:1: version is missing: write \"version\": 1",
        ),
        (
            "{ \"storageDriverName\": \"ontap-nas\",\n  \"version\": 2 }",
            "backend.json:2:3: version is not 1: write 1, the only version there is",
        ),
        (
            "{ \"version\": 1, \"storageDriverName\": \"ontap-nas\",\n  \"managmentLIF\": \"1.2.3.4\" }",
            "backend.json:2:3: managmentLIF is not a field: did you mean managementLIF?",
        ),
    ] {
        assert_eq!(line(content), expected);
    }
    for (extra, expected) in [
        (", \"svn\": \"svm1\"", "backend.json:3:48: svn is not a field of ontap-nas: did you mean svm?"),
        (", \"frobnicate\": 1", "backend.json:3:48: frobnicate is not a field of ontap-nas: delete it"),
        (", \"svm\": 7", "backend.json:3:48: svm is a number: write a string in double quotes"),
        (", \"svm\": \"a\", \"svm\": \"b\"", "backend.json:3:60: svm stands twice: keep one of them"),
        (
            ", \"dataLIF\": \"nfs.example.com\"",
            "backend.json:3:48: dataLIF `nfs.example.com` is not an IP address: write the address of a data LIF",
        ),
        (
            ", \"useREST\": false",
            "backend.json:3:48: useREST is not supported yet with this value: only REST is spoken: write true or delete the field",
        ),
        (
            ", \"nasType\": \"smb\"",
            "backend.json:3:48: nasType is not supported yet with this value: write nfs or delete the field",
        ),
        (
            ", \"limitAggregateUsage\": \"80%\"",
            "backend.json:3:48: limitAggregateUsage is not supported yet with this value: delete the field",
        ),
        (
            ", \"autoExportCIDRs\": [\"10.0.0.0/8\"]",
            "backend.json:3:48: autoExportCIDRs needs \"autoExportPolicy\": true: set it, or delete autoExportCIDRs",
        ),
        (
            ", \"limitVolumeSize\": \"big\"",
            "backend.json:3:48: limitVolumeSize `big` is not a size: write bytes, or a number with a unit such as \"50Gi\"",
        ),
        (
            ",\n  \"defaults\": {\n    \"spaceReserve\": \"some\" }",
            "backend.json:5:5: defaults.spaceReserve `some` is not known: write none or volume",
        ),
        (
            ",\n  \"defaults\": {\n    \"encryption\": \"true\" }",
            "backend.json:5:5: defaults.encryption is not supported yet with this value: write false or delete the field",
        ),
        (
            ",\n  \"defaults\": {\n    \"unixPermision\": \"0777\" }",
            "backend.json:5:5: defaults.unixPermision is not a field of ontap-nas: did you mean defaults.unixPermissions?",
        ),
        (
            ", \"storagePrefix\": \"a b\"",
            "backend.json:3:48: storagePrefix must hold only letters, digits, `_`, `-`, `.`, and not start with a digit",
        ),
        (
            ", \"clientPrivateKey\": \"canary\"",
            "backend.json:3:48: clientPrivateKey is not supported yet with this value: delete the field",
        ),
    ] {
        assert_eq!(line(&nas(extra)), expected);
    }
    let good = "https://u:canary@10.0.0.4/json-rpc/8.0";
    for (endpoint, extra, expected) in [
        (
            "http://u:canary@h/json-rpc/8.0",
            "",
            "backend.json:2:3: Endpoint is not an https address: write it like https://user:password@mvip/json-rpc/8.0",
        ),
        (
            "https://10.0.0.4/json-rpc/8.0",
            "",
            "backend.json:2:3: Endpoint has no user and password: write it like https://user:password@mvip/json-rpc/8.0",
        ),
        (
            "https://u:canary@10.0.0.4/json-rpc/7.0",
            "",
            "backend.json:2:3: Endpoint asks for API version 7: write 8.0 or newer",
        ),
        (
            good,
            ", \"UseCHAP\": false",
            "backend.json:3:47: UseCHAP is not supported yet with this value: CHAP is always used: write true or delete the field",
        ),
        (
            good,
            ",\n \"Types\": [ {\"Type\":\"Gold\",\n  \"Qos\":{\"minIOPS\":5,\"maxIOPS\":4,\"burstIOPS\":6}} ]",
            "backend.json:5:10: Types[0].Qos.minIOPS is out of order: write minIOPS ≤ maxIOPS ≤ burstIOPS",
        ),
        (
            good,
            ",\n \"Types\": [ {\"Type\":\"Gold\"} ]",
            "backend.json:4:13: Types[0].Qos is missing: write {\"minIOPS\":…,\"maxIOPS\":…,\"burstIOPS\":…}",
        ),
    ] {
        assert_eq!(line(&solidfire(endpoint, extra)), expected);
    }
}

#[test]
fn no_text_makes_the_parser_panic() {
    let whole = nas(",\n  \"defaults\": { \"size\": \"1G\", \"a\\\"b\": [1, {}, []] }, \"x/~\": null");
    for end in 0..whole.len() {
        let _refused = BackendConfig::parse("backend.json", &whole.as_bytes()[..end]);
        let mut damaged = whole.clone().into_bytes();
        damaged[end] = damaged[end].wrapping_add(1);
        let _refused = BackendConfig::parse("backend.json", &damaged);
    }
}
