"""Events, licences, certificates and the rest that clients take stock of."""

from netapp_ontap.resources import (
    Disk, EmsApplicationLog, EmsEvent, FcInterface, IscsiSession, Job, LicensePackage, SecurityCertificate,
)

from play import refused, volume


def what_an_application_logs_is_an_event():
    log = EmsApplicationLog(
        computer_name="host1", event_source="stranger", app_version="1", event_id=7, category="test",
        event_description="a heartbeat", autosupport_required=False)
    log.severity = "notice"
    log.post()
    event = list(EmsEvent.get_collection(fields="*", **{"message.name": "app.log.notice"}))[0]
    assert event.message.severity == "notice" and "a heartbeat" in event.log_message
    assert EmsEvent.count_collection(**{"message.severity": "emergency"}) == 0


def the_certificate_of_the_server_is_told():
    shown = list(SecurityCertificate.get_collection(type="server", fields="*"))
    assert len(shown) == 1 and "BEGIN CERTIFICATE" in shown[0].public_certificate
    again = SecurityCertificate(uuid=shown[0].uuid)
    again.get()
    assert again.common_name == shown[0].common_name


def the_rack_tells_its_disks_and_licences():
    disk = list(Disk.get_collection(fields="*", max_records=5))[0]
    again = Disk(name=disk.name)
    again.get()
    assert again.serial_number == disk.serial_number
    licence = LicensePackage(name="iscsi")
    licence.get()
    assert licence.state == "compliant"
    assert {"nfs", "iscsi"} <= {package.name for package in LicensePackage.get_collection()}


def there_is_no_fibre_channel_and_nobody_is_logged_in():
    assert list(FcInterface.get_collection(fields="*")) == []
    assert list(IscsiSession.get_collection(fields="*")) == []


def a_finished_job_is_not_cancelled():
    with volume("v1"):
        job = list(Job.get_collection(state="success", max_records=1))[0]
        with refused("not running"):
            job.patch(action="cancel")
