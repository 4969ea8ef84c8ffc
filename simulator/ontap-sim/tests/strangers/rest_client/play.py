"""What the scripts share: objects that are gone when a case ends, and refusals."""

import contextlib

from netapp_ontap import NetAppRestError
from netapp_ontap.resources import ExportPolicy, Igroup, Lun, Volume

SVM = "svm1"
MIB = 1 << 20


@contextlib.contextmanager
def made(resource, **post):
    """Creates `resource`, hands it over with all its fields, and deletes it."""
    resource.post(hydrate=True, **post)
    try:
        yield resource
    except BaseException:
        # What went wrong first is told, not that this object could not be deleted for it.
        with contextlib.suppress(NetAppRestError):
            resource.delete()
        raise
    resource.delete()


def volume(name, **fields):
    """A FlexVol on the first aggregate."""
    fields = {"size": 200 * MIB, **fields}
    return made(Volume(name=name, svm={"name": SVM}, aggregates=[{"name": "aggr1"}], **fields))


def lun(path, **fields):
    """A LUN in a volume that is there."""
    fields = {"space": {"size": 16 * MIB}, **fields}
    return made(Lun(name=path, svm={"name": SVM}, os_type="linux", **fields))


def igroup(name, *initiators):
    """An iSCSI igroup of Linux hosts."""
    members = [{"name": initiator} for initiator in initiators]
    return made(Igroup(name=name, svm={"name": SVM}, os_type="linux", protocol="iscsi", initiators=members))


def policy(name, **fields):
    """An export policy."""
    return made(ExportPolicy(name=name, svm={"name": SVM}, **fields))


@contextlib.contextmanager
def refused(code, status=None):
    """The body must be refused: with ONTAP's error `code`, or with a text that has `code` in it."""
    try:
        yield
    except NetAppRestError as error:
        if isinstance(code, str):
            assert code in str(error), f"not `{code}`: {error}"
            return
        seen = (error.response_body or {}).get("error", {}).get("code")
        assert seen == str(code), f"refused with {seen}, not {code}: {error}"
        assert status in (None, error.status_code), f"status {error.status_code}, not {status}"
    else:
        raise AssertionError(f"was not refused; {code} was expected")


def names(records):
    """The names of a collection, in its order."""
    return [record.name for record in records]
