"""What all commands share: ``--home``, ``--json``, ``--debug``, before or after the command."""

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cloud_connect.command_line import SharedOptions, shared_options_of
from cloud_connect_agent.cli.exits import NotEnrolledError
from cloud_connect_agent.paths import AgentPaths

if TYPE_CHECKING:
    from cloud_connect_agent.settings import AgentSettings

__all__ = ["Invocation", "pass_invocation", "quoted", "shared_options"]

_VARIABLE: Final = "CLOUD_CONNECT_HOME"


@dataclass(slots=True, kw_only=True)
class Invocation(SharedOptions):
    """One run of the command line."""

    home: Path | None = None

    @property
    def paths(self) -> AgentPaths:
        """The agent's files."""
        return AgentPaths.of(self.home)

    def hint(self) -> str:
        """Return what follows ``cloud-connect`` in commands that a person shall type next.

        There is nothing to type where the environment names the folder, but the rest of another
        name that the service's own command has: ``-site-2``.
        """
        known = os.environ.get(_VARIABLE)  # noqa: TID251 - where the folder's name came from
        if self.home is None or str(self.home) == known:
            return (_service_command() or "").removeprefix("cloud-connect")
        return f" --home {quoted(str(self.home))}"

    @property
    def is_service(self) -> bool:
        """Whether the service's own command runs this."""
        return _service_command() is not None

    def starting(self) -> str:
        """Return the command that starts the agent: as a service, if it is one."""
        verb = "service start" if self.is_service else "run"
        return f"cloud-connect{self.hint()} {verb}"

    def restarting(self) -> str:
        """Return the command that has the service start again."""
        return f"cloud-connect{self.hint()} service restart"

    def settings(self, flags: Mapping[str, Any] | None = None) -> "AgentSettings":
        """Read the settings."""
        return self.settings_in(self.paths.config_file, flags)

    def settings_in(self, file: Path, flags: Mapping[str, Any] | None = None) -> "AgentSettings":
        """Read the settings as if *file* were ``agent.toml``."""
        from cloud_connect_agent.settings import load_settings

        environ = os.environ  # noqa: TID251 - this is the one place where it is read
        return load_settings(file, environ=environ, flags=flags)

    def enrolled(self) -> "AgentSettings":
        """Read the settings of an agent that is enrolled.

        Raises:
            NotEnrolledError: If it is not.
            ConfigurationError: If a newer version has changed its files.
        """
        from cloud_connect_agent.upkeep.state_format import check_format

        settings = self.settings()
        check_format(self.paths)
        if not settings.relay.enrolled:
            raise NotEnrolledError(
                "This PC is not enrolled; create a join token at the relay and run "
                f"`cloud-connect{self.hint()} enrol --relay URL`."
            )
        return settings

    def configure_logs(self, *, file: Path | None = None, level: str = "warning") -> None:
        """Send log events to standard error."""
        from cloud_connect_agent.logs import configure_logs
        from cloud_connect_agent.settings import LogSettings

        configure_logs(LogSettings.model_validate({"level": level}), file=file, debug=self.debug)


def _service_command() -> str | None:
    """Return the name of the service's own command, if that is what runs this one."""
    return os.environ.get("CLOUD_CONNECT_COMMAND")  # noqa: TID251 - no setting of ours


def quoted(word: str) -> str:
    """Return a word as the shells of this platform take it."""
    if sys.platform == "win32":
        from subprocess import list2cmdline

        return list2cmdline([word])
    return shlex.quote(word)


pass_invocation = click.make_pass_decorator(Invocation, ensure=True)
shared_options = shared_options_of(
    Invocation,
    folder="--home",
    variable=_VARIABLE,
    purpose="Keep configuration, state and logs below DIR.",
)
