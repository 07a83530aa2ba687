"""``--environment``: Procore's environments as the command line writes them."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from cloud_connect.calls import Environment

__all__ = ["environment_option"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def environment_option(
    *, required: bool = True, default: str | None = None
) -> Callable[[_Function], _Function]:
    """Add ``--environment``, which the command gets as an :class:`Environment`."""
    flags = [environment.flag for environment in Environment]
    return click.option(
        "--environment",
        type=click.Choice(flags),
        required=required,
        default=default,
        show_default=default is not None,
        callback=_convert,
    )


def _convert(_: click.Context, __: click.Parameter, value: str | None) -> Environment | None:
    return None if value is None else Environment(value.replace("-", "_"))
