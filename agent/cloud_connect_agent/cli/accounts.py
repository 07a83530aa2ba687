"""``--account``, ``--company`` and ``--user``: which identity a command is about."""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cloud_connect.calls import MAX_ID, Environment
from cloud_connect_agent.procore.grants.accounts import DEFAULT_ACCOUNT

if TYPE_CHECKING:
    from cloud_connect_agent.settings import AgentSettings
    from cloud_connect_agent.toml_text import Value

__all__ = ["account_option", "as_flags", "binding", "binding_options"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def account_option() -> Callable[[_Function], _Function]:
    """Add ``--account``."""
    return click.option(
        "--account",
        default=DEFAULT_ACCOUNT,
        show_default=True,
        metavar="NAME",
        callback=_check_name,
        help="One of several identities of this PC at the environment.",
    )


def binding_options(function: _Function) -> _Function:
    """Add ``--company`` and ``--user``, which are kept in the settings."""
    company = click.option(
        "--company",
        "companies",
        type=click.IntRange(1, MAX_ID),
        multiple=True,
        metavar="ID",
        help="Use the account for this company's calls; may be repeated.",
    )
    user = click.option(
        "--user",
        metavar="LOGIN",
        help="Refuse everybody else who signs in to the account; '' undoes it.",
    )
    return company(user(function))


def binding(
    settings: "AgentSettings",
    environment: Environment,
    account: str,
    *,
    companies: tuple[int, ...],
    user: str | None,
) -> dict[tuple[str, ...], "Value"]:
    """Return the settings that say what the account is for, and make it if it is new."""
    known = settings.procore.environment(environment).accounts
    changes: dict[tuple[str, ...], Value] = {}
    place = ("procore", "environments", environment.flag, "accounts", account)
    if companies or (account != DEFAULT_ACCOUNT and account not in known):
        changes[*place, "companies"] = tuple(dict.fromkeys(companies))
    if user is not None:
        changes[*place, "login"] = user.strip() or None
    return changes


def as_flags(changes: Mapping[tuple[str, ...], "Value"]) -> dict[str, Any]:
    """Return changes in the shape of flags, to try them before they are written."""
    tree: dict[str, Any] = {}
    for path, value in changes.items():
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = value
    return tree


def _check_name(_: click.Context, __: click.Parameter, value: str) -> str:
    from cloud_connect_agent.settings import ACCOUNT_NAME

    if not re.fullmatch(ACCOUNT_NAME, value):
        raise click.BadParameter("it has lower-case letters, digits and dashes, at most 32.")
    return value
