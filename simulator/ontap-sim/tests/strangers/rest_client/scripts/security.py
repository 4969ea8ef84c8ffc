"""Accounts and roles: `/api/security`."""

from netapp_ontap import HostConnection, NetAppRestError, config
from netapp_ontap.resources import Account, Cluster, Role, RolePrivilege

from play import SVM, made, names, refused

HTTP = [{"application": "http", "authentication_methods": ["password"]}]


def _log_in(name, password):
    """Asks for the cluster as another user, on a connection of its own."""
    admin = config.CONNECTION
    with HostConnection(admin.host, username=name, password=password, verify=admin.session.verify, port=admin.port):
        cluster = Cluster()
        cluster.get(fields="version")
        return cluster


def an_account_is_created_locked_and_deleted():
    with made(Account(name="helper", password="Password-1", applications=HTTP, role={"name": "admin"})) as helper:
        assert helper.role.name == "admin" and helper.scope == "cluster"
        assert _log_in("helper", "Password-1").version.generation == 9
        change = Account(owner={"uuid": helper.owner.uuid}, name="helper")
        change.password = "Password-2"
        change.patch()
        assert _log_in("helper", "Password-2").version.generation == 9
        lock = Account(owner={"uuid": helper.owner.uuid}, name="helper")
        lock.locked = True
        lock.patch()
        try:
            _log_in("helper", "Password-2")
        except NetAppRestError as error:
            assert error.status_code == 401, error
        else:
            raise AssertionError("a locked account logs in")
        assert names(Account.get_collection(name="help*")) == ["helper"]
        with refused(1, status=409):
            Account(name="helper", password="Password-1", applications=HTTP, role={"name": "admin"}).post()
    assert Account.find(name="helper") is None


def roles_have_privileges():
    privileges = [{"path": "/api/storage/volumes", "access": "readonly"}]
    with made(Role(name="watcher", owner={"name": SVM}, privileges=privileges)) as role:
        found = list(RolePrivilege.get_collection(role.owner.uuid, "watcher", fields="*"))
        assert [(p.path, p.access) for p in found] == [("/api/storage/volumes", "readonly")]
        RolePrivilege(role.owner.uuid, "watcher", path="/api/storage/luns", access="all").post()
        assert RolePrivilege.count_collection(role.owner.uuid, "watcher") == 2
    assert {"admin", "vsadmin"} <= set(names(Role.get_collection(name="*admin")))
