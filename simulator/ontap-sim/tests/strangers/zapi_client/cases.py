"""What clients of ZAPI do: an inventory, volumes, snapshots and clones, exports, qtrees and quotas, LUNs."""

import contextlib

from netapp_lib.api.zapi import errors, zapi

SVM = "svm1"
MIB = 1 << 20


def _svm():
    """A connection whose calls are tunnelled to the SVM."""
    server = connect()  # `run.py` puts it here
    server.set_vserver(SVM)
    return server


def _call(server, api, *more, **fields):
    """One call; `_` in a field's name stands for `-`."""
    request = zapi.NaElement(api)
    request.translate_struct({name.replace("_", "-"): value for name, value in fields.items()})
    for element in more:
        request.add_child_elem(element)
    return server.invoke_successfully(request, enable_tunneling=hasattr(server, "_vserver"))


def _element(name, *values):
    """An element with children that all bear the same name."""
    element = zapi.NaElement(name)
    for child, text in values:
        element.add_new_child(child, text)
    return element


def _records(results):
    """The records of an iterator, and that it counts them rightly."""
    listed = results.get_child_by_name("attributes-list")
    records = listed.get_children() if listed else []
    assert int(results.get_child_content("num-records")) == len(records)
    return records


def _all(server, api, query=None, step=50):
    """Every record of an iterator, page for page."""
    tag, records = None, []
    while True:
        request = zapi.create_api_request(api, query=query, is_iter=True, record_step=step, tag=tag)
        results = server.invoke_successfully(request, hasattr(server, "_vserver"))
        records += _records(results)
        tag = results.get_child_content("next-tag")
        if not tag:
            return records


@contextlib.contextmanager
def _refused(errno):
    try:
        yield
    except zapi.NaApiError as error:
        assert str(error.code) == str(errno), f"refused with {error.code}, not {errno}: {error}"
    else:
        raise AssertionError(f"was not refused; {errno} was expected")


@contextlib.contextmanager
def _volume(svm, name, **fields):
    fields = {"size": f"{200 * MIB}", "containing_aggr_name": "aggr1", "space_reserve": "none", **fields}
    _call(svm, "volume-create", volume=name, **fields)
    try:
        yield
    except BaseException:
        # What went wrong first is told, not that this volume could not be destroyed for it.
        with contextlib.suppress(zapi.NaApiError):
            _destroy(svm, name)
        raise
    _destroy(svm, name)


def _destroy(svm, name):
    _call(svm, "volume-offline", name=name)
    _call(svm, "volume-destroy", name=name)


def who_has_no_password_is_not_let_in():
    with _refused(401):
        _call(connect(password="wrong"), "system-get-version")


def the_system_tells_its_version_and_nodes():
    cluster = connect()
    version = _call(cluster, "system-get-ontapi-version")
    assert version.get_child_content("major-version") == "1"
    assert "NetApp Release 9." in _call(cluster, "system-get-version").get_child_content("version")
    nodes = _all(cluster, "system-node-get-iter")
    assert [node.get_child_content("node") for node in nodes] == ["sim-01", "sim-02"]
    identity = _call(cluster, "cluster-identity-get").get_child_by_name("attributes")
    assert identity.get_child_by_name("cluster-identity-info").get_child_content("cluster-name") == "sim"
    assert len(_all(cluster, "aggr-get-iter")) == 2 and len(_all(cluster, "aggr-space-get-iter")) == 2
    assert _all(cluster, "job-schedule-get-iter", {"job-schedule-info": {"job-schedule-name": "hourly"}})


def an_unknown_call_and_a_call_without_its_svm_are_refused():
    with _refused(13005):
        _call(connect(), "no-such-api")
    with _refused(13001):
        _call(connect(), "volume-rename", volume="a", new_volume_name="b")


def the_svm_tells_its_lifs_and_services():
    svms = _all(connect(), "vserver-get-iter", {"vserver-info": {"vserver-name": SVM}})
    assert [svm.get_child_content("vserver-name") for svm in svms] == [SVM]
    svm = _svm()
    _call(svm, "vserver-get")
    assert _all(svm, "vserver-show-aggr-get-iter")
    lifs = _all(svm, "net-interface-get-iter")
    assert all(lif.get_child_content("operational-status") == "up" for lif in lifs) and len(lifs) >= 3
    assert _call(svm, "iscsi-node-get-name").get_child_content("node-name").startswith("iqn.1992-08.com.netapp")
    service = _all(svm, "iscsi-service-get-iter")[0]
    assert service.get_child_content("is-available") == "true"
    assert len(_all(svm, "iscsi-interface-get-iter")) >= 2


