"""Snapshots, their policies, clones and restores: `/api/storage/volumes/{uuid}/snapshots`."""

from netapp_ontap.resources import Snapshot, SnapshotPolicy, SnapshotPolicySchedule, Volume

from play import SVM, made, names, refused, volume


def snapshots_are_made_listed_renamed_and_deleted():
    with volume("v1") as v1:
        with made(Snapshot(v1.uuid, name="one", comment="first")) as one:
            assert one.comment == "first" and one.create_time is not None
            Snapshot(v1.uuid, name="two").post()
            assert sorted(names(Snapshot.get_collection(v1.uuid))) == ["one", "two"]
            assert Snapshot.count_collection(v1.uuid, name="t*") == 1
            two = Snapshot.find(v1.uuid, name="two")
            two.name, two.comment = "second", "renamed"
            two.patch()
            assert Snapshot.find(v1.uuid, name="second").comment == "renamed"
            two.delete()
            assert names(Snapshot.get_collection(v1.uuid, max_records=1)) == ["one"]


def a_snapshot_twice_and_one_that_is_not_there_are_refused():
    with volume("v1") as v1, made(Snapshot(v1.uuid, name="one")):
        with refused("exist"):
            Snapshot(v1.uuid, name="one").post()
        with refused(4, status=404):
            Snapshot(v1.uuid, uuid="00000000-0000-0000-0000-000000000001").get()


def a_clone_keeps_its_parents_snapshot_until_it_is_split():
    with volume("v1") as v1:
        Snapshot(v1.uuid, name="base").post()
        clone = Volume(name="c1", svm={"name": SVM})
        clone.clone = {"is_flexclone": True, "parent_volume": {"name": "v1"}, "parent_snapshot": {"name": "base"}}
        with made(clone):
            clone.get(fields="clone")
            assert clone.clone.parent_volume.name == "v1" and clone.clone.parent_snapshot.name == "base"
            assert names(Volume.get_collection(**{"clone.parent_volume.name": "v1"})) == ["c1"]
            split = Volume(uuid=clone.uuid)
            split.clone = {"split_initiated": True}
            split.patch()
            clone.get(fields="clone.is_flexclone")
            assert not clone.clone.is_flexclone


def a_volume_goes_back_to_a_snapshot():
    with volume("v1") as v1:
        Snapshot(v1.uuid, name="early").post()
        Snapshot(v1.uuid, name="late").post()
        back = Volume(uuid=v1.uuid)
        back.patch(**{"restore_to.snapshot.name": "early"})
        assert names(Snapshot.get_collection(v1.uuid)) == ["early"]


def a_snapshot_policy_has_schedules():
    copies = [{"count": 6, "schedule": {"name": "hourly"}}, {"count": 2, "schedule": {"name": "daily"}}]
    with made(SnapshotPolicy(name="sp", svm={"name": SVM}, enabled=True, copies=copies)) as policy:
        assert policy.enabled and len(policy.copies) == 2
        schedules = list(SnapshotPolicySchedule.get_collection(policy.uuid, fields="*"))
        assert sorted(s.schedule.name for s in schedules) == ["daily", "hourly"]
        assert "sp" in names(SnapshotPolicy.get_collection())
        with volume("v1", snapshot_policy={"name": "sp"}) as v1:
            v1.get(fields="snapshot_policy")
            assert v1.snapshot_policy.name == "sp"
