"""What commands print: results on standard output, everything else on standard error."""

from collections.abc import Iterable, Sequence
from typing import Any

import click

__all__ = ["fields", "print_json", "secret", "table"]


def print_json(document: Any) -> None:
    """Print the one JSON document of a command."""
    import json

    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def fields(rows: Iterable[tuple[str, str | None]]) -> None:
    """Print names and values in two columns; rows without a value are left out."""
    shown = [(name, value) for name, value in rows if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{click.style(name.ljust(width), dim=True)}  {value}")


def secret(name: str, value: str) -> None:
    """Print a secret alone on its line, so that it can be copied as a whole."""
    click.echo(f"\n{click.style(name, dim=True)}\n{click.style(value, bold=True)}")


def table(head: Sequence[str], rows: Sequence[Sequence[str | None]], *, empty: str) -> None:
    """Print rows in columns, or say that there are none."""
    if not rows:
        click.echo(empty)
        return
    lines = [[cell or "-" for cell in row] for row in (head, *rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    for number, line in enumerate(lines):
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        text = "  ".join(cells).rstrip()
        click.echo(text if number else click.style(text, dim=True))
