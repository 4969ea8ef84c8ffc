"""SVMs with their services and LIFs: `/api/svm/svms`, `/api/network/ip`."""

from netapp_ontap.resources import (
    BroadcastDomain, IpInterface, IpServicePolicy, Ipspace, IscsiService, Port, Svm,
)

from play import SVM, made, names, refused


def _svm(name, **fields):
    """An SVM on both aggregates."""
    return made(Svm(name=name, aggregates=[{"name": "aggr1"}, {"name": "aggr2"}], **fields))


def an_svm_is_created_modified_stopped_started_and_deleted():
    with _svm("s2", comment="second") as s2:
        assert s2.state == "running" and s2.subtype == "default" and len(s2.aggregates) == 2
        s2.comment = "changed"
        s2.patch()
        for state in ["stopped", "running"]:
            turn = Svm(uuid=s2.uuid)
            turn.state = state
            turn.patch()
            turn.get(fields="state,comment")
            assert (turn.state, turn.comment) == (state, "changed")
        assert sorted(names(Svm.get_collection(name="s2|" + SVM))) == ["s2", SVM]
        with refused("s2"):
            Svm(name="s2").post()
    assert Svm.find(name="s2") is None


def iscsi_is_made_switched_off_and_deleted():
    with _svm("s2") as s2:
        IscsiService(svm={"name": "s2"}, enabled=True, target={"alias": "second"}).post()
        iscsi = IscsiService.find(**{"svm.name": "s2"})
        assert iscsi.target.alias == "second"
        off = IscsiService(svm={"uuid": s2.uuid})
        off.enabled = False
        off.patch()
        off.delete()
        assert IscsiService.count_collection(**{"svm.name": "s2"}) == 0


def a_lif_is_created_renamed_taken_down_and_deleted():
    with _svm("s2"):
        lif = IpInterface(name="nas1", svm={"name": "s2"}, ip={"address": "127.0.0.31", "netmask": "8"},
                          location={"home_node": {"name": "sim-01"}},
                          service_policy={"name": "default-data-files"})
        with made(lif):
            assert lif.state == "up" and lif.ip.address == "127.0.0.31"
            assert "data_nfs" in lif.services and lif.location.node.name == "sim-01"
            with refused(1966140, status=409):
                IpInterface(name="nas1", svm={"name": "s2"}, ip={"address": "127.0.0.32", "netmask": "8"},
                            location={"home_node": {"name": "sim-01"}}).post()
            change = IpInterface(uuid=lif.uuid)
            change.name, change.enabled = "nas2", False
            change.patch()
            assert IpInterface.find(name="nas2", **{"svm.name": "s2"}).state == "down"
        assert IpInterface.count_collection(**{"svm.name": "s2"}) == 0


def the_network_tells_its_parts():
    assert "Default" in names(Ipspace.get_collection())
    policies = names(IpServicePolicy.get_collection(fields="*"))
    assert "default-data-files" in policies and "default-data-blocks" in policies
    assert "Default" in names(BroadcastDomain.get_collection(fields="*"))
    assert all(port.state == "up" for port in Port.get_collection(fields="*"))
