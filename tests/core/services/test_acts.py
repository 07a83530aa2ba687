from pathlib import Path

import pytest

from cloud_connect.errors import CloudConnectError
from cloud_connect.services.acts import Act, RunCommand
from cloud_connect.services.plan import Plan
from doubles.service_machine import FolderMachine


def test_a_command_that_fails_says_which_and_why(tmp_path: Path) -> None:
    machine = FolderMachine(root=tmp_path)
    step = RunCommand(
        host=machine,
        purpose="Seal a key",
        command=("systemd-creds", "encrypt", "-", "/etc/key"),
        when=lambda: True,
        stdin=lambda: b"secret",
    )
    assert step.needed
    assert step.content == "systemd-creds encrypt - /etc/key"
    step.carry_out()
    assert machine.told[-1] == b"secret"
    machine.failing["systemd-creds"] = "no key"
    with pytest.raises(CloudConnectError, match=r"Seal a key: .*failed: no key") as caught:
        step.carry_out()
    assert "secret" not in caught.value.message


def test_a_plan_takes_the_steps_that_are_needed_when_their_turn_comes() -> None:
    done: list[str] = []
    first = Act(purpose="First", what=lambda: done.append("first"), when=lambda: not done)
    spared = Act(purpose="Spared", what=lambda: done.append("spared"), when=lambda: not done)
    plan = Plan(subject="it", steps=[first, spared])
    assert all(step.needed for step in plan.steps)
    assert list(plan.carry_out()) == ["First"]
    assert list(plan.carry_out()) == []
    assert done == ["first"]
    assert first.content is None
