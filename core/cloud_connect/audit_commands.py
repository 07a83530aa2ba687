"""What the audit commands of both ends take and give alike: times, checkpoints, exports."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloud_connect.errors import CloudConnectError

if TYPE_CHECKING:
    from cloud_connect.audit import ChainedRecord, Checkpoint

__all__ = ["export_to", "read_checkpoints", "time_range"]


class _Moment(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    """A date, or how long ago."""

    name = "time"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return it as UNIX seconds."""
        from cloud_connect.audit import parse_moment

        if isinstance(value, int | float):
            return float(value)
        try:
            return parse_moment(value, now=time.time())
        except ValueError as exc:
            self.fail(f"{value!r}: {exc}.", param, ctx)


def time_range(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--since`` and ``--until``, as UNIX seconds."""
    since = click.option(
        "--since", type=_Moment(), metavar="TIME", help="From then on: 24h, 2026-11-24, …"
    )
    until = click.option("--until", type=_Moment(), metavar="TIME", help="Before then.")
    return since(until(command))


def read_checkpoints(file: Path) -> "list[Checkpoint]":
    """Return the checkpoints that the other end printed into a file.

    Raises:
        CloudConnectError: If the file cannot be read, is empty, or holds anything else.
    """
    from pydantic import ValidationError

    from cloud_connect.audit import Checkpoint

    try:
        lines = [line for line in file.read_bytes().splitlines() if line.strip()]
        found = [Checkpoint.model_validate_json(line) for line in lines]
    except OSError as exc:
        raise CloudConnectError(f"{file} cannot be read: {exc.strerror}.") from exc
    except ValidationError as exc:
        raise CloudConnectError(f"{file} holds something that is no checkpoint.") from exc
    if not found:
        raise CloudConnectError(
            f"{file} is empty, so nothing can be compared: the other end held no checkpoint when "
            "it was written. Write it again once both have been connected for a minute."
        )
    return found


@contextmanager
def export_to(output: str) -> "Iterator[Callable[[ChainedRecord], None]]":
    """Yield what writes a record as a line, to a file or to standard output (``-``).

    Raises:
        CloudConnectError: If the file cannot be written.
    """
    try:
        with click.open_file(output, "wb") as file:
            yield lambda record: _write(file.write, record)
    except BrokenPipeError:
        raise  # whoever read the output has enough of it
    except OSError as exc:
        place = "The output" if output == "-" else output
        raise CloudConnectError(f"{place} cannot be written: {exc.strerror or exc}.") from exc


def _write(write: Callable[[bytes], object], record: "ChainedRecord") -> None:
    write(record.line() + b"\n")
