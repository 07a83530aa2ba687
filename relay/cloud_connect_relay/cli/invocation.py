"""What all commands share: ``--data-dir``, ``--json``, ``--debug``, before or after the command."""

import os
import shlex
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cloud_connect.command_line import SharedOptions, shared_options_of
from cloud_connect_relay.paths import RelayPaths, default_data_dir

if TYPE_CHECKING:
    from cloud_connect_relay.settings import RelaySettings

__all__ = ["Invocation", "pass_invocation", "shared_options"]

_Result = TypeVar("_Result")


@dataclass(slots=True, kw_only=True)
class Invocation(SharedOptions):
    """One run of the command line."""

    data_dir: Path | None = None

    @property
    def paths(self) -> RelayPaths:
        """The relay's files."""
        return RelayPaths(data_dir=self.data_dir or default_data_dir())

    def command(self, words: str) -> str:
        """Return a command of ours for a person to type next.

        The service's own command names the folder by itself.
        """
        service = self._service_command()
        if service is not None:
            return f"{service} {words}"
        place = "" if self.data_dir is None else f" --data-dir {shlex.quote(str(self.data_dir))}"
        return f"cloud-connect-relay {words}{place}"

    def starting(self) -> str:
        """Return the command that starts the relay: as a service, if it is one."""
        return self.command("serve" if self._service_command() is None else "service start")

    @staticmethod
    def _service_command() -> str | None:
        """Return the name of the service's own command, if that is what runs this one."""
        return os.environ.get("CLOUD_CONNECT_COMMAND")  # noqa: TID251 - no setting of ours

    def settings(self, flags: Mapping[str, Any] | None = None) -> "RelaySettings":
        """Read the settings: flags, then environment, then ``relay.toml``, then defaults."""
        from cloud_connect_relay.settings_sources import load_settings

        self.paths.prepare()
        environ = os.environ  # noqa: TID251  the one place where it is read
        return load_settings(self.paths, environ=environ, flags=flags or {})

    def configure_logs(self, *, level: str = "warning", style: str = "auto") -> None:
        """Send log events to standard error."""
        import sys

        from cloud_connect import log

        if style == "auto":
            style = "console" if sys.stderr.isatty() else "json"
        log.configure(
            level="debug" if self.debug else level,
            style="console" if style == "console" else "json",
            journal=os.environ.get("JOURNAL_STREAM"),  # noqa: TID251  not a setting of ours
        )

    def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Do the work of an administrative command."""
        import asyncio

        self.configure_logs()
        return asyncio.run(work)


pass_invocation = click.make_pass_decorator(Invocation, ensure=True)
shared_options = shared_options_of(
    Invocation,
    folder="--data-dir",
    variable="CLOUD_CONNECT_RELAY_DATA_DIR",
    purpose="Keep the relay's data in DIR.",
)