def pages_are_joined_by_their_tags():
    svm = _svm()
    with contextlib.ExitStack() as stack:
        for number in range(5):
            stack.enter_context(_volume(svm, f"z{number}"))
        query = {"volume-attributes": {"volume-id-attributes": {"name": "z*"}}}
        found = _all(svm, "volume-get-iter", query, step=2)
        names = [v.get_child_by_name("volume-id-attributes").get_child_content("name") for v in found]
        assert sorted(names) == ["z0", "z1", "z2", "z3", "z4"]


def a_volume_is_made_mounted_resized_renamed_and_destroyed():
    svm = _svm()
    with _volume(svm, "z1", junction_path="/z1"):
        with _refused(17159):
            _call(svm, "volume-create", volume="z1", size="200m", containing_aggr_name="aggr1")
        _call(svm, "volume-size", volume="z1", new_size="300m")
        assert _call(svm, "volume-size", volume="z1").get_child_content("volume-size")
        _call(svm, "volume-unmount", volume_name="z1")
        _call(svm, "volume-mount", volume_name="z1", junction_path="/other")
        _call(svm, "volume-unmount", volume_name="z1")
        _call(svm, "volume-rename", volume="z1", new_volume_name="z2")
        _call(svm, "volume-rename", volume="z2", new_volume_name="z1")
        _call(svm, "volume-offline", name="z1")
        _call(svm, "volume-online", name="z1")
    assert _all(svm, "volume-get-iter", {"volume-attributes": {"volume-id-attributes": {"name": "z1"}}}) == []


def snapshots_are_taken_cloned_and_restored():
    svm = _svm()
    with _volume(svm, "z1"):
        _call(svm, "snapshot-create", volume="z1", snapshot="base")
        _call(svm, "snapshot-create", volume="z1", snapshot="later")
        with _refused(13020):
            _call(svm, "snapshot-create", volume="z1", snapshot="base")
        _call(svm, "volume-clone-create", volume="z2", parent_volume="z1", parent_snapshot="base")
        with _refused(13024):
            _call(svm, "snapshot-delete", volume="z1", snapshot="base")
        _call(svm, "volume-clone-split-start", volume="z2")
        _call(svm, "volume-offline", name="z2")
        _call(svm, "volume-destroy", name="z2")
        _call(svm, "snapshot-rename", volume="z1", current_name="later", new_name="last")
        _call(svm, "snapshot-restore-volume", volume="z1", snapshot="base")
        left = _all(svm, "snapshot-get-iter", {"snapshot-info": {"volume": "z1"}})
        assert [snapshot.get_child_content("name") for snapshot in left] == ["base"]


def volumes_are_snapshotted_at_one_moment():
    svm = _svm()
    with _volume(svm, "z1"), _volume(svm, "z2"):
        volumes = _element("volumes", ("volume-name", "z1"), ("volume-name", "z2"))
        group = _call(svm, "cg-start", volumes, snapshot="both", timeout="relaxed")
        _call(svm, "cg-commit", cg_id=group.get_child_content("cg-id"))
        for volume in ["z1", "z2"]:
            assert len(_all(svm, "snapshot-get-iter", {"snapshot-info": {"volume": volume, "name": "both"}})) == 1


def exports_are_ruled():
    svm = _svm()
    _call(svm, "export-policy-create", policy_name="zp")
    with _refused(13130):
        _call(svm, "export-policy-create", policy_name="zp")
    flavours = [_element(name, ("security-flavor", "sys")) for name in ("ro-rule", "rw-rule")]
    _call(svm, "export-rule-create", *flavours, policy_name="zp", client_match="192.0.2.0/24", rule_index="1")
    query = {"export-rule-info": {"policy-name": "zp"}}
    assert [rule.get_child_content("client-match") for rule in _all(svm, "export-rule-get-iter", query)] == ["192.0.2.0/24"]
    _call(svm, "export-rule-modify", policy_name="zp", rule_index="1", client_match="192.0.2.7")
    _call(svm, "export-rule-destroy", policy_name="zp", rule_index="1")
    _call(svm, "export-policy-rename", policy_name="zp", new_policy_name="zq")
    _call(svm, "export-policy-get", policy_name="zq")
    _call(svm, "export-policy-destroy", policy_name="zq")
    assert _all(svm, "export-policy-get-iter", {"export-policy-info": {"policy-name": "zq"}}) == []


