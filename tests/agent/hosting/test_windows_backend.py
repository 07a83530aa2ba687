from pathlib import PureWindowsPath

import pytest

from cloud_connect.errors import CloudConnectError, ConfigurationError
from cloud_connect.services import Plan, Verb
from cloud_connect_agent.hosting.windows_access import key_access, service_sid, services_in
from cloud_connect_agent.hosting.windows_backend import WindowsService
from cloud_connect_agent.hosting.windows_machine import NoWindows, RunningState
from cloud_connect_agent.hosting.windows_sddl import AccessList
from cloud_connect_agent.hosting.windows_settings import Recovery, Setting
from doubles.windows_machine import PROGRAMS, STRANGER, FakeWindows

PROGRAM = PureWindowsPath(r"C:\Program Files\Cloud Connect\cloud-connect-service.exe")
HOME = PureWindowsPath(r"C:\ProgramData\CloudConnect")


@pytest.fixture
def windows() -> FakeWindows:
    return FakeWindows(lists={str(PROGRAM): PROGRAMS, str(PROGRAM.parent): PROGRAMS})


def service(windows: FakeWindows, *, enrolled: bool = True, start: bool = True) -> WindowsService:
    return WindowsService(
        windows,
        program=PROGRAM,
        home=HOME,
        enrolled=lambda: enrolled,
        purge_home=lambda: windows.remove(str(HOME)),
        start=start,
    )


def done(plan: Plan) -> list[str]:
    assert not plan.refusals
    return list(plan.carry_out())


def test_an_installation_sets_all_that_verify_reads_back(windows: FakeWindows) -> None:
    told = done(service(windows).installation())
    assert windows.calls[0] == f"make {HOME}"  # before there is anything that could be put in it
    assert windows.calls[-1] == "start CloudConnect"
    assert len(told) == len(windows.calls)
    assert {finding.status for finding in service(windows).verify()} == {"PASS"}
    assert service(windows).status().state == "running"


def test_a_second_installation_changes_nothing(windows: FakeWindows) -> None:
    done(service(windows).installation())
    calls = list(windows.calls)
    plan = service(windows).installation()
    assert not [step.sentence for step in plan.steps if step.needed]
    assert done(plan) == []
    assert windows.calls == calls


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        (Setting.IMAGE, r"C:\Program Files\Cloud Connect\cloud-connect-service.exe"),
        (Setting.ACCOUNT, "LocalSystem"),
        (Setting.START, False),
        (Setting.DELAYED, False),
        (Setting.RECOVERY, Recovery(restart_after=(), forget_after=0.0)),
        (Setting.RECOVERY, Recovery(restart_after=(5.0, 30.0, 61.0), forget_after=86_400.0)),
        (Setting.FAILURE_FLAG, False),
        (Setting.SID_TYPE, "none"),
        (Setting.PRIVILEGES, ("SeChangeNotifyPrivilege", "SeDebugPrivilege")),
        (Setting.PRESHUTDOWN, 5.0),
        (Setting.ENVIRONMENT, ()),
        (Setting.EVENT_SOURCE, None),
        (Setting.TITLE, "Updater"),
        (Setting.DESCRIPTION, None),
    ],
)
def test_what_somebody_changed_is_found_and_put_right(
    windows: FakeWindows, setting: Setting, value: object
) -> None:
    done(service(windows).installation())
    windows.lose("CloudConnect", setting, value)
    (wrong,) = [one for one in service(windows).verify() if one.status != "PASS"]
    assert wrong.name == setting
    assert wrong.fix is not None
    assert "cloud-connect service install" in wrong.fix
    windows.calls.clear()
    done(service(windows).installation())
    assert windows.calls == [f"set {setting}"]
    assert {one.status for one in service(windows).verify()} == {"PASS"}


def test_a_setting_that_windows_does_not_tell_is_no_pass(windows: FakeWindows) -> None:
    done(service(windows).installation())
    windows.lose("CloudConnect", Setting.DELAYED, None)
    (unknown,) = [one for one in service(windows).verify() if one.status != "PASS"]
    assert (unknown.name, unknown.status) == (Setting.DELAYED, "WARN")
    assert "does not tell" in unknown.cause


def test_a_setting_that_an_old_windows_lacks_is_left_out_and_never_called_set(
    windows: FakeWindows,
) -> None:
    windows.lacks = frozenset({Setting.DELAYED, Setting.RECOVERY})
    told = done(service(windows).installation())
    assert sum("Leave that out" in sentence for sentence in told) == 2
    assert not any(sentence.startswith("Set delayed") for sentence in told)
    assert windows.calls[-1] == "start CloudConnect"
    unknown = [one.name for one in service(windows).verify() if one.status == "WARN"]
    assert unknown == [Setting.DELAYED, Setting.RECOVERY]


