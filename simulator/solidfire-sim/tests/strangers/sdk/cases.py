"""What the SDK does with a cluster. Each case takes away what it made."""

from contextlib import contextmanager

from solidfire import common
from solidfire.models import CreateInitiator, LunAssignment, ModifyInitiator, QoS

GB, MIB = 1_000_000_000, 1 << 20
NODE_A, NODE_B, NODE_C = (f"iqn.2026-11.example:node-{letter}" for letter in "abc")


@contextmanager
def _refused(name):
    """The block's call must be refused with this error name."""
    try:
        yield
    except common.ApiServerError as error:
        assert error.error_name == name, f"refused with {error.error_name}, not {name}"
    else:
        raise AssertionError(f"not refused, though it must be with {name}")


@contextmanager
def _account(element, username):
    account = element.add_account(username).account_id
    yield account
    element.remove_account(account)


@contextmanager
def _volume(element, account, name, **more):
    """A volume of 1 GB that is deleted and purged in the end."""
    volume = element.create_volume(name, account, GB, True, **more).volume_id
    yield volume
    _destroy(element, volume)


def _destroy(element, volume):
    element.delete_volume(volume)
    element.purge_deleted_volume(volume)


def _read(element, volume):
    volumes = element.list_volumes(volume_ids=[volume]).volumes
    assert len(volumes) == 1, volumes
    return volumes[0]


def the_cluster_tells_who_it_is_and_what_it_can(element):
    info = element.get_cluster_info().cluster_info
    assert info.svip and info.mvip and len(info.unique_id) == 4, info
    api = element.get_api()
    assert "12.3" in [str(version) for version in api.supported_versions]
    assert element.get_cluster_version_info().cluster_apiversion == str(api.current_version)
    capacity = element.get_cluster_capacity().cluster_capacity
    assert capacity.max_used_space > 0 and capacity.max_iops > 0
    limits = element.get_limits()
    assert limits.volume_size_max == 1 << 44 and limits.snapshots_per_volume_max == 32
    defaults = element.get_default_qos()
    assert (defaults.min_iops, defaults.max_iops, defaults.burst_iops) == (50, 15000, 15000)
    nodes = element.get_cluster_hardware_info("nodes").cluster_hardware_info.nodes
    assert nodes["1"]["serial"]


def an_account_is_added_found_changed_locked_and_removed(element):
    account = element.add_account("sdk", initiator_secret="initiator1234").account_id
    with _refused("xDuplicateUsername"):
        element.add_account("sdk")
    assert element.get_account_by_name("sdk").account.account_id == account
    read = element.get_account_by_id(account).account
    assert read.initiator_secret.secret == "initiator1234", read
    assert 12 <= len(read.target_secret.secret) <= 16 and read.target_secret.secret != read.initiator_secret.secret
    assert read.status == "active" and read.volumes == []
    element.modify_account(account, attributes={"team": "a"}, target_secret="target-123456")
    listed = [one for one in element.list_accounts().accounts if one.account_id == account]
    assert listed[0].attributes == {"team": "a"} and listed[0].target_secret.secret == "target-123456"
    element.modify_account(account, username="sdk-2", status="locked")
    with _refused("xUnknownAccount"):
        element.get_account_by_name("sdk")
    assert element.get_account_by_name("sdk-2").account.status == "locked"
    element.remove_account(account)
    with _refused("xAccountIDDoesNotExist"):
        element.get_account_by_id(account)
    with _refused("xAccountIDDoesNotExist"):
        element.create_volume("orphan", account, GB, True)


