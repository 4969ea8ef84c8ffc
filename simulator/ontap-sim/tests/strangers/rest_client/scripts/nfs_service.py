"""The NFS service of an SVM: `/api/protocols/nfs/services`."""

from netapp_ontap.resources import NfsService, Svm

from play import made


def versions_are_switched_and_the_service_is_deleted():
    with made(Svm(name="s3", aggregates=[{"name": "aggr1"}])) as s3:
        with made(NfsService(svm={"name": "s3"}, enabled=True, protocol={"v41_enabled": True})) as nfs:
            assert nfs.enabled and nfs.protocol.v3_enabled and nfs.protocol.v41_enabled
            change = NfsService(svm={"uuid": s3.uuid})
            change.protocol = {"v3_enabled": False}
            change.patch()
            found = NfsService.find(**{"svm.name": "s3"})
            assert not found.protocol.v3_enabled and found.protocol.v41_enabled
        assert NfsService.count_collection(**{"svm.name": "s3"}) == 0
