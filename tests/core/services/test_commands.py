import json
from collections.abc import Callable

import pytest

from cloud_connect.command_line import ExitStatus
from cloud_connect.errors import ConfigurationError
from cloud_connect.services import Finding, Plan, ServiceStatus, Verb
from cloud_connect.services.acts import Act
from cloud_connect.services.commands import (
    carry_out,
    command_service,
    show_findings,
    show_plan,
    show_status,
)

Told = Callable[[], tuple[str, str]]


class Service:
    """A service that does as it is told."""

    name = "cloud-connect"

    def __init__(self) -> None:
        self.told: list[Verb] = []

    def installation(self) -> Plan:
        return plan()

    def removal(self, *, purge: bool) -> Plan:
        return plan(purge)

    def control(self, verb: Verb) -> list[str]:
        self.told.append(verb)
        return ["Give the policy to root"]

    def status(self) -> ServiceStatus:
        return ServiceStatus(name=self.name, state="running", pid=7, restarts=0)

    def verify(self) -> list[Finding]:
        return []


class Note:
    """A step with a text to show."""

    sentence = "Write /etc/a"
    content = "[Unit]\n\nA=1"
    needed = True

    def carry_out(self) -> None:
        self.needed = False


def plan(*steps: object, refusals: tuple[str, ...] = ()) -> Plan:
    made = [step for step in steps if isinstance(step, Note | Act)]
    return Plan(subject="the service a", steps=made, refusals=refusals, notes=["Next: enrol"])


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    def read() -> tuple[str, str]:
        captured = capsys.readouterr()
        return captured.out, captured.err

    return read


def test_a_dry_run_shows_files_with_their_content_and_changes_nothing(told: Told) -> None:
    step = Note()
    spared = Act(purpose="Make the account", what=lambda: None, when=lambda: False)
    assert show_plan(plan(step, spared), as_json=False) == ExitStatus.DONE
    out, err = told()
    assert "to do    Write /etc/a" in out
    assert "         | [Unit]\n         |\n         | A=1" in out
    assert "done     Make the account" in out
    assert "nothing was changed" in err
    assert step.needed


def test_a_dry_run_says_what_stands_in_the_way_and_when_nothing_is_to_do(told: Told) -> None:
    show_plan(plan(refusals=("Only root can do that.",)), as_json=False)
    out, _ = told()
    assert "refused  Only root can do that." in out
    assert "Nothing to change: the service a is as it should be." in out


def test_a_dry_run_as_a_document(told: Told) -> None:
    show_plan(plan(Note(), refusals=("no",)), as_json=True)
    assert json.loads(told()[0]) == {
        "service": "the service a",
        "dry_run": True,
        "refusals": ["no"],
        "steps": [{"step": "Write /etc/a", "needed": True, "content": "[Unit]\n\nA=1"}],
        "notes": ["Next: enrol"],
    }


def test_what_was_done_and_what_comes_next_is_said(told: Told) -> None:
    step = Note()
    assert carry_out(plan(step), as_json=False, verb="installed") == ExitStatus.DONE
    out, err = told()
    assert out == "done  Write /etc/a\nThe service a is installed.\n"
    assert err == "Next: enrol\n"
    carry_out(plan(step), as_json=False, verb="installed")
    assert told()[0] == "The service a is installed already; nothing was changed.\n"


def test_what_was_done_as_a_document(told: Told) -> None:
    carry_out(plan(Note()), as_json=True, verb="installed")
    assert json.loads(told()[0]) == {
        "service": "the service a",
        "changes": ["Write /etc/a"],
        "notes": ["Next: enrol"],
    }


def test_a_plan_with_refusals_is_not_begun() -> None:
    step = Note()
    with pytest.raises(ConfigurationError, match="Only root"):
        carry_out(plan(step, refusals=("Only root can.",)), as_json=False, verb="installed")
    assert step.needed


def test_a_service_that_was_told_says_so(told: Told) -> None:
    service = Service()
    command_service(service, Verb.RESTART, as_json=False)
    assert told()[0] == "done  Give the policy to root\nThe service cloud-connect is restarted.\n"
    command_service(service, Verb.STOP, as_json=True)
    document = json.loads(told()[0])
    assert document["running"] is True
    assert document["changes"] == ["Give the policy to root"]
    assert service.told == [Verb.RESTART, Verb.STOP]


@pytest.mark.parametrize(
    ("state", "exit_status"),
    [("running", ExitStatus.DONE), ("failed", ExitStatus.FAILED)],
)
def test_status_fails_unless_the_service_runs(
    told: Told, state: str, exit_status: ExitStatus
) -> None:
    status = ServiceStatus(
        name="a",
        state="running" if state == "running" else "failed",
        pid=7,
        restarts=2,
        starts_by_itself=state == "running",
        says="Connected",
    )
    assert show_status(status, as_json=False, install="x service install") == exit_status
    out, err = told()
    for word in ("Connected", "7", "2", state, "by itself"):
        assert word in out
    assert err == ""
    assert show_status(status, as_json=True, install="") == exit_status
    assert json.loads(told()[0])["state"] == state


def test_status_of_what_is_not_installed_says_how_to_install_it(told: Told) -> None:
    status = ServiceStatus(name="a", state="not-installed")
    assert show_status(status, as_json=False, install="x service install") == ExitStatus.FAILED
    out, err = told()
    assert "not installed" in out
    assert "At boot" not in out
    assert "x service install" in err


def test_findings_end_with_a_count_and_fail_if_one_failed(told: Told) -> None:
    good = Finding(name="unit", status="PASS", cause="As it was.")
    odd = Finding(name="boot", status="WARN", cause="Odd.", fix="Look.")
    bad = Finding(name="account", status="FAIL", cause="Gone.", fix="Install.", code="S1")
    assert show_findings([good, odd], as_json=False) == ExitStatus.DONE
    out, _ = told()
    assert "PASS  unit  As it was." in out
    assert "            → Look." in out
    assert out.endswith("1 passed, 1 to look at, 0 failed.\n")
    assert show_findings([good, bad], as_json=True) == ExitStatus.FAILED
    document = json.loads(told()[0])
    assert document["ok"] is False
    assert document["checks"][1]["code"] == "S1"
    assert show_findings([], as_json=False) == ExitStatus.DONE
