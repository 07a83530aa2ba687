"""What a Windows service is installed with: goldens, since no Windows is here to be attacked.

Each line is what stands between another account on the PC and the agent: a path that is split at a
space, an account that can do more than it needs, a folder or pipe that somebody made beforehand.
"""

from pathlib import PureWindowsPath

import pytest

from cloud_connect_agent.hosting.service import ServiceWish, service_of
from cloud_connect_agent.hosting.windows_access import (
    ADMINISTRATORS,
    SYSTEM,
    folder_access,
    key_access,
    owner_fault,
    pipe_access,
    service_sid,
    state_access,
)
from cloud_connect_agent.hosting.windows_pipe import pipe_spec
from cloud_connect_agent.hosting.windows_sddl import AccessList
from cloud_connect_agent.hosting.windows_settings import (
    Setting,
    image_path,
    service_name,
    shown,
    wanted_settings,
)

pytestmark = pytest.mark.catalogue("T130")

PYTHON = PureWindowsPath(r"C:\Program Files\Cloud Connect\python\python.exe")
LAUNCHER = PureWindowsPath(r"C:\Program Files\Cloud Connect\cloud-connect-service.exe")
HOME = PureWindowsPath(r"C:\ProgramData\CloudConnect")
SERVICE = "S-1-5-80-2840730253-3410482412-3255347803-476926543-1845445763"


def test_the_path_is_quoted_and_python_isolated() -> None:
    assert image_path(PYTHON, name="CloudConnect", home=HOME) == (
        r'"C:\Program Files\Cloud Connect\python\python.exe" -I '
        r"-m cloud_connect_agent.hosting.windows_service "
        r'--name CloudConnect --home "C:\ProgramData\CloudConnect"'
    )
    assert image_path(LAUNCHER, name="CloudConnect-a", home=HOME) == (
        r'"C:\Program Files\Cloud Connect\cloud-connect-service.exe" '
        r'--name CloudConnect-a --home "C:\ProgramData\CloudConnect"'
    )


def test_the_service_is_set_up_with_these_and_no_other_settings() -> None:
    settings = wanted_settings(
        service_name(None), program=LAUNCHER, home=HOME, message_file=r"C:\m.pyd"
    )
    assert {str(setting): shown(setting, settings) for setting in Setting} == {
        "image": image_path(LAUNCHER, name="CloudConnect", home=HOME),
        "account": r"NT SERVICE\CloudConnect",
        "title": "Cloud Connect agent",
        "description": (
            "Carries Procore calls of a low-code platform out on this PC, as far as the policy on "
            "this PC allows. Dials out to its relay; nothing dials in."
        ),
        "start": "automatic",
        "delayed start": "yes",
        "recovery": "restart after 5 s, 30 s, then each time after 60 s; counted anew after 24 h",
        "recovery on exit": "yes",
        "service SID": "unrestricted",
        "privileges": "SeChangeNotifyPrivilege",
        "shutdown time": "40 s",
        "environment": "CLOUD_CONNECT_POLICY__OWNER=administrator",
        "event log": r"C:\m.pyd",
    }


def test_the_sid_of_a_service_follows_from_its_name_as_windows_makes_it() -> None:
    # NT SERVICE\TrustedInstaller is the same on every Windows, and documented.
    assert service_sid("TrustedInstaller") == (
        "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
    )
    assert service_sid("CloudConnect") == service_sid("cloudconnect") == SERVICE


def test_folders_let_in_the_system_administrators_and_the_service_only() -> None:
    assert folder_access(SERVICE).text == (
        f"O:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;{SERVICE})"
    )
    assert state_access(SERVICE).text == (
        f"O:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1301bf;;;{SERVICE})"
    )
    assert key_access(SERVICE).text == (f"D:PAI(A;;FA;;;SY)(A;;FA;;;BA)(A;;0x1301bf;;;{SERVICE})")
    assert not folder_access(SERVICE).trustees(changing=True) - {SYSTEM, ADMINISTRATORS}


def test_the_pipe_is_exclusive_local_and_closed_to_other_accounts() -> None:
    first = pipe_spec("p", server=SERVICE, first=True)
    assert first.open_mode == 0x3 | 0x40000000 | 0x80000  # duplex, overlapped, first instance
    assert first.pipe_mode == 0x8  # PIPE_REJECT_REMOTE_CLIENTS, bytes
    assert pipe_spec("p", server=SERVICE, first=False).open_mode == 0x3 | 0x40000000
    assert (
        first.access.text
        == f"O:{SERVICE}D:PAI(A;;FA;;;{SERVICE})(A;;0x12019b;;;SY)(A;;0x12019b;;;BA)"
    )
    clients = [entry for entry in pipe_access(SERVICE).entries if entry.trustee != SERVICE]
    assert not any(entry.rights & 0x4 for entry in clients)  # FILE_CREATE_PIPE_INSTANCE
    assert pipe_access(SYSTEM).text == "O:SYD:PAI(A;;FA;;;SY)(A;;0x12019b;;;BA)"


@pytest.mark.parametrize("owner", [SYSTEM, ADMINISTRATORS, SERVICE])
def test_a_folder_of_the_system_is_taken_over(owner: str) -> None:
    assert owner_fault("C:\\x", AccessList(owner=owner), own=ADMINISTRATORS) is None


@pytest.mark.parametrize("owner", ["S-1-5-21-9-9-9-1001", "S-1-1-0", "S-1-5-32-545", None])
def test_a_folder_that_somebody_made_beforehand_is_refused(owner: str | None) -> None:
    fault = owner_fault("C:\\x", AccessList(owner=owner), own=ADMINISTRATORS)
    assert fault is not None
    assert "belongs to another account" in fault


def test_the_plan_can_be_read_where_there_is_no_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ProgramData", raising=False)
    plan = service_of(ServiceWish(instance="site-2"), platform="win32").installation()
    assert plan.subject == "the service CloudConnect-site-2"
    sid = service_sid("CloudConnect-site-2")
    shown_steps = [(step.sentence, step.content) for step in plan.steps]
    sentence, content = shown_steps[0]
    assert sentence.endswith(r"into C:\ProgramData\CloudConnect-site-2")
    assert content == folder_access(sid).text
    assert len(shown_steps) == 3 + 1 + 1 + len(Setting)
    assert not plan.refusals
