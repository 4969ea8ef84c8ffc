"""Consistency groups: `/api/application/consistency-groups`."""

from netapp_ontap.resources import ConsistencyGroup, ConsistencyGroupSnapshot, Snapshot, Volume

from play import MIB, SVM, names, refused, volume


def _group(*members):
    """A group of volumes that are there."""
    add = {"action": "add"}
    return [{"name": member, "provisioning_options": add} for member in members]


def volumes_are_snapshotted_together():
    with volume("v1") as v1, volume("v2") as v2:
        group = ConsistencyGroup(name="cg", svm={"name": SVM}, volumes=_group("v1", "v2"))
        group.post(hydrate=True)
        assert sorted(member.name for member in group.volumes) == ["v1", "v2"]
        with refused("another one"):
            ConsistencyGroup(name="other", svm={"name": SVM}, volumes=_group("v1")).post()
        ConsistencyGroupSnapshot(group.uuid, name="both", consistency_type="crash").post()
        assert names(ConsistencyGroupSnapshot.get_collection(group.uuid)) == ["both"]
        both = ConsistencyGroupSnapshot.find(group.uuid, name="both", fields="*")
        assert not both.is_partial and len(both.snapshot_volumes) == 2
        for member in [v1, v2]:
            assert names(Snapshot.get_collection(member.uuid)) == ["both"]
        with refused("exists in the consistency group"):
            ConsistencyGroupSnapshot(group.uuid, name="both").post()
        both.delete()
        assert Snapshot.count_collection(v1.uuid) == 0
        assert ConsistencyGroup.find(name="cg", **{"svm.name": SVM}).uuid == group.uuid
        group.delete()
        assert ConsistencyGroup.count_collection(name="cg") == 0


def a_group_is_made_with_its_volumes_grows_and_goes_back():
    group = ConsistencyGroup(name="shop", svm={"name": SVM}, volumes=[{"name": "goods", "space": {"size": 64 * MIB}}])
    group.post(hydrate=True)
    with volume("orders") as orders:
        change = ConsistencyGroup(uuid=group.uuid)
        change.volumes = _group("orders")
        change.patch()
        group.get(fields="*")
        assert len(group.volumes) == 2
        ConsistencyGroupSnapshot(group.uuid, name="early").post()
        ConsistencyGroupSnapshot(group.uuid, name="late").post()
        back = ConsistencyGroup(uuid=group.uuid)
        back.restore_to = {"snapshot": {"name": "early"}}
        back.patch()
        assert names(Snapshot.get_collection(orders.uuid)) == ["early"]
        group.delete()
    Volume.find(name="goods", **{"svm.name": SVM}).delete()
