"""QoS policies and schedules: `/api/storage/qos`, `/api/cluster/schedules`."""

from netapp_ontap.resources import Lun, QosPolicy, Schedule

from play import SVM, lun, made, names, refused, volume


def a_policy_group_is_made_changed_used_and_deleted():
    fixed = {"max_throughput_iops": 1000, "capacity_shared": False}
    with made(QosPolicy(name="gold", svm={"name": SVM}, fixed=fixed)) as gold:
        assert gold.fixed.max_throughput_iops == 1000
        change = QosPolicy(uuid=gold.uuid)
        change.fixed = {"max_throughput_iops": 2000}
        change.patch()
        assert QosPolicy.find(name="gold").fixed.max_throughput_iops == 2000
        with volume("v1", qos={"policy": {"name": "gold"}}) as v1:
            v1.get(fields="qos")
            assert v1.qos.policy.name == "gold"
        assert "gold" in names(QosPolicy.get_collection(**{"svm.name": SVM}))


def a_lun_has_a_policy_follows_its_name_and_loses_it():
    with volume("v1"):
        policy = QosPolicy(name="silver", svm={"name": SVM}, fixed={"max_throughput_iops": 500})
        policy.post(hydrate=True)
        with lun("/vol/v1/l1", qos_policy={"name": "silver"}) as l1:
            assert l1.qos_policy.name == "silver"
            with refused(8454154):
                change = Lun(uuid=l1.uuid)
                change.qos_policy = {"name": "no such policy"}
                change.patch()
            renamed = QosPolicy(uuid=policy.uuid)
            renamed.name = "bronze"
            renamed.patch()
            l1.get(fields="qos_policy")
            assert l1.qos_policy.name == "bronze"
            policy.delete()
            assert "qos_policy" not in Lun.find(name="/vol/v1/l1", fields="qos_policy").to_dict()


def an_adaptive_policy_is_made():
    adaptive = {"expected_iops": 100, "peak_iops": 500, "absolute_min_iops": 50}
    with made(QosPolicy(name="elastic", svm={"name": SVM}, adaptive=adaptive)) as elastic:
        assert elastic.adaptive.peak_iops == 500


def schedules_are_listed_made_and_deleted():
    assert {"hourly", "daily", "weekly"} <= set(names(Schedule.get_collection()))
    with made(Schedule(name="often", interval="PT5M")) as often:
        assert often.type == "interval"
        assert Schedule.count_collection(name="often") == 1
