"""Consistency groups: `/api/application/consistency-groups`."""

from netapp_ontap.resources import ConsistencyGroup, ConsistencyGroupSnapshot

from play import SVM, names, volume


def volumes_are_snapshotted_together():
    with volume("v1"), volume("v2"):
        volumes = [{"name": name, "provisioning_options": {"action": "add"}} for name in ["v1", "v2"]]
        group = ConsistencyGroup(name="cg", svm={"name": SVM}, volumes=volumes)
        group.post(hydrate=True)
        assert len(group.volumes) == 2
        ConsistencyGroupSnapshot(group.uuid, name="both", consistency_type="crash").post()
        assert names(ConsistencyGroupSnapshot.get_collection(group.uuid)) == ["both"]
        ConsistencyGroupSnapshot.find(group.uuid, name="both").delete()
        assert ConsistencyGroup.find(name="cg", **{"svm.name": SVM}).uuid == group.uuid
        group.delete()
        assert ConsistencyGroup.count_collection(name="cg") == 0
