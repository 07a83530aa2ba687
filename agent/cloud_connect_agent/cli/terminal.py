"""What a person at the terminal is told beside results, and asked."""

import sys
from typing import Final

import click

__all__ = ["ask_secret", "mark", "note"]

_MARKS: Final = {
    "PASS": ("✓", "green"),
    "WARN": ("!", "yellow"),
    "FAIL": ("✗", "red"),
    "SKIP": ("-", "bright_black"),
}
_ASCII: Final = {"✓": "ok", "✗": "x"}


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
