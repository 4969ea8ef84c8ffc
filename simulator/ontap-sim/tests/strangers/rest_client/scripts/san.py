"""LUNs, igroups and their maps: `/api/storage/luns`, `/api/protocols/san`."""

from netapp_ontap.resources import (
    Igroup, IgroupInitiator, IscsiCredentials, IscsiService, Lun, LunAttribute, LunMap,
    LunMapReportingNode,
)

from play import MIB, SVM, igroup, lun, made, names, refused, volume

HOST = "iqn.2026-11.example:host1"


def a_lun_is_created_found_grown_and_renamed():
    with volume("v1"), lun("/vol/v1/lun0", comment="first") as lun0:
        assert lun0.space.size == 16 * MIB and lun0.enabled and len(lun0.serial_number) == 12
        lun0.space = {"size": 32 * MIB}
        lun0.patch()
        lun0.name = "/vol/v1/renamed"
        lun0.patch(hydrate=True)
        found = Lun.find(**{"svm.name": SVM, "location.volume.name": "v1"})
        assert found.name == "/vol/v1/renamed" and found.space.size == 32 * MIB and found.comment == "first"


def luns_are_listed_page_by_page_in_order():
    with volume("v1"), lun("/vol/v1/a"), lun("/vol/v1/b"), lun("/vol/v1/c"):
        paged = names(Lun.get_collection(max_records=1, order_by="name", name="/vol/v1/*"))
        assert paged == ["/vol/v1/a", "/vol/v1/b", "/vol/v1/c"], paged
        assert Lun.count_collection(name="/vol/v1/*") == 3


def attributes_of_a_lun_are_kept_under_their_names():
    with volume("v1"), lun("/vol/v1/lun0") as lun0:
        LunAttribute(lun0.uuid, name="owner", value="one").post()
        attribute = LunAttribute(lun0.uuid, name="owner")
        attribute.get()
        assert attribute.value == "one"
        attribute.value = "two"
        attribute.patch()
        assert [a.value for a in LunAttribute.get_collection(lun0.uuid, fields="value")] == ["two"]
        attribute.delete()
        assert LunAttribute.count_collection(lun0.uuid) == 0


def an_igroup_takes_and_gives_up_initiators():
    with igroup("ig", HOST) as ig:
        assert ig.os_type == "linux" and ig.initiators[0].name == HOST
        IgroupInitiator(ig.uuid, name=HOST + "b").post()
        assert IgroupInitiator.count_collection(ig.uuid) == 2
        IgroupInitiator(ig.uuid, name=HOST).delete()
        assert names(IgroupInitiator.get_collection(ig.uuid)) == [HOST + "b"]
        found = Igroup.find(**{"svm.name": SVM, "initiators.name": HOST + "b"})
        assert found.uuid == ig.uuid


def a_lun_is_mapped_reported_and_unmapped():
    with volume("v1"), lun("/vol/v1/lun0") as lun0, igroup("ig", HOST) as ig:
        mapped = LunMap(svm={"name": SVM}, lun={"name": "/vol/v1/lun0"}, igroup={"name": "ig"})
        with made(mapped):
            found = LunMap.find(**{"lun.uuid": lun0.uuid, "igroup.uuid": ig.uuid})
            assert found.logical_unit_number == 0
            nodes = list(LunMapReportingNode.get_collection(lun0.uuid, ig.uuid))
            assert "sim-01" in names(nodes)
            lun0.get(fields="lun_maps,status")
            assert lun0.lun_maps[0].igroup.name == "ig" and lun0.status.mapped
            with refused(1254197, status=409):
                Lun(uuid=lun0.uuid).delete()
        assert LunMap.count_collection(**{"igroup.name": "ig"}) == 0


def the_iscsi_service_names_its_target():
    service = IscsiService.find(**{"svm.name": SVM})
    assert service.enabled and service.target.name.startswith("iqn.1992-08.com.netapp:sn.")
    again = IscsiService(svm={"uuid": service.svm.uuid})
    again.get()
    assert again.target.name == service.target.name


def the_default_credentials_are_changed_and_changed_back():
    default = IscsiCredentials.find(initiator="default", **{"svm.name": SVM})
    assert default.authentication_type == "none"
    secret = {"inbound": {"user": "host", "password": "initiator12345"}}
    change = IscsiCredentials(svm={"uuid": default.svm.uuid}, initiator="default")
    change.authentication_type, change.chap = "chap", secret
    change.patch()
    default.get(fields="*")
    assert default.authentication_type == "chap" and default.chap.inbound.user == "host"
    back = IscsiCredentials(svm={"uuid": default.svm.uuid}, initiator="default")
    back.authentication_type = "none"
    back.patch()
    default.get()
    assert default.authentication_type == "none"


def what_cannot_be_is_refused():
    with volume("v1"), lun("/vol/v1/lun0"), igroup("ig", HOST):
        with refused(262197, status=400):
            Lun(name="/vol/v1/bad\x01name", svm={"name": SVM}, os_type="linux", space={"size": MIB}).post()
        with refused(5374875, status=404):
            missing = {"svm": {"name": SVM}, "igroup": {"name": "ig"}}
            LunMap(lun={"name": "/vol/v1/no such"}, **missing).post()
