"""Volumes: `/api/storage/volumes`."""

from netapp_ontap.resources import Volume

from play import MIB, SVM, names, refused, volume


def a_volume_is_created_found_and_shown_with_its_fields():
    with volume("v1", nas={"path": "/v1"}) as v1:
        assert v1.size == 200 * MIB and v1.state == "online" and v1.type == "rw"
        assert v1.svm.name == SVM and v1.aggregates[0].name == "aggr1"
        found = Volume.find(name="v1", **{"svm.name": SVM})
        assert found.uuid == v1.uuid and found.style == "flexvol"
        again = Volume(uuid=v1.uuid)
        again.get(fields="nas,space")
        assert again.nas.path == "/v1" and again.space.size == 200 * MIB
    assert Volume.find(name="v1") is None


def a_volume_grows_and_moves_its_junction():
    with volume("v1", nas={"path": "/v1"}) as v1:
        v1.size = 300 * MIB
        v1.patch()
        v1.nas = {"path": "/elsewhere"}
        v1.patch(hydrate=True)
        v1.get(fields="nas.path,size")
        assert (v1.size, v1.nas.path) == (300 * MIB, "/elsewhere")


def a_volume_is_renamed_commented_and_taken_offline():
    with volume("v1") as v1:
        v1.name, v1.comment = "v2", "renamed"
        v1.patch()
        assert Volume.count_collection(name="v1") == 0
        v1.state = "offline"
        v1.patch()
        found = Volume.find(name="v2", state="offline", fields="comment")
        assert found.uuid == v1.uuid and found.comment == "renamed"


def filters_take_patterns_alternatives_ranges_and_negation():
    with volume("alpha", size=50 * MIB), volume("beta", size=100 * MIB), volume("gamma", size=150 * MIB):
        find = lambda **query: sorted(names(Volume.get_collection(**query)))
        assert find(name="al*") == ["alpha"]
        assert find(name="alpha|gamma") == ["alpha", "gamma"]
        assert find(name="*a", size=f">{60 * MIB}") == ["beta", "gamma"]
        assert find(size=f"{60 * MIB}..{120 * MIB}") == ["beta"]
        assert find(name="!alpha", size=f"<={100 * MIB}", **{"aggregates.name": "aggr1"})[0] == "beta"
        assert find(name="no such volume") == []


def pages_follow_each_other_without_gap_or_repetition():
    with volume("p1"), volume("p2"), volume("p3"), volume("p4"), volume("p5"):
        paged = names(Volume.get_collection(name="p*", max_records=2, order_by="name"))
        assert paged == ["p1", "p2", "p3", "p4", "p5"], paged
        backwards = names(Volume.get_collection(name="p*", order_by="name desc", max_records=3))
        assert backwards == paged[::-1]
        assert Volume.count_collection(name="p*") == 5


def a_collection_is_patched_and_deleted_by_query():
    for number in range(3):
        Volume(name=f"bulk{number}", svm={"name": SVM}, aggregates=[{"name": "aggr1"}], size=20 * MIB).post()
    Volume.patch_collection({"comment": "bulk"}, name="bulk*")
    assert Volume.count_collection(comment="bulk") == 3
    Volume.delete_collection(name="bulk*")
    assert Volume.count_collection(name="bulk*") == 0


def several_volumes_are_posted_at_once():
    wanted = [Volume(name=f"many{n}", svm={"name": SVM}, aggregates=[{"name": "aggr1"}], size=20 * MIB)
              for n in range(2)]
    answer = Volume.post_collection(wanted, poll=False).http_response.json()
    assert len(answer["jobs"]) == 2, answer
    assert sorted(names(Volume.get_collection(name="many*"))) == ["many0", "many1"]
    Volume.delete_collection(name="many*")


def what_cannot_be_is_refused():
    with volume("v1", nas={"path": "/v1"}):
        twin = Volume(name="v1", svm={"name": SVM}, aggregates=[{"name": "aggr1"}], size=20 * MIB)
        with refused("already exists"):
            twin.post()
        other = Volume(name="v2", svm={"name": SVM}, aggregates=[{"name": "aggr1"}], nas={"path": "/v1"})
        other.size = 20 * MIB
        with refused("junction path"):
            other.post()
    with refused(4, status=404):
        Volume(uuid="00000000-0000-0000-0000-000000000001").get()
