"""What a Windows service of ours is set up with, and why: pure, so that tests see all of it.

Windows keeps a dozen settings of a service in as many places, and most programs set three of them.
Each one here has its reason; ``service verify`` reads every one of them back.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PureWindowsPath
from typing import Final

from cloud_connect.errors import ConfigurationError

__all__ = [
    "LAUNCHER",
    "MODULE",
    "REASONS",
    "Recovery",
    "ServiceSettings",
    "Setting",
    "image_path",
    "service_name",
    "shown",
    "wanted_settings",
]

LAUNCHER: Final = "cloud-connect-service.exe"
MODULE: Final = "cloud_connect_agent.hosting.windows_service"
_DEFAULT_NAME: Final = "CloudConnect"
_INSTANCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
# What bypass of traverse checks needs; an account without it cannot reach files in deep folders.
_PRIVILEGES: Final = ("SeChangeNotifyPrivilege",)
# A policy that the service's own account could change is no limit to whoever takes it over.
_ENVIRONMENT: Final = ("CLOUD_CONNECT_POLICY__OWNER=administrator",)
_PRESHUTDOWN_SECONDS: Final = 40.0  # running calls get 25 of them, as under systemd


class Setting(StrEnum):
    """One thing that Windows keeps about a service, named as ``service verify`` does."""

    IMAGE = "image"
    ACCOUNT = "account"
    TITLE = "title"
    DESCRIPTION = "description"
    START = "start"
    DELAYED = "delayed start"
    RECOVERY = "recovery"
    FAILURE_FLAG = "recovery on exit"
    SID_TYPE = "service SID"
    PRIVILEGES = "privileges"
    PRESHUTDOWN = "shutdown time"
    ENVIRONMENT = "environment"
    EVENT_SOURCE = "event log"


REASONS: Final = {
    Setting.IMAGE: "quoted, so that no program named C:\\Program.exe is started in its stead",
    Setting.ACCOUNT: "an account of its own without a password, which can do nothing else here",
    Setting.TITLE: "what the list of services shows",
    Setting.DESCRIPTION: "what the list of services shows",
    Setting.START: "it runs without anybody signing in",
    Setting.DELAYED: "it starts after the network and what else Windows needs first",
    Setting.RECOVERY: "it comes back by itself after a failure",
    Setting.FAILURE_FLAG: "an orderly exit with an error counts as a failure, too",
    Setting.SID_TYPE: "its folders can name it and let nobody else in",
    Setting.PRIVILEGES: "whoever takes it over has no right that it does not need",
    Setting.PRESHUTDOWN: "running calls end before Windows shuts down",
    Setting.ENVIRONMENT: "it refuses a policy that its own account could change",
    Setting.EVENT_SOURCE: "its entries in the event log can be read",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What Windows does after a failure.

    Attributes:
        restart_after: Seconds until it is started again after the first, second, … failure; the
            last one holds for all that follow.
        forget_after: Seconds without a failure after which the count begins anew.
    """

    restart_after: tuple[float, ...]
    forget_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """All settings of one service; ``None`` stands for what Windows does not tell."""

    image: str
    account: str
    title: str
    description: str | None
    automatic: bool
    delayed: bool | None
    recovery: Recovery | None
    recovers_from_exits: bool | None
    sid_type: str | None
    privileges: tuple[str, ...] | None
    preshutdown_seconds: float | None
    environment: tuple[str, ...]
    message_file: str | None


def service_name(instance: str | None) -> str:
    """Return how Windows calls the service of an instance.

    Raises:
        ConfigurationError: If the instance's name cannot be part of an account's name.
    """
    if instance is None:
        return _DEFAULT_NAME
    if _INSTANCE.fullmatch(instance) is None:
        raise ConfigurationError(
            f"{instance!r} is no name for a service: use letters, digits, - and _, at most 40."
        )
    return f"{_DEFAULT_NAME}-{instance}"


def image_path(program: PureWindowsPath, *, name: str, home: PureWindowsPath) -> str:
    """Return the command line by which Windows starts the service.

    Python runs isolated (``-I``): neither the environment nor the current folder nor a user's own
    packages add code. Our launcher isolates itself.
    """
    words = [f'"{program}"']
    if program.name.lower() != LAUNCHER:
        words += ["-I", "-m", MODULE]
    return " ".join([*words, "--name", name, "--home", f'"{home}"'])


def wanted_settings(
    name: str, *, program: PureWindowsPath, home: PureWindowsPath, message_file: str
) -> ServiceSettings:
    """Return what a service is installed with.

    Args:
        message_file: The file with the texts of the event log's entries.
    """
    instance = "" if name == _DEFAULT_NAME else f" ({name.removeprefix(_DEFAULT_NAME + '-')})"
    return ServiceSettings(
        image=image_path(program, name=name, home=home),
        account=f"NT SERVICE\\{name}",
        title=f"Cloud Connect agent{instance}",
        description=(
            "Carries Procore calls of a low-code platform out on this PC, as far as the policy on "
            "this PC allows. Dials out to its relay; nothing dials in."
        ),
        automatic=True,
        delayed=True,
        recovery=Recovery(restart_after=(5.0, 30.0, 60.0), forget_after=86_400.0),
        recovers_from_exits=True,
        sid_type="unrestricted",
        privileges=_PRIVILEGES,
        preshutdown_seconds=_PRESHUTDOWN_SECONDS,
        environment=_ENVIRONMENT,
        message_file=message_file,
    )


def shown(setting: Setting, settings: ServiceSettings) -> str | None:
    """Return a setting as people read it; ``None`` if Windows does not tell."""
    recovery, privileges = settings.recovery, settings.privileges
    seconds = settings.preshutdown_seconds
    return {
        Setting.IMAGE: settings.image,
        Setting.ACCOUNT: settings.account,
        Setting.TITLE: settings.title,
        Setting.DESCRIPTION: settings.description,
        Setting.START: "automatic" if settings.automatic else "by hand or disabled",
        Setting.DELAYED: _yes(settings.delayed),
        Setting.RECOVERY: None if recovery is None else _recovery(recovery),
        Setting.FAILURE_FLAG: _yes(settings.recovers_from_exits),
        Setting.SID_TYPE: settings.sid_type,
        Setting.PRIVILEGES: None if privileges is None else ", ".join(privileges) or "all",
        Setting.PRESHUTDOWN: None if seconds is None else f"{seconds:g} s",
        Setting.ENVIRONMENT: ", ".join(settings.environment) or "nothing",
        Setting.EVENT_SOURCE: settings.message_file or "not registered",
    }[setting]


def _yes(value: bool | None) -> str | None:  # noqa: FBT001 - a setting's own value
    return None if value is None else "yes" if value else "no"


def _recovery(recovery: Recovery) -> str:
    if not recovery.restart_after:
        return "none"
    *firsts, last = (f"{seconds:g} s" for seconds in recovery.restart_after)
    after = f"{', '.join(firsts)}, then each time after {last}" if firsts else last
    return f"restart after {after}; counted anew after {recovery.forget_after / 3600:g} h"
