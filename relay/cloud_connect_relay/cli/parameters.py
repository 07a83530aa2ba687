"""Parameters that several commands take, and what they accept."""

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click

from cloud_connect_relay.names import NAME as NAME_PATTERN
from cloud_connect_relay.networks import checked_network
from cloud_connect_relay.times import parse_duration

__all__ = [
    "DURATION",
    "NAME",
    "NETWORK",
    "database_option",
    "quota_changes",
    "quota_options",
    "quota_text",
    "read_password",
    "subscription_option",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])

_AMOUNT: Final = re.compile(r"([1-9][0-9]{0,14})\s*(|[kmgt]ib)", re.ASCII)
_UNITS: Final = {"": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_LIFTED: Final = "none"
_QUOTAS: Final = {
    "per_second": "Calls that may begin in a second.",
    "burst": "Calls that may begin at once, beside a rate; otherwise what a second allows.",
    "running": "Calls that may run at the same time.",
    "bytes_per_minute": "Bytes that calls may move in a minute, such as 50MiB.",
    "bytes_per_day": "Bytes that calls may move in a day, such as 10GiB.",
}


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
        if not re.fullmatch(NAME_PATTERN, name):
            self.fail("a name has 1 to 100 characters and no control characters", param, ctx)
        return name


class _Amount(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    name = "n"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        """Return a number, or the word that lifts the bound."""
        text = str(value).strip().lower()
        if text == _LIFTED:
            return text
        match = _AMOUNT.fullmatch(text)
        if match is None:
            self.fail("write a whole number such as 50 or 10MiB, or none", param, ctx)
        return int(match[1]) * _UNITS[match[2]]


class _Network(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the network in its usual form."""
        try:
            return checked_network(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION: Final = _Duration()
NETWORK: Final = _Network()
NAME: Final = _Name()


def subscription_option(function: _Function) -> _Function:
    """Add ``--subscription``."""
    return click.option(
        "--subscription",
        "-s",
        metavar="S",
        help="Id or name; not needed while there is only one.",
    )(function)


def quota_options(function: _Function) -> _Function:
    """Add ``--quota-per-second`` and the like."""
    for name, text in reversed(_QUOTAS.items()):
        flag = f"--quota-{name.replace('_', '-')}"
        function = click.option(flag, type=_Amount(), metavar="N|none", help=text)(function)
    return function


def quota_changes(given: Mapping[str, int | str | None]) -> dict[str, int | None]:
    """Return the bounds that options of :func:`quota_options` set or lift (``None``)."""
    named = {name.removeprefix("quota_"): value for name, value in given.items()}
    return {
        name: value if isinstance(value, int) else None
        for name, value in named.items()
        if value is not None
    }


def quota_text(limits: Mapping[str, int]) -> str:
    """Return a quota in one line."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in limits.items()) or "-"


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
    from cloud_connect_relay.passwords import MAX_PASSWORD, MIN_PASSWORD

    if sys.stdin.isatty():
        prompt = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        password = str(prompt)
    else:
        password = sys.stdin.read(MAX_PASSWORD + 2).removesuffix("\n").removesuffix("\r")
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise click.UsageError(
            f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters; give it on standard"
            " input."
        )
    return password
