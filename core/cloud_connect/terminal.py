"""What commands print as their result, on standard output."""

from collections.abc import Iterable, Sequence
from typing import Any

import click

__all__ = ["fields", "print_json", "table"]


def print_json(document: Any) -> None:
    """Print the one JSON document of a command."""
    import json  # most commands print text

    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def fields(rows: Iterable[tuple[str, str | None]]) -> None:
    """Print names and values in two columns; rows without a value are left out."""
    shown = [(name, value) for name, value in rows if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{click.style(name.ljust(width), dim=True)}  {value}")


def table(head: Sequence[str], rows: Iterable[Sequence[str | None]]) -> None:
    """Print rows in columns below a head; a dash stands for nothing."""
    lines = [[cell or "-" for cell in row] for row in (head, *rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    for number, line in enumerate(lines):
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        text = "  ".join(cells).rstrip()
        click.echo(text if number else click.style(text, dim=True))
