"""What ``backup`` and ``restore`` of both ends take alike: the passphrase, never as an argument."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import click

from cloud_connect.live_secrets import learn_secret

__all__ = ["ask_passphrase", "passphrase_option"]

_Function = TypeVar("_Function", bound=Callable[..., object])

_LEAST_CHARACTERS: Final = 12
_MOST_CHARACTERS: Final = 1024


def passphrase_option(command: _Function) -> _Function:
    """Add ``--passphrase-file``."""
    return click.option(
        "--passphrase-file",
        type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
        metavar="FILE",
        help="Take the passphrase from the first line of FILE (-: standard input).",
    )(command)


def ask_passphrase(file: Path | None, *, new: bool) -> str:
    """Return the passphrase: of the file, or typed unseen; a new one is typed twice.

    Args:
        new: It shall protect something, and not open it.

    Raises:
        click.UsageError: If there is none to be had, or it is too short to protect anything.
    """
    if file is not None:
        text = _first_line(file)
    elif sys.stdin.isatty():
        text = str(
            click.prompt(
                "Passphrase of the backup", hide_input=True, confirmation_prompt=new, err=True
            )
        )
    else:
        raise click.UsageError("Say --passphrase-file FILE where nobody can be asked.")
    learn_secret(text)
    if new and len(text) < _LEAST_CHARACTERS:
        raise click.UsageError(
            f"The passphrase has to have {_LEAST_CHARACTERS} characters or more: whoever finds the "
            "backup can try as many as he likes."
        )
    if not text:
        raise click.UsageError("The passphrase is empty.")
    return text


def _first_line(file: Path) -> str:
    try:
        with click.open_file(str(file), encoding="utf-8") as source:
            line: str = source.readline(_MOST_CHARACTERS + 1)
            return line.rstrip("\r\n")[:_MOST_CHARACTERS]
    except PermissionError as exc:
        raise click.UsageError(
            f"The account that runs this command may not read {file}; `--passphrase-file - < "
            f"{file}` has your own account read it."
        ) from exc
    except OSError as exc:
        raise click.UsageError(f"{file} cannot be read: {exc.strerror}.") from exc
    except UnicodeDecodeError as exc:
        raise click.UsageError(f"{file} cannot be read as text.") from exc
