"""Tests of how errors become exit statuses and sentences."""

import click
import pytest

from cloud_connect.errors import (
    CloudConnectError,
    ConfigurationError,
    PolicyDeniedError,
    SignInRequiredError,
    TunnelClosedError,
    VaultLockedError,
)
from cloud_connect_agent.cli import root
from cloud_connect_agent.cli.exits import NotEnrolledError
from cloud_connect_agent.control import AgentNotRunningError


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (CloudConnectError("Why."), 1),
        (VaultLockedError("Why."), 1),
        (NotEnrolledError("Why."), 3),
        (AgentNotRunningError("Why."), 4),
        (TunnelClosedError("Why."), 4),
        (SignInRequiredError("Why."), 5),
        (PolicyDeniedError("Why."), 6),
        (ConfigurationError("Why."), 78),
        (ExceptionGroup("g", [ValueError(), ExceptionGroup("h", [PolicyDeniedError("Why.")])]), 6),
        (KeyboardInterrupt(), 1),
        (click.Abort(), 1),
        (RuntimeError("detail"), 1),
        (ExceptionGroup("g", [ValueError("detail")]), 1),
    ],
)
def test_each_error_has_its_status_and_one_sentence(
    error: BaseException,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(root.cloud_connect, "main", fail)
    with pytest.raises(SystemExit) as ended:
        root.main([])
    assert ended.value.code == status
    said = capsys.readouterr()
    assert not said.out
    assert len(said.err.splitlines()) == 1
    assert "detail" not in said.err


def test_a_command_that_says_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root.cloud_connect, "main", lambda *_, **__: None)
    with pytest.raises(SystemExit) as ended:
        root.main([])
    assert ended.value.code == 0
