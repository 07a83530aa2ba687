"""The service: installed, running, and started when the machine is."""

import asyncio
from pathlib import Path
from typing import Final

from cloud_connect.errors import CloudConnectError
from cloud_connect.services import ServiceStatus
from cloud_connect_agent.doctor.case import Case, DaemonState
from cloud_connect_agent.doctor.codes import Code
from cloud_connect_agent.doctor.findings import Finding, failed, passed, warned
from cloud_connect_agent.hosting.service import ServiceWish

__all__ = ["check_service"]

_NAME: Final = "cloud-connect"
_INSTALL: Final = (
    "To have it run without anybody signed in, and from boot on: `cloud-connect service install`."
)


async def check_service(case: Case) -> Finding:
    """Something starts this agent when the machine starts, and it runs."""
    folder = case.paths.config_dir
    named = folder.name.startswith(f"{_NAME}-")
    wish = ServiceWish(instance=folder.name.removeprefix(f"{_NAME}-") if named else None)
    try:
        status = await asyncio.to_thread(lambda: case.service(wish).status())
    except CloudConnectError as exc:
        return _none(case, exc.message)
    if status.state == "not-installed":
        return _none(case, f"There is no service {status.name} on this machine.")
    if status.home is not None and Path(status.home) != folder:
        return _none(case, f"The service {status.name} has its files in {status.home}, not here.")
    return _verdict(status)


def _verdict(status: ServiceStatus) -> Finding:
    says = f" It says: {status.says}" if status.says else ""
    option = "" if status.name == _NAME else f" --name {status.name.removeprefix(f'{_NAME}-')}"
    if status.state == "failed":
        return failed(
            Code.SERVICE_FAILS,
            f"The service {status.name} has failed.{says}",
            f"Do what the checks above say, then `cloud-connect service start{option}`.",
        )
    if status.state == "stopped":
        return failed(
            Code.SERVICE_STOPPED,
            f"The service {status.name} is installed and does not run.",
            f"Start it: `cloud-connect service start{option}`.",
        )
    if not status.starts_by_itself:
        return warned(
            Code.SERVICE_NOT_AT_BOOT,
            f"The service {status.name} runs, and nothing starts it after a reboot.",
            f"Run `cloud-connect service install{option}` again, which sets that right.",
        )
    account = f" as {status.account}" if status.account else ""
    return passed(f"The service {status.name} runs{account}, and starts with the machine.")


def _none(case: Case, reason: str) -> Finding:
    if case.daemon.state is DaemonState.RUNNING:
        reason += " The agent that runs was started by hand: it ends with its session."
    return warned(Code.NO_SERVICE, reason, _INSTALL)
