"""What a platform's own part does for ``service install`` and its like."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

from cloud_connect.services.plan import Plan

__all__ = ["Finding", "ServiceBackend", "ServiceState", "ServiceStatus", "Verb"]

ServiceState = Literal["running", "starting", "stopped", "failed", "not-installed"]


class Verb(StrEnum):
    """What a service can be told."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"

    @property
    def past(self) -> str:
        """What was done then."""
        return {"start": "started", "stop": "stopped", "restart": "restarted"}[self.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """How a service fares, as the platform's service manager says.

    Attributes:
        name: As the service manager knows it.
        starts_by_itself: Whether it is started when the machine is.
        pid: Of its process, while there is one.
        restarts: How often it was restarted because it failed.
        says: What the service told about itself, or why it is not running.
    """

    name: str
    state: ServiceState
    starts_by_itself: bool = False
    pid: int | None = None
    restarts: int | None = None
    account: str | None = None
    home: str | None = None
    says: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was read back from the machine, and what is wrong with it.

    Attributes:
        name: What was looked at: "unit", "account", "recovery".
        cause: What was found.
        fix: What to do about it, unless all is well.
        code: What the documentation calls it, if it does.
    """

    name: str
    status: Literal["PASS", "WARN", "FAIL"]
    cause: str
    fix: str | None = None
    code: str | None = None


class ServiceBackend(Protocol):
    """One service of this machine, by the means of its platform; all methods block."""

    @property
    def name(self) -> str:
        """How the service manager calls it."""
        ...

    def installation(self) -> Plan:
        """Return what would install it; on a machine where it is, no step is needed."""
        ...

    def removal(self, *, purge: bool) -> Plan:
        """Return what would remove it.

        Args:
            purge: Also its account and all its files: identity, credentials, records, logs.
        """
        ...

    def control(self, verb: Verb) -> Sequence[str]:
        """Start, stop or restart it; return, when that is done, what else had to be done for it.

        Raises:
            CloudConnectError: If it is not installed or cannot do so.
        """
        ...

    def status(self) -> ServiceStatus:
        """Return how it fares."""
        ...

    def verify(self) -> Sequence[Finding]:
        """Read back from the machine all that the installation set."""
        ...
