"""What the command lines of both ends do alike: options, finding commands, showing errors."""

import errno
import math
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from cloud_connect.errors import CloudConnectError
from cloud_connect.live_secrets import mask_live_text
from cloud_connect.redact import redact_text

__all__ = [
    "CommandsByName",
    "ExitStatus",
    "FiniteRange",
    "SharedOptions",
    "run_and_exit",
    "shared_options_of",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])


class ExitStatus(IntEnum):
    """What a command's exit status says."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_ENROLLED = 3
    NOT_CONNECTED = 4
    SIGN_IN_NEEDED = 5
    REFUSED_BY_POLICY = 6
    BAD_CONFIGURATION = 78  # EX_CONFIG of sysexits.h


class FiniteRange(click.FloatRange):
    """A number between two; ``nan``, which no comparison would catch, is none."""

    def convert(
        self, value: float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number, or say why it is none."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number.", param, ctx)
        return number


@dataclass(slots=True, kw_only=True)
class SharedOptions:
    """What stood before or after the command; each end adds the folder of its own."""

    json: bool = False
    debug: bool = False


def shared_options_of(
    options: type[SharedOptions], *, folder: str, variable: str, purpose: str
) -> Callable[[_Function], _Function]:
    """Return the decorator that adds the options that every command of an end takes.

    Args:
        options: Keeps what was given, in attributes named as the options.
        folder: The option that names the end's folder.
        variable: The environment variable that names it too.
        purpose: What the folder is for, in a sentence.
    """

    def remember(context: click.Context, parameter: click.Parameter, value: object) -> None:
        """Keep what was given; a command's own option wins over one before it."""
        name = parameter.name or ""
        kept = context.ensure_object(options)
        given = context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if value and (given or not getattr(kept, name)):
            setattr(kept, name, value)

    def add(function: _Function) -> _Function:
        for option in reversed(
            (
                click.option(
                    folder,
                    # Whether it can be read is told by who reads, with what to do about it.
                    type=click.Path(file_okay=False, readable=False, path_type=Path),
                    metavar="DIR",
                    envvar=variable,
                    help=f"{purpose}  [env: {variable}]",
                    expose_value=False,
                    is_eager=True,
                    callback=remember,
                ),
                click.option(
                    "--json",
                    is_flag=True,
                    help="Print one JSON document instead of text.",
                    expose_value=False,
                    is_eager=True,
                    callback=remember,
                ),
                click.option(
                    "--debug",
                    is_flag=True,
                    help="Log in detail, and show where an error comes from.",
                    expose_value=False,
                    is_eager=True,
                    callback=remember,
                ),
            )
        ):
            function = option(function)
        return function

    return add


class CommandsByName(click.Group):
    """Imports a command's module when it is used: the others would only cost time."""

    def __init__(
        self,
        *args: Any,
        modules: Mapping[str, str],
        aliases: Mapping[str, str] | None = None,
        **attributes: Any,
    ) -> None:
        """Take the commands.

        Args:
            modules: Where each command is, as an attribute of its name (with underscores), in
                order of need.
            aliases: Other spellings of the commands, which no help lists.
        """
        super().__init__(*args, **attributes)
        self._modules = modules
        self._aliases = aliases or {}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order in which they are needed."""
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the command."""
        name = self._aliases.get(cmd_name, cmd_name)
        if name not in self._modules:
            return None
        _import_structlog()
        command: click.Command = getattr(import_module(self._modules[name]), name.replace("-", "_"))
        return command


def _import_structlog() -> None:
    """Import structlog without rich, which it looks for to print tracebacks in colours.

    We print none of these, and to import rich takes a fifth of a command's start.
    """
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # Python's own sign for "not there"
    try:
        import_module("structlog")
    finally:
        del sys.modules["rich"]


def run_and_exit(
    command: click.Command,
    arguments: Sequence[str] | None,
    *,
    program: str,
    status_of: Callable[[CloudConnectError], ExitStatus],
) -> NoReturn:
    """Run the command line and exit with the status that says how it went.

    Args:
        arguments: Those of the process, if ``None``.
        program: The name that a person typed.
        status_of: Which status each of our errors means.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_run(command, given, program, status_of))


def _run(
    command: click.Command,
    arguments: list[str],
    program: str,
    status_of: Callable[[CloudConnectError], ExitStatus],
) -> int:
    try:
        result = command.main(arguments, program, standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        return ExitStatus.FAILED
    except Exception as exc:  # noqa: BLE001  the border of the process: no traceback for people
        if _reader_left(exc):  # such as `head`; spare Python's complaint at exit
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
            return ExitStatus.FAILED
        known = _known(exc)
        debug = "--debug" in arguments
        if debug:
            told = redact_text("".join(traceback.format_exception(exc)))
            click.echo(mask_live_text(told), err=True, nl=False)
        if known is not None:
            _show(known.message)
            return status_of(known)
        if isinstance(exc, OSError) and exc.strerror and isinstance(exc.filename, str | bytes):
            _show(_unusable(exc))
            return ExitStatus.FAILED
        advice = "please report it" if debug else "run the command again with --debug and report it"
        _show(f"Something unexpected happened ({_name(exc)}); {advice}.")
        return ExitStatus.FAILED
    return result if isinstance(result, int) else ExitStatus.DONE


def _reader_left(error: Exception) -> bool:
    """Whether nobody reads the output any more; Windows calls that an argument without a name."""
    if isinstance(error, BrokenPipeError):
        return True
    invalid = isinstance(error, OSError) and error.errno == errno.EINVAL
    return os.name == "nt" and invalid and getattr(error, "filename", None) is None


def _show(sentence: str) -> None:
    told = mask_live_text(sentence)
    click.echo(f"{click.style('Error:', fg='red')} {told}", err=True)


def _unusable(error: OSError) -> str:
    """Say what is the matter with a file that the system refuses, and what to do."""
    said = f"{os.fsdecode(error.filename)} cannot be used: {error.strerror}"
    if isinstance(error, PermissionError):
        return f"{said}; run the command as the account that it belongs to, or as an administrator."
    if error.errno == errno.ENOSPC:
        return f"{said}; make room there and run the command again."
    return f"{said}."


def _name(error: BaseException) -> str:
    """Return the kind of the error, of the first one in a group."""
    if isinstance(error, BaseExceptionGroup):
        return _name(error.exceptions[0])
    return type(error).__name__


def _known(error: BaseException) -> CloudConnectError | None:
    """Return the error of ours, which a task group may have wrapped."""
    if isinstance(error, CloudConnectError):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = (_known(inner) for inner in error.exceptions)
        return next((inner for inner in found if inner is not None), None)
    return None
