"""What all commands share: ``--data-dir``, ``--json``, ``--debug``, before or after the command."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cloud_connect_relay.paths import RelayPaths, default_data_dir

if TYPE_CHECKING:
    from cloud_connect_relay.settings import RelaySettings

__all__ = ["Invocation", "pass_invocation", "shared_options"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(slots=True, kw_only=True)
class Invocation:
    """One run of the command line."""

    data_dir: Path | None = None
    json: bool = False
    debug: bool = False

    @property
    def paths(self) -> RelayPaths:
        """The relay's files."""
        return RelayPaths(data_dir=self.data_dir or default_data_dir())

    def command(self, words: str) -> str:
        """Return a command of ours for a person to type next."""
        place = "" if self.data_dir is None else f" --data-dir {self.data_dir}"
        return f"cloud-connect-relay {words}{place}"

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
        )


pass_invocation = click.make_pass_decorator(Invocation, ensure=True)


def shared_options(function: _Function) -> _Function:
    """Add the options that every command takes."""
    options = (
        click.option(
            "--data-dir",
            type=click.Path(file_okay=False, path_type=Path),
            metavar="DIR",
            envvar="CLOUD_CONNECT_RELAY_DATA_DIR",
            help="Keep the relay's data in DIR.  [env: CLOUD_CONNECT_RELAY_DATA_DIR]",
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
    name = parameter.name or ""
    invocation = context.ensure_object(Invocation)
    given = context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    if value and (given or not getattr(invocation, name)):
        setattr(invocation, name, value)