def test_a_folder_that_lets_others_in_is_found_and_put_right(windows: FakeWindows) -> None:
    done(service(windows).installation())
    state = str(HOME / "state")
    windows.lists[state] = AccessList.of(windows.lists[state].text + "(A;OICI;FR;;;BU)")
    (wrong,) = [one for one in service(windows).verify() if one.status == "FAIL"]
    assert state in wrong.cause
    windows.calls.clear()
    done(service(windows).installation())
    assert windows.calls == [f"protect {state}"]


def test_a_vault_from_before_the_service_is_opened_to_it(windows: FakeWindows) -> None:
    key = str(HOME / "state" / "vault.key")
    windows.lists[key] = key_access("S-1-5-21-1-2-3-1001")
    done(service(windows).installation())
    assert services_in(windows.lists[key]) == {service_sid("CloudConnect")}
    windows.calls.clear()
    assert done(service(windows).installation()) == []


def test_a_folder_that_somebody_else_made_beforehand_is_not_taken_over(
    windows: FakeWindows,
) -> None:
    windows.lists[str(HOME)] = STRANGER
    (refusal,) = service(windows).installation().refusals
    assert "belongs to another account" in refusal
    assert "S-1-5-21-9-9-9-1001" in refusal


def test_a_program_that_others_can_change_is_not_made_a_service(windows: FakeWindows) -> None:
    windows.lists[str(PROGRAM.parent)] = STRANGER
    (refusal,) = service(windows).installation().refusals
    assert "C:\\Program Files" in refusal
    windows.lists[str(PROGRAM.parent)] = PROGRAMS
    done(service(windows).installation())
    windows.lists[str(PROGRAM)] = STRANGER
    (wrong,) = [one for one in service(windows).verify() if one.status == "FAIL"]
    assert wrong.name == "program"


def test_who_is_no_administrator_is_told_how_to_become_one(windows: FakeWindows) -> None:
    windows.elevated = False
    for plan in (service(windows).installation(), service(windows).removal(purge=False)):
        assert "Run as administrator" in plan.refusals[0]


def test_an_agent_that_is_not_enrolled_is_not_started_but_told_what_to_do(
    windows: FakeWindows,
) -> None:
    plan = service(windows, enrolled=False).installation()
    done(plan)
    assert "start CloudConnect" not in windows.calls
    assert f'cloud-connect --home "{HOME}" enrol' in plan.notes[0]
    with pytest.raises(CloudConnectError, match="enrol"):
        service(windows, enrolled=False).control(Verb.START)


def test_start_and_stop_reach_the_service(windows: FakeWindows) -> None:
    with pytest.raises(CloudConnectError, match="service install"):
        service(windows).control(Verb.START)
    assert service(windows).status().state == "not-installed"
    assert [one.status for one in service(windows).verify()] == ["FAIL"]
    done(service(windows, start=False).installation())
    windows.calls.clear()
    for verb in (Verb.START, Verb.RESTART, Verb.STOP, Verb.STOP):
        service(windows).control(verb)
    named = [call.split()[0] for call in windows.calls]
    assert named == ["start", "stop", "start", "stop"]  # what stands is not stopped again


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (RunningState(word="running", pid=7), "running"),
        (RunningState(word="starting", pid=7), "starting"),
        (RunningState(word="stopping", pid=7), "running"),
        (RunningState(word="stopped"), "stopped"),
        (RunningState(word="stopped", exit_status=1), "failed"),
    ],
)
def test_the_state_is_told_in_our_words(
    windows: FakeWindows, state: RunningState, said: str
) -> None:
    done(service(windows, start=False).installation())
    windows.states["CloudConnect"] = state
    status = service(windows).status()
    assert (status.state, status.pid) == (said, state.pid)
    assert status.account == r"NT SERVICE\CloudConnect"
    assert (status.says is None) == (state.word in {"running", "starting"} or said == "stopped")


def test_a_removal_leaves_the_files_unless_it_is_told_not_to(windows: FakeWindows) -> None:
    done(service(windows).installation())
    plan = service(windows).removal(purge=False)
    done(plan)
    assert windows.calls[-2:] == ["stop CloudConnect", "delete CloudConnect"]
    assert "--purge" in plan.notes[0]
    assert str(HOME) in windows.lists
    done(service(windows).removal(purge=True))
    assert str(HOME) not in windows.lists
    assert done(service(windows).removal(purge=True)) == []


def test_several_agents_have_names_of_their_own(windows: FakeWindows) -> None:
    second = WindowsService(windows, instance="site-2", program=PROGRAM, home=HOME)
    assert second.name == "CloudConnect-site-2"
    with pytest.raises(ConfigurationError, match="no name for a service"):
        WindowsService(windows, instance="a b", program=PROGRAM, home=HOME)


def test_where_there_is_no_windows_a_plan_is_shown_and_nothing_done() -> None:
    planned = WindowsService(NoWindows(), program=PROGRAM, home=HOME)
    plan = planned.installation()
    assert sum(not step.needed for step in plan.steps) == 1  # no vault is there
    for step in plan.steps:
        with pytest.raises(CloudConnectError, match="no Windows"):
            step.carry_out()
    assert planned.status().state == "not-installed"
