"""What all commands share: ``--home``, ``--json``, ``--debug``, before or after the command."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cloud_connect_agent.cli.exits import NotEnrolledError
from cloud_connect_agent.paths import AgentPaths

if TYPE_CHECKING:
    from cloud_connect_agent.settings import AgentSettings

__all__ = ["Invocation", "pass_invocation", "shared_options"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(slots=True, kw_only=True)
class Invocation:
    """One run of the command line."""

    home: Path | None = None
    json: bool = False
    debug: bool = False

    @property
    def paths(self) -> AgentPaths:
        """The agent's files."""
        return AgentPaths.of(self.home)

    def hint(self) -> str:
        """Return ``--home …`` for commands that a person shall type next."""
        return "" if self.home is None else f" --home {self.home}"

    def settings(self, flags: Mapping[str, Any] | None = None) -> "AgentSettings":
        """Read the settings."""
        from cloud_connect_agent.settings import load_settings

        environ = os.environ  # noqa: TID251 - this is the one place where it is read
        return load_settings(self.paths.config_file, environ=environ, flags=flags)

    def enrolled(self) -> "AgentSettings":
        """Read the settings of an agent that is enrolled.

        Raises:
            NotEnrolledError: If it is not.
        """
        settings = self.settings()
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


pass_invocation = click.make_pass_decorator(Invocation, ensure=True)


def shared_options(function: _Function) -> _Function:
    """Add the options that every command takes."""
    options = (
        click.option(
            "--home",
            type=click.Path(file_okay=False, path_type=Path),
            metavar="DIR",
            envvar="CLOUD_CONNECT_HOME",
            help="Keep configuration, state and logs below DIR.  [env: CLOUD_CONNECT_HOME]",
            expose_value=False,
            is_eager=True,
            callback=_remember,
        ),
        click.option(
            "--json",
            is_flag=True,
            help="Print one JSON document instead of text.",
            expose_value=False,
            is_eager=True,
            callback=_remember,
        ),
        click.option(
            "--debug",
            is_flag=True,
            help="Log in detail, and show where an error comes from.",
            expose_value=False,
            is_eager=True,
            callback=_remember,
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def _remember(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """Keep what was given; a command's own option wins over one before it."""
    invocation = context.ensure_object(Invocation)
    given = context.get_parameter_source(parameter.name or "") is (
        click.core.ParameterSource.COMMANDLINE
    )
    if value and (given or not getattr(invocation, parameter.name or "")):
        setattr(invocation, parameter.name or "", value)
