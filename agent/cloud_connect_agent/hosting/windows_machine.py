"""What the service's installation asks of Windows: the seam between decisions and calls."""

from dataclasses import dataclass
from typing import Protocol

from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.hosting.windows_sddl import AccessList
from cloud_connect_agent.hosting.windows_settings import ServiceSettings, Setting

__all__ = ["NoWindows", "RunningState", "UnknownSettingError", "WindowsMachine"]


class UnknownSettingError(CloudConnectError):
    """This Windows has no such setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningState:
    """What the service control manager says about a service.

    Attributes:
        word: ``running``, ``starting``, ``stopping`` or ``stopped``.
        exit_status: The service's own, when it stopped with an error.
    """

    word: str
    pid: int | None = None
    exit_status: int = 0


class WindowsMachine(Protocol):
    """One Windows; every method blocks, and fails with a sentence for people.

    ``CloudConnectError`` is what all of them raise.
    """

    def administrator(self) -> bool:
        """Whether this process may change services."""
        ...

    def own_account(self) -> str:
        """Return the SID of the account that runs this."""
        ...

    def message_file(self) -> str:
        """Return the file with the texts of the event log's entries."""
        ...

    def settings(self, name: str) -> ServiceSettings | None:
        """Read back all settings of a service; ``None`` if it is not installed."""
        ...

    def create(self, name: str, settings: ServiceSettings) -> None:
        """Register a service: its image, account, title and start."""
        ...

    def change(self, name: str, setting: Setting, settings: ServiceSettings) -> None:
        """Set one setting of a service to what *settings* say.

        Raises:
            UnknownSettingError: If this Windows has no such setting.
        """
        ...

    def delete(self, name: str) -> None:
        """Remove a service, and its source in the event log."""
        ...

    def state(self, name: str) -> RunningState | None:
        """Return whether a service runs; ``None`` if it is not installed."""
        ...

    def start(self, name: str) -> None:
        """Start a service; return when it runs."""
        ...

    def stop(self, name: str) -> None:
        """Stop a service; return when its process has ended."""
        ...

    def access(self, path: str) -> AccessList | None:
        """Return owner and list of a file or folder; ``None`` if it is not there."""
        ...

    def make_folder(self, path: str, access: AccessList) -> None:
        """Make a folder that is never without its list."""
        ...

    def set_access(self, path: str, access: AccessList) -> None:
        """Give a file or folder this owner and list, and what is in it what it inherits."""
        ...


class NoWindows:
    """Stands for Windows where there is none: plans can be shown, and nothing can be done."""

    def administrator(self) -> bool:
        """Nobody is refused a look at the plan."""
        return True

    def own_account(self) -> str:
        """There are no SIDs here; the administrators' stands for one."""
        return "S-1-5-32-544"

    def message_file(self) -> str:
        """Return a name that says what is meant."""
        return "servicemanager.pyd"

    def settings(self, name: str) -> ServiceSettings | None:
        """No service is installed."""
        del name
        return None

    def create(self, name: str, settings: ServiceSettings) -> None:
        """Refuse."""
        del name, settings
        raise _refusal()

    def change(self, name: str, setting: Setting, settings: ServiceSettings) -> None:
        """Refuse."""
        del name, setting, settings
        raise _refusal()

    def delete(self, name: str) -> None:
        """Refuse."""
        del name
        raise _refusal()

    def state(self, name: str) -> RunningState | None:
        """No service is installed."""
        del name
        return None

    def start(self, name: str) -> None:
        """Refuse."""
        del name
        raise _refusal()

    def stop(self, name: str) -> None:
        """Refuse."""
        del name
        raise _refusal()

    def access(self, path: str) -> AccessList | None:
        """No folder of Windows is here."""
        del path
        return None

    def make_folder(self, path: str, access: AccessList) -> None:
        """Refuse."""
        del path, access
        raise _refusal()

    def set_access(self, path: str, access: AccessList) -> None:
        """Refuse."""
        del path, access
        raise _refusal()


def _refusal() -> CloudConnectError:
    return CloudConnectError("This is no Windows: its service can be planned here, not installed.")