def qtrees_have_quotas():
    svm = _svm()
    with _volume(svm, "z1"):
        _call(svm, "qtree-create", volume="z1", qtree="q1", mode="755")
        _call(svm, "qtree-rename", qtree="/vol/z1/q1", new_qtree_name="/vol/z1/q2")
        query = {"qtree-info": {"volume": "z1", "qtree": "q2"}}
        assert len(_all(svm, "qtree-list-iter", query)) == 1
        target = {"volume": "z1", "quota_target": "/vol/z1/q2", "quota_type": "tree", "qtree": ""}
        _call(svm, "quota-set-entry", disk_limit="20480", **target)
        rules = _all(svm, "quota-list-entries-iter", {"quota-entry": {"volume": "z1"}})
        assert [rule.get_child_content("disk-limit") for rule in rules] == ["20480"]
        _call(svm, "quota-on", volume="z1")
        assert _call(svm, "quota-status", volume="z1").get_child_content("status") == "on"
        _call(svm, "quota-resize", volume="z1")
        _call(svm, "quota-off", volume="z1")
        _call(svm, "qtree-delete", qtree="/vol/z1/q2", force="true")
        assert _all(svm, "qtree-list-iter", query) == []


def a_lun_is_made_mapped_resized_and_destroyed():
    svm, initiator = _svm(), "iqn.2026-11.example:z"
    with _volume(svm, "z1"):
        path = "/vol/z1/l1"
        _call(svm, "lun-create-by-size", path=path, size=f"{16 * MIB}", ostype="linux")
        serial = _call(svm, "lun-get-serial-number", path=path).get_child_content("serial-number")
        assert len(serial) == 12
        _call(svm, "lun-resize", path=path, size=f"{32 * MIB}")
        _call(svm, "lun-set-attribute", path=path, name="fstype", value="ext4")
        assert _call(svm, "lun-get-attribute", path=path, name="fstype").get_child_content("value") == "ext4"
        _call(svm, "igroup-create", initiator_group_name="zg", initiator_group_type="iscsi", os_type="linux")
        _call(svm, "igroup-add", initiator_group_name="zg", initiator=initiator)
        mapped = _call(svm, "lun-map", path=path, initiator_group="zg")
        assert mapped.get_child_content("lun-id-assigned") == "0"
        with _refused(errors.EVDISK_ERROR_INITGROUP_HAS_VDISK):
            _call(svm, "lun-map", path=path, initiator_group="zg")
        maps = _all(svm, "lun-map-get-iter", {"lun-map-info": {"path": path}})
        assert [one.get_child_content("initiator-group") for one in maps] == ["zg"]
        _call(svm, "lun-map-list-info", path=path)
        _call(svm, "lun-unmap", path=path, initiator_group="zg")
        _call(svm, "igroup-remove", initiator_group_name="zg", initiator=initiator, force="true")
        assert len(_all(svm, "igroup-get-iter", {"initiator-group-info": {"initiator-group-name": "zg"}})) == 1
        _call(svm, "igroup-destroy", initiator_group_name="zg")
        _call(svm, "lun-move", path=path, new_path="/vol/z1/l2")
        _call(svm, "lun-offline", path="/vol/z1/l2")
        _call(svm, "lun-online", path="/vol/z1/l2")
        _call(svm, "lun-destroy", path="/vol/z1/l2", force="true")
        assert _all(svm, "lun-get-iter", {"lun-info": {"volume": "z1"}}) == []


def initiators_log_in_with_chap():
    svm = _svm()
    before = _call(svm, "iscsi-initiator-get-default-auth").get_child_content("auth-type")
    _call(svm, "iscsi-initiator-add-auth", initiator="iqn.2026-11.example:z", auth_type="CHAP", user_name="zuser",
          passphrase="0123456789ab")
    asked = _call(svm, "iscsi-initiator-get-auth", initiator="iqn.2026-11.example:z")
    assert asked.get_child_content("user-name") == "zuser"
    _call(svm, "iscsi-initiator-delete-auth", initiator="iqn.2026-11.example:z")
    assert _call(svm, "iscsi-initiator-get-default-auth").get_child_content("auth-type") == before
