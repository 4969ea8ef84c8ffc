"""Export policies and their rules: `/api/protocols/nfs/export-policies`."""

from netapp_ontap.resources import ExportClient, ExportPolicy, ExportRule

from play import SVM, made, policy, refused, volume


def a_policy_comes_with_its_rules():
    rule = {"clients": [{"match": "10.0.0.0/24"}], "ro_rule": ["sys"], "rw_rule": ["sys"],
            "superuser": ["none"], "protocols": ["nfs"]}
    with policy("p1", rules=[rule]) as p1:
        rules = list(ExportRule.get_collection(p1.id, fields="*"))
        assert len(rules) == 1 and rules[0].index == 1
        assert rules[0].clients[0].match == "10.0.0.0/24" and rules[0].superuser == ["none"]
        found = ExportPolicy.find(name="p1", **{"svm.name": SVM})
        assert found.id == p1.id


def rules_are_added_found_and_deleted():
    with policy("p1") as p1:
        for net in ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"]:
            ExportRule(p1.id, clients=[{"match": net}], ro_rule=["any"], rw_rule=["never"]).post()
        assert ExportRule.count_collection(p1.id) == 3
        second = ExportRule.find(p1.id, index=2)
        assert second.clients[0].match == "10.2.0.0/16" and second.rw_rule == ["never"]
        second.delete()
        assert [rule.index for rule in ExportRule.get_collection(p1.id)] == [1, 3]


def a_volume_follows_its_policy_and_a_policy_in_use_stays():
    with policy("p1") as p1:
        with volume("v1", nas={"path": "/v1", "export_policy": {"name": "p1"}}) as v1:
            v1.get(fields="nas.export_policy")
            assert v1.nas.export_policy.name == "p1"
            with refused(1703945):
                ExportPolicy(id=p1.id).delete()


def what_cannot_be_is_refused():
    with policy("p1"):
        with refused(1, status=409):
            ExportPolicy(name="p1", svm={"name": SVM}).post()
    with refused(4, status=404):
        ExportPolicy(id=4_000_000_000).get()
