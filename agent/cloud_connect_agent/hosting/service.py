"""The agent as a service of this machine, by the means of its platform."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cloud_connect.errors import ConfigurationError
from cloud_connect.services import Finding, Plan, ServiceBackend, ServiceStatus, Step, Verb

__all__ = [
    "Finding",
    "Plan",
    "ServiceBackend",
    "ServiceStatus",
    "ServiceWish",
    "Step",
    "Verb",
    "service_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceWish:
    """What a person asked for on the command line.

    Attributes:
        instance: Which of several agents on this machine; ``None`` for the only one.
        home: Where its files are; ``None`` for the platform's own place for services.
        adopt: Folder of an agent that was enrolled before, which moves into the service's.
        seal_vault: Whether the vault's key is sealed by the machine, where that is a choice.
        start: Whether an enrolled agent is started at once.
        hosted: Whether it runs for another company beside its relay; an installed one stays so.
    """

    instance: str | None = None
    home: Path | None = None
    adopt: Path | None = None
    seal_vault: Literal["auto", "yes", "no"] = "auto"
    start: bool = True
    hosted: bool = False


def service_of(wish: ServiceWish, *, platform: str = sys.platform) -> ServiceBackend:
    """Return the service that is wished for; nothing is changed yet.

    Raises:
        ConfigurationError: If this platform has no services that we know.
    """
    if wish.hosted and not platform.startswith("linux"):
        raise ConfigurationError("A hosted connector is a service of systemd: say it on Linux.")
    if wish.hosted and wish.instance is None:
        raise ConfigurationError(
            "Each subscription has a hosted connector of its own: say whose with --name, such as "
            "`--hosted --name builders`."
        )
    if platform == "win32":
        from cloud_connect_agent.hosting.windows_installation import windows_service

        return windows_service(wish)
    if platform.startswith("linux"):
        from cloud_connect_agent.hosting.systemd_service import systemd_service

        return systemd_service(wish)
    raise ConfigurationError(
        f"There is no `service install` for {platform}; docs/macos.md tells how launchd runs the "
        "agent."
    )
