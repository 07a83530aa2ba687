"""Parameters that several commands take, and what they accept."""

import re
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from cloud_connect_relay.times import parse_duration

__all__ = ["DURATION", "NAME", "database_option", "read_password", "subscription_option"]

_Function = TypeVar("_Function", bound=Callable[..., Any])

_NAME: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,100}")
_MIN_PASSWORD: Final = 8  # characters
_MAX_PASSWORD: Final = 1024  # characters


class _Duration(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return seconds."""
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Name(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name without white space around it."""
        name = str(value).strip()
        if not _NAME.fullmatch(name):
            self.fail("a name has 1 to 100 characters and no line breaks", param, ctx)
        return name


DURATION: Final = _Duration()
NAME: Final = _Name()


def subscription_option(function: _Function) -> _Function:
    """Add ``--subscription``."""
    return click.option(
        "--subscription",
        "-s",
        metavar="S",
        help="Id or name; not needed while there is only one.",
    )(function)


def database_option(function: _Function) -> _Function:
    """Add ``--database-url``."""
    return click.option(
        "--database-url",
        metavar="URL",
        help="Keep the state there instead of in a SQLite file of the data folder.",
    )(function)


def read_password() -> str:
    """Return the password that stands on standard input.

    Raises:
        click.UsageError: If it is too short or too long.
    """
    if sys.stdin.isatty():
        prompt = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        password = str(prompt)
    else:
        password = sys.stdin.read(_MAX_PASSWORD + 2).removesuffix("\n").removesuffix("\r")
    if not _MIN_PASSWORD <= len(password) <= _MAX_PASSWORD:
        raise click.UsageError(
            f"A password has {_MIN_PASSWORD} to {_MAX_PASSWORD} characters; give it on standard"
            " input."
        )
    return password
