"""Qtrees and quotas: `/api/storage/qtrees`, `/api/storage/quota`."""

from netapp_ontap.resources import Qtree, QuotaReport, QuotaRule, Volume

from play import MIB, SVM, made, names, policy, refused, volume


def qtrees_are_made_found_renamed_and_deleted():
    with volume("v1", nas={"path": "/v1"}) as v1, policy("p1"):
        of_v1 = {"volume": {"name": "v1"}, "svm": {"name": SVM}}
        with made(Qtree(name="q1", security_style="unix", unix_permissions=755, **of_v1)) as q1:
            assert q1.path == "/v1/q1" and q1.unix_permissions == 755
            Qtree(name="q2", export_policy={"name": "p1"}, **of_v1).post()
            assert sorted(names(Qtree.get_collection(**{"volume.name": "v1", "name": "q*"}))) == ["q1", "q2"]
            q2 = Qtree.find(name="q2", **{"volume.uuid": v1.uuid})
            assert q2.export_policy.name == "p1"
            q2.name = "q3"
            q2.patch()
            again = Qtree(volume={"uuid": v1.uuid}, id=q2.id)
            again.get()
            assert again.name == "q3"
            again.delete()
            assert Qtree.count_collection(name="q3") == 0


def a_quota_is_set_changed_reported_and_lifted():
    with volume("v1") as v1:
        with made(Qtree(name="q1", volume={"name": "v1"}, svm={"name": SVM})):
            rule = QuotaRule(type="tree", volume={"name": "v1"}, svm={"name": SVM}, qtree={"name": "q1"})
            rule.space = {"hard_limit": 20 * MIB}
            with made(rule):
                assert rule.space.hard_limit == 20 * MIB and rule.qtree.name == "q1"
                switch = Volume(uuid=v1.uuid)
                switch.quota = {"enabled": True}
                switch.patch()
                v1.get(fields="quota")
                assert v1.quota.state == "on"
                change = QuotaRule(uuid=rule.uuid)
                change.space = {"hard_limit": 30 * MIB}
                change.patch()
                found = QuotaRule.find(**{"volume.name": "v1", "qtree.name": "q1"})
                assert found.space.hard_limit == 30 * MIB
                report = QuotaReport.find(**{"volume.name": "v1", "qtree.name": "q1", "type": "tree"})
                assert report.space.hard_limit == 30 * MIB
            assert QuotaRule.count_collection(**{"volume.name": "v1"}) == 0


def a_qtree_that_is_there_is_refused():
    with volume("v1"):
        with made(Qtree(name="q1", volume={"name": "v1"}, svm={"name": SVM})):
            with refused("exist"):
                Qtree(name="q1", volume={"name": "v1"}, svm={"name": SVM}).post()
