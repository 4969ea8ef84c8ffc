"""NVMe over TCP: `/api/protocols/nvme`, `/api/storage/namespaces`."""

from netapp_ontap.resources import (
    NvmeNamespace, NvmeService, NvmeSubsystem, NvmeSubsystemHost, NvmeSubsystemMap,
)

from play import MIB, SVM, made, names, volume

NQN = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001"


def a_namespace_is_mapped_for_a_host():
    with made(NvmeService(svm={"name": SVM}, enabled=True)), volume("v1"):
        namespace = NvmeNamespace(name="/vol/v1/ns0", svm={"name": SVM}, os_type="linux", space={"size": 16 * MIB})
        with made(namespace), made(NvmeSubsystem(name="sub", svm={"name": SVM}, os_type="linux")) as sub:
            NvmeSubsystemHost(sub.uuid, nqn=NQN).post()
            assert [host.nqn for host in NvmeSubsystemHost.get_collection(sub.uuid)] == [NQN]
            mapping = NvmeSubsystemMap(svm={"name": SVM}, subsystem={"name": "sub"})
            mapping.namespace = {"name": "/vol/v1/ns0"}
            mapping.post()
            mapped = NvmeSubsystemMap.find(**{"subsystem.name": "sub"})
            assert mapped.namespace.uuid == namespace.uuid
            mapped.delete()
            NvmeSubsystemHost(sub.uuid, nqn=NQN).delete()
            namespace.space = {"size": 32 * MIB}
            namespace.patch()
            assert NvmeNamespace.find(name="/vol/v1/ns0").space.size == 32 * MIB
            assert "sub" in names(NvmeSubsystem.get_collection(os_type="linux"))
        off = NvmeService(svm={"uuid": NvmeService.find(**{"svm.name": SVM}).svm.uuid})
        off.enabled = False
        off.patch()
