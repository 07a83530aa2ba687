"""Findings of ``service verify``: what the machine says about what the installation set."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from cloud_connect.services.backend import Finding
from cloud_connect.services.plan import Step
from cloud_connect.services.steps import WriteFile

__all__ = ["CHECKS_OF_UNIT", "account_finding", "file_finding", "step_finding"]

_AGAIN: Final = "Run `service install` again; it changes only what differs."


def file_finding(name: str, file: WriteFile) -> Finding:
    """Say whether a file is as the installation writes it."""
    return step_finding(
        name, file, good=f"{file.path} is as it was installed.", bad=f"{file.path} differs."
    )


def step_finding(name: str, step: Step, *, good: str, bad: str) -> Finding:
    """Say whether a step of the installation would find nothing to do."""
    return (
        Finding(name=name, status="FAIL", cause=bad, fix=_AGAIN)
        if step.needed
        else Finding(name=name, status="PASS", cause=good)
    )


def account_finding(name: str, *, there: bool) -> Finding:
    """Say whether the service's account is there."""
    if there:
        return Finding(name="account", status="PASS", cause=f"The account {name} is there.")
    return Finding(name="account", status="FAIL", cause=f"There is no account {name}.", fix=_AGAIN)


def _is_fresh(shown: Mapping[str, str], _: str) -> Finding:
    if shown.get("NeedDaemonReload") == "yes":
        return Finding(
            name="loaded",
            status="FAIL",
            cause="systemd uses an older text of the unit.",
            fix="Run `systemctl daemon-reload`, then `service restart`.",
        )
    return Finding(name="loaded", status="PASS", cause="systemd uses the unit as it stands.")


def _starts_at_boot(shown: Mapping[str, str], name: str) -> Finding:
    if shown.get("UnitFileState") == "enabled":
        return Finding(name="boot", status="PASS", cause="It starts with the machine.")
    return Finding(
        name="boot",
        status="FAIL",
        cause="It does not start with the machine.",
        fix=f"Run `systemctl enable {name}`.",
    )


def _runs(shown: Mapping[str, str], name: str) -> Finding:
    state = shown.get("ActiveState")
    if state == "active":
        says = shown.get("StatusText") or "It runs."
        return Finding(name="running", status="PASS", cause=says)
    return Finding(
        name="running",
        status="WARN",
        cause=f"It does not run ({state}).",
        fix=f"Run `service start`; `journalctl -u {name}` tells why it ended.",
    )


CHECKS_OF_UNIT: Final[Sequence[Callable[[Mapping[str, str], str], Finding]]] = (
    _is_fresh,
    _starts_at_boot,
    _runs,
)
