"""What administrative commands print, on standard output."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from cloud_connect.terminal import print_json, table

__all__ = ["print_items", "print_revoked", "secret"]


def secret(name: str, value: str) -> None:
    """Print a secret alone on its line, so that it can be copied as a whole."""
    click.echo(f"\n{click.style(name, dim=True)}\n{click.style(value, bold=True)}")


def print_items(
    items: Sequence[Mapping[str, Any]],
    *,
    as_json: bool,
    head: Sequence[str],
    row: Callable[[Mapping[str, Any]], Sequence[str | None]],
    empty: str,
) -> None:
    """Print all items as a document, or in columns.

    Args:
        row: Picks an item's cells, as many as *head* has.
        empty: The sentence that says that there are none.
    """
    if as_json:
        print_json({"items": items})
    elif items:
        table(head, [row(item) for item in items])
    else:
        click.echo(empty)


def print_revoked(identifier: str, *, as_json: bool, sentence: str) -> None:
    """Print that something is revoked, as a document or in a sentence."""
    if as_json:
        print_json({"id": identifier, "revoked": True})
    else:
        click.echo(sentence)
