"""What a cluster is made of: nodes, aggregates, SVMs, LIFs, jobs."""

from netapp_ontap.resources import Aggregate, Cluster, EmsApplicationLog, IpInterface, Job, Node, Svm

from play import SVM, names, refused, volume


def the_cluster_tells_its_name_and_version():
    cluster = Cluster()
    cluster.get()
    assert cluster.name == "sim" and cluster.version.generation == 9
    assert cluster.version.full.startswith("NetApp Release 9.")


def nodes_form_a_pair():
    nodes = list(Node.get_collection(fields="*"))
    assert names(nodes) == ["sim-01", "sim-02"]
    node = Node.find(name="sim-02")
    again = Node(uuid=node.uuid)
    again.get()
    assert again.serial_number == node.serial_number and again.name == "sim-02"
    assert Node.count_collection() == 2


def aggregates_tell_their_space():
    aggr1 = Aggregate.find(name="aggr1")
    assert aggr1.state == "online" and aggr1.node.name == "sim-01"
    again = Aggregate(uuid=aggr1.uuid)
    again.get(fields="space.block_storage,block_storage.primary")
    assert again.space.block_storage.available > 0
    assert sorted(names(Aggregate.get_collection(max_records=1)))[:2] == ["aggr1", "aggr2"]


def the_svm_is_found_by_name():
    svm = Svm.find(name=SVM)
    assert svm.state == "running"
    again = Svm(uuid=svm.uuid)
    again.get(fields="iscsi,nfs,aggregates")
    assert again.iscsi.enabled and again.nfs.enabled
    assert Svm.find(name="no such svm") is None


def interfaces_are_found_by_service_and_svm():
    data = list(IpInterface.get_collection(services="data_nfs", **{"svm.name": SVM}, fields="*"))
    assert data and all(lif.ip.address for lif in data)
    blocks = list(IpInterface.get_collection(services="data_iscsi", **{"svm.name": SVM}, fields="*"))
    assert len(blocks) >= 2
    assert {lif.location.home_node.name for lif in blocks} == {"sim-01", "sim-02"}
    again = IpInterface(uuid=blocks[0].uuid)
    again.get()
    assert again.name == blocks[0].name and again.state == "up"


def a_change_leaves_a_job_behind():
    with volume("v1"):
        jobs = list(Job.get_collection(fields="*", state="success"))
        assert jobs and any("POST /api/storage/volumes" in job.description for job in jobs)
        job = Job(uuid=jobs[0].uuid)
        job.get()
        assert job.state == "success"
    with refused(4, status=404):
        Job(uuid="00000000-0000-0000-0000-000000000001").get()


def an_application_logs_an_event():
    EmsApplicationLog(
        computer_name="host1", event_source="stranger", app_version="1", event_id=1, category="test",
        event_description="hello", severity="notice", autosupport_required=False).post()