def a_volume_is_made_grown_deleted_restored_and_purged(element):
    with _account(element, "owner") as account:
        qos = QoS(min_iops=100, max_iops=1000, burst_iops=2000)
        made = element.create_volume("vol1", account, GB, True, qos=qos, attributes={"k": "v"})
        volume = made.volume_id
        assert made.volume.iqn.endswith(f".vol1.{volume}") and made.volume.total_size == 1_000_341_504
        assert (made.volume.qos.min_iops, made.volume.qos.max_iops, made.volume.qos.burst_iops) == (100, 1000, 2000)
        assert made.volume.attributes == {"k": "v"} and made.volume.enable512e
        with _refused("xVolumeIDDoesNotExist"):
            element.modify_volume(volume + 1000)
        element.modify_volume(volume, total_size=2 * GB, access="readOnly", qos=QoS(max_iops=3000, burst_iops=3000))
        with _refused("xVolumeShrinkProhibited"):
            element.modify_volume(volume, total_size=GB)
        read = _read(element, volume)
        assert read.total_size == 2_000_683_008 and str(read.access) == "readOnly" and read.qos.max_iops == 3000
        assert read.status == "active" and read.delete_time == ""
        assert volume in [one.volume_id for one in element.list_active_volumes().volumes]
        assert [one.volume_id for one in element.list_volumes_for_account(account).volumes] == [volume]
        stats = element.get_volume_stats(volume).volume_stats
        assert stats.volume_id == volume and stats.volume_size == 2_000_683_008
        with _refused("xAPINotPermitted"):
            element.remove_account(account)
        with _refused("xVolumeIDDoesNotExist"):
            element.restore_deleted_volume(volume)
        element.delete_volume(volume)
        assert [one.volume_id for one in element.list_deleted_volumes().volumes] == [volume]
        assert _read(element, volume).status == "deleted"
        element.restore_deleted_volume(volume)
        assert _read(element, volume).status == "active"
        _destroy(element, volume)
        with _refused("xVolumeIDDoesNotExist"):
            element.purge_deleted_volume(volume)
        assert element.list_volumes(volume_ids=[volume]).volumes == []


def volumes_are_listed_in_pages(element):
    with _account(element, "pages") as account:
        volumes = [element.create_volume(f"page-{n}", account, GB, True).volume_id for n in range(5)]
        first = element.list_active_volumes(start_volume_id=volumes[0], limit=2).volumes
        assert [one.volume_id for one in first] == volumes[:2]
        rest = element.list_active_volumes(start_volume_id=volumes[2]).volumes
        assert [one.volume_id for one in rest] == volumes[2:]
        for volume in volumes:
            _destroy(element, volume)


def a_policy_rules_its_volumes_until_they_leave_it(element):
    with _account(element, "policies") as account, _volume(element, account, "ruled") as volume:
        rates = QoS(min_iops=6000, max_iops=8000, burst_iops=10000)
        policy = element.create_qos_policy("gold", rates).qos_policy.qos_policy_id
        element.modify_volume(volume, qos_policy_id=policy, associate_with_qos_policy=True)
        assert _read(element, volume).qos_policy_id == policy and _read(element, volume).qos.min_iops == 6000
        assert element.get_qos_policy(policy).qos_policy.volume_ids == [volume]
        element.modify_qos_policy(policy, name="platinum", qos=QoS(min_iops=5000, max_iops=9000, burst_iops=10000))
        assert [one.name for one in element.list_qos_policies().qos_policies] == ["platinum"]
        assert _read(element, volume).qos.max_iops == 9000
        element.modify_volume(volume, associate_with_qos_policy=False)
        assert _read(element, volume).qos_policy_id is None
        element.delete_qos_policy(policy)
        with _refused("xQoSPolicyDoesNotExist"):
            element.get_qos_policy(policy)


def a_snapshot_is_taken_kept_rolled_back_to_and_deleted(element):
    with _account(element, "snapshots") as account, _volume(element, account, "vol") as volume:
        taken = element.create_snapshot(volume, name="s1", retention="24:00:00", attributes={"a": 1})
        snapshot = taken.snapshot_id
        assert taken.snapshot.status == "done" and taken.snapshot.expiration_time
        assert taken.snapshot.total_size == _read(element, volume).total_size
        listed = element.list_snapshots(volume_id=volume).snapshots
        assert [(one.snapshot_id, one.name, one.attributes) for one in listed] == [(snapshot, "s1", {"a": 1})]
        element.modify_snapshot(snapshot, enable_remote_replication=True)
        assert element.list_snapshots(snapshot_id=snapshot).snapshots[0].enable_remote_replication
        saved = element.rollback_to_snapshot(volume, snapshot, True, name="before").snapshot_id
        assert saved and saved != snapshot
        with _refused("xSnapshotIDDoesNotExist"):
            element.rollback_to_snapshot(volume, snapshot + 1000, False)
        element.delete_snapshot(snapshot)
        with _refused("xSnapshotIDDoesNotExist"):
            element.delete_snapshot(snapshot)
        assert [one.name for one in element.list_snapshots(volume_id=volume).snapshots] == ["before"]


