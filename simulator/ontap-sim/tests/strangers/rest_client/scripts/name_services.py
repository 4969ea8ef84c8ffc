"""Name services of an SVM: `/api/name-services`."""

from netapp_ontap.resources import Dns, LocalHost, UnixGroup, UnixGroupUsers, UnixUser

from play import SVM, made, names, refused


def a_dns_client_is_made_changed_and_deleted():
    with made(Dns(svm={"name": SVM}, domains=["example.com"], servers=["192.0.2.53"])) as dns:
        assert dns.domains == ["example.com"] and dns.servers == ["192.0.2.53"]
        change = Dns(uuid=dns.uuid)
        change.servers = ["192.0.2.53", "192.0.2.54"]
        change.patch()
        found = Dns.find(**{"svm.name": SVM})
        assert found.servers == ["192.0.2.53", "192.0.2.54"]
        with refused(1, status=409):
            Dns(svm={"name": SVM}, domains=["example.com"], servers=["192.0.2.53"]).post()
    assert Dns.count_collection() == 0


def users_and_groups_are_made_changed_and_deleted():
    assert {"root", "pcuser", "nobody"} <= set(names(UnixUser.get_collection(**{"svm.name": SVM})))
    with made(UnixUser(svm={"name": SVM}, name="ada", id=2001, primary_gid=2000, full_name="Ada")) as ada:
        assert (ada.id, ada.primary_gid, ada.full_name) == (2001, 2000, "Ada")
        change = UnixUser(svm={"uuid": ada.svm.uuid}, name="ada")
        change.primary_gid = 2010
        change.patch()
        assert UnixUser.find(name="ada").primary_gid == 2010
        with made(UnixGroup(svm={"name": SVM}, name="authors", id=2010)) as authors:
            UnixGroupUsers(authors.svm.uuid, "authors", name="ada").post()
            assert names(UnixGroupUsers.get_collection(authors.svm.uuid, "authors")) == ["ada"]
            assert [user.name for user in UnixGroup.find(name="authors", fields="users").users] == ["ada"]
            UnixGroupUsers(authors.svm.uuid, "authors", name="ada").delete()
            assert UnixGroupUsers.count_collection(authors.svm.uuid, "authors") == 0
    with refused(4, status=404):
        ada.get()


def hosts_have_names():
    with made(LocalHost(owner={"name": SVM}, address="192.0.2.7", hostname="web", aliases=["www"])) as web:
        assert web.hostname == "web" and web.aliases == ["www"]
        change = LocalHost(owner={"uuid": web.owner.uuid}, address="192.0.2.7")
        change.hostname = "web1"
        change.patch()
        assert LocalHost.find(address="192.0.2.7").hostname == "web1"
