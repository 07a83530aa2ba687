"""What commands print: results on standard output, everything else on standard error."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

import click

__all__ = ["ask_secret", "fields", "mark", "note", "print_json", "table"]

_MARKS: Final = {
    "PASS": ("✓", "green"),
    "WARN": ("!", "yellow"),
    "FAIL": ("✗", "red"),
    "SKIP": ("-", "bright_black"),
}
_ASCII: Final = {"✓": "ok", "✗": "x"}


def print_json(document: Any) -> None:
    """Print the one JSON document of a command."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def note(sentence: str) -> None:
    """Tell the person something that is not the result."""
    click.echo(sentence, err=True)


def mark(status: str) -> str:
    """Return the sign of PASS, WARN, FAIL or SKIP, in colour on a terminal."""
    sign, colour = _MARKS[status]
    encoding = sys.stdout.encoding or "ascii"
    try:
        sign.encode(encoding)
    except UnicodeEncodeError:
        sign = _ASCII.get(sign, sign)
    return click.style(sign, fg=colour)


def fields(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values in two columns; rows without a value are left out."""
    rows = [(name, value) for name, value in rows if value]
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        click.echo(f"{click.style(name.ljust(width), dim=True)}  {value}")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in (head, *rows)
    ]
    click.echo(click.style(lines[0].rstrip(), dim=True))
    for line in lines[1:]:
        click.echo(line.rstrip())


def ask_secret(prompt: str, *, what: str, max_characters: int = 2000) -> str:
    """Return a secret: typed unseen on a terminal, else the whole of standard input.

    Raises:
        click.UsageError: If it is empty or too long.
    """
    if sys.stdin.isatty():
        text = str(click.prompt(prompt, hide_input=True, err=True, default="", show_default=False))
    else:
        text = sys.stdin.read(max_characters + 2)
    text = text.strip("\r\n")
    if not text.strip():
        raise click.UsageError(f"{what} is empty; give it on standard input.")
    if len(text) > max_characters:
        raise click.UsageError(f"{what} is longer than {max_characters} characters.")
    return text