def a_clone_is_a_volume_and_its_job_is_told_until_it_was_read(element):
    with _account(element, "clones") as account, _volume(element, account, "original") as original:
        snapshot = element.create_snapshot(original).snapshot_id
        cloned = element.clone_volume(original, "clone", new_size=3 * GB, snapshot_id=snapshot)
        volume = cloned.volume_id
        assert _read(element, volume).total_size == 3_000_000_000 // MIB * MIB + MIB
        assert _read(element, volume).status == "active" and _read(element, volume).name == "clone"
        handle = cloned.async_handle
        kept = element.get_async_result(handle, keep_result=True)
        assert kept["status"] == "complete" and kept["resultType"] == "Clone", kept
        assert kept["result"]["volumeID"] == volume and kept["result"]["cloneID"] == cloned.clone_id
        assert handle in [one.async_result_id for one in element.list_async_results().async_handles]
        element.get_async_result(handle)
        with _refused("xDBNoSuchPath"):
            element.get_async_result(handle)
        copied = element.copy_volume(original, volume)
        assert element.get_async_result(copied.async_handle)["resultType"] == "Copy"
        _destroy(element, volume)


def a_group_snapshot_has_a_member_of_each_volume(element):
    with _account(element, "groups") as account:
        volumes = [element.create_volume(name, account, GB, True).volume_id for name in ("data", "log")]
        taken = element.create_group_snapshot(volumes, name="g1")
        group = taken.group_snapshot_id
        assert sorted(member.volume_id for member in taken.members) == volumes
        listed = element.list_group_snapshots().group_snapshots
        assert [(one.group_snapshot_id, one.name) for one in listed] == [(group, "g1")]
        element.modify_group_snapshot(group, enable_remote_replication=False)
        saved = element.rollback_to_group_snapshot(group, True, name="before")
        assert saved.group_snapshot_id and saved.group_snapshot_id != group
        element.delete_group_snapshot(saved.group_snapshot_id, False)
        element.delete_group_snapshot(group, True)
        left = element.list_snapshots(volume_id=volumes[0]).snapshots
        assert [one.group_id for one in left] == [0], left
        with _refused("xGroupSnapshotIDDoesNotExist"):
            element.delete_group_snapshot(group, False)
        for volume in volumes:
            _destroy(element, volume)


def an_access_group_holds_volumes_and_initiators(element):
    with _account(element, "access") as account, _volume(element, account, "one") as one, \
            _volume(element, account, "two") as two:
        group = element.create_volume_access_group("vag1", initiators=[NODE_A], volumes=[one]).volume_access_group_id
        element.add_volumes_to_volume_access_group(group, [two])
        with _refused("xAlreadyInVolumeAccessGroup"):
            element.add_volumes_to_volume_access_group(group, [two])
        element.add_initiators_to_volume_access_group(group, [NODE_B])
        read = element.list_volume_access_groups().volume_access_groups[0]
        assert (read.volumes, read.initiators) == ([one, two], [NODE_A, NODE_B]), read
        assert _read(element, two).volume_access_groups == [group]
        element.modify_volume_access_group(group, name="vag2")
        assert [one.name for one in element.list_volume_access_groups().volume_access_groups] == ["vag2"]
        element.modify_volume_access_group_lun_assignments(group, [LunAssignment(volume_id=two, lun=7)])
        luns = element.get_volume_access_group_lun_assignments(group).volume_access_group_lun_assignments
        assert sorted((lun.volume_id, lun.lun) for lun in luns.lun_assignments) == [(one, 0), (two, 7)]
        made = element.create_initiators([CreateInitiator(name=NODE_C, alias="c")]).initiators[0]
        element.modify_initiators([ModifyInitiator(initiator_id=made.initiator_id, volume_access_group_id=group)])
        known = {one.initiator_name: one for one in element.list_initiators().initiators}
        assert sorted(known) == [NODE_A, NODE_B, NODE_C] and known[NODE_C].volume_access_groups == [group]
        element.remove_initiators_from_volume_access_group(group, [NODE_B])
        element.remove_volumes_from_volume_access_group(group, [two])
        with _refused("xNotInVolumeAccessGroup"):
            element.remove_volumes_from_volume_access_group(group, [two])
        element.delete_volume_access_group(group)
        with _refused("xVolumeAccessGroupIDDoesNotExist"):
            element.delete_volume_access_group(group)
        element.delete_initiators([one.initiator_id for one in element.list_initiators().initiators])
        assert element.list_initiators().initiators == []


def what_the_cluster_does_not_have_is_an_unknown_method(element):
    with _refused("xUnknownAPIMethod"):
        element.list_virtual_volume_hosts()
