"""``cloud-connect support-bundle``: one file for whoever is asked for help."""

import contextlib
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cloud_connect.command_line import FiniteRange
from cloud_connect.errors import CloudConnectError
from cloud_connect.terminal import print_json, table
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.terminal import note
from cloud_connect_agent.control import AgentNotRunningError
from cloud_connect_agent.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cloud_connect_agent.paths import AgentPaths
    from cloud_connect_agent.support import Bundle, Part, Scrubber

__all__ = ["support_bundle"]

_DOCTOR_SECONDS: Final = 120.0
_MAX_DAYS: Final = 30
_WHO: Final = ("username", "login")  # settings that name a person
_LEFT_OUT: Final = (
    "No secrets, keys or tokens; no bodies, records, query values or file contents of calls.",
    "Sign-in names and e-mail addresses are ***, the folder of this account is ~.",
)


@click.command(
    epilog=(
        "The file is yours alone to read (0600). Look into it before you send it: all of it is "
        "text.\n\n"
        "\b\nExamples:\n  cloud-connect support-bundle --preview\n"
        "  cloud-connect support-bundle -o bundle.zip --days 1\n"
        "  cloud-connect support-bundle -o - > bundle.zip"
    )
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="Where to write it; - for standard output.  [default: cloud-connect-support-TIME.zip in "
    "this folder or, if that is not the account's to write, beside the logs]",
)
@click.option("--preview", is_flag=True, help="Write nothing; list what would be inside.")
@click.option(
    "--days",
    type=FiniteRange(0, _MAX_DAYS),
    default=3.0,
    show_default=True,
    help="How much of the log.",
)
@shared_options
@pass_invocation
def support_bundle(
    invocation: Invocation, *, output: Path | None, preview: bool, days: float
) -> None:
    """Collect what helps others to help: status, checks, settings, logs; no secrets, no data."""
    to_stdout = output is not None and str(output) == "-"
    if to_stdout and (invocation.json or (sys.stdout.isatty() and not preview)):
        raise click.UsageError("-o - needs a file to be redirected to, and no --json.")
    file = output or _usual_file(invocation.paths)
    if not (preview or to_stdout) and os.path.lexists(file):
        raise CloudConnectError(f"{file} is there already; name another file with -o FILE.")
    invocation.configure_logs()
    bundle = _collect(invocation, days)
    size = None
    if not preview:
        size = _write(bundle, None if to_stdout else file)
        _record(invocation.paths, size)
    if invocation.json:
        written = None if preview else str(file.absolute())
        print_json({"file": written, "bytes": size, "manifest": bundle.manifest()})
    elif not to_stdout or preview:
        _show(bundle)
        if size is None:
            note("Nothing was written; run it without --preview for the file.")
        else:
            click.echo(f"Written to {file} ({_kilobytes(size)}). Look into it before you send it.")


def _usual_file(paths: "AgentPaths") -> Path:
    """Return where the bundle goes if nobody says: here or, as a service's account, its logs."""
    name = time.strftime("cloud-connect-support-%Y%m%dT%H%M%SZ.zip", time.gmtime())
    return Path(name) if os.access(".", os.W_OK) else paths.log_dir / name


def _write(bundle: "Bundle", file: Path | None) -> int:
    if file is not None:
        return bundle.write(file)
    return bundle.pour(sys.stdout.buffer)


def _record(paths: "AgentPaths", size: int) -> None:
    from cloud_connect_agent.cli.recording import record_event

    with contextlib.suppress(OSError):  # the folder is another account's
        if paths.audit_dir.is_dir():
            record_event(paths, "support.bundle_made", bytes=size)


def _show(bundle: "Bundle") -> None:
    rows = [
        (part.name, _kilobytes(len(part.data)), part.purpose, ", ".join(part.holds))
        for part in bundle.parts
    ]
    table(("File", "Size", "What for", "Names in it"), rows)
    click.echo()
    for remark in bundle.remarks:
        click.echo(remark)


def _collect(invocation: Invocation, days: float) -> "Bundle":
    from cloud_connect_agent.support import Bundle, Scrubber, learn_vault

    closed = learn_vault(invocation.paths)
    remarks = list(_LEFT_OUT)
    if closed is not None:
        remarks.append(
            f"The vault could not be opened, so secrets are told by name and shape only: {closed}"
        )
    parts: list[Part] = []
    for part in _parts(invocation, Scrubber(_home()), days, remarks):
        parts.append(part)  # noqa: PERF402 - remarks come along while parts are made
    made_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Bundle(parts=parts, version=VERSION, made_at=made_at, remarks=remarks)


def _parts(
    invocation: Invocation, scrubber: "Scrubber", days: float, remarks: list[str]
) -> "Iterator[Part]":
    from cloud_connect_agent.cli.status import status_document
    from cloud_connect_agent.support import Part
    from cloud_connect_agent.support.log_extract import log_extract
    from cloud_connect_agent.support.statistics import audit_statistics, journal_statistics
    from cloud_connect_agent.support.surroundings import file_list, machine

    paths = invocation.paths
    yield Part(
        name="status.json",
        purpose="is it connected, and if not, why",
        data=scrubber.dump(_told(lambda: status_document(invocation))),
        holds=("relay", "this connector", "companies"),
    )
    yield Part(
        name="doctor.json",
        purpose="what was checked, and what failed",
        data=scrubber.dump(_doctor(invocation)),
        holds=("hosts",),
    )
    yield Part(
        name="config.json",
        purpose="every setting and who set it",
        data=scrubber.dump(_told(lambda: _config(invocation))),
        holds=("hosts", "companies"),
    )
    yield Part(
        name="policy.json",
        purpose="what this PC lets through",
        data=scrubber.dump(_told(lambda: _policy(invocation))),
        holds=("companies", "projects"),
    )
    yield Part(
        name="journal.json",
        purpose="how many writes are in which state",
        data=scrubber.dump(_told(lambda: journal_statistics(paths.journal_file))),
    )
    yield Part(
        name="audit.json",
        purpose="how often what was done and refused",
        data=scrubber.dump(_told(lambda: audit_statistics(paths.audit_dir))),
        holds=("names of policy rules",),
    )
    yield Part(
        name="machine.json",
        purpose="kind of machine, versions",
        data=scrubber.dump(machine()),
    )
    yield Part(
        name="files.json",
        purpose="whose the agent's files are",
        data=scrubber.dump(_told(lambda: file_list(paths))),
        holds=("numbers of accounts",),
    )
    data, cut = b"", False
    try:
        data, cut = log_extract(paths.log_file, scrubber, days=days)
    except OSError as exc:
        remarks.append(f"The log cannot be read: {exc.strerror}.")
    if cut:
        remarks.append("Of the log only the newest part fits.")
    yield Part(
        name="logs/agent.log",
        purpose=f"the log of the last {days:g} days",
        data=data,
        holds=("hosts", "numbers of calls, companies, projects"),
    )


def _told(tell: "Callable[[], object]") -> object:
    """Return what is told, or why nothing is: one part that fails must not cost the others."""
    try:
        return tell()
    except CloudConnectError as exc:
        return {"problem": exc.message}
    except OSError as exc:
        return {"problem": f"It cannot be read: {exc.strerror}."}


def _doctor(invocation: Invocation) -> object:
    """Return what `doctor` finds, in a process of its own: it may hang where this must not."""
    import json

    command = [sys.executable, "-m", "cloud_connect_agent"]
    if invocation.home is not None:
        command += ["--home", str(invocation.home)]
    try:
        ended = subprocess.run(
            [*command, "doctor", "--json"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_DOCTOR_SECONDS,
            check=False,
        )
        return json.loads(ended.stdout)
    except subprocess.TimeoutExpired:
        return {"problem": f"It did not end within {_DOCTOR_SECONDS:.0f} s."}
    except (OSError, ValueError):
        return {"problem": "It could not be run."}


def _config(invocation: Invocation) -> object:
    from cloud_connect.redact import MASK
    from cloud_connect_agent.cli.config import running_settings, settings_document

    running = True
    try:
        rows = running_settings(invocation)
    except AgentNotRunningError:
        running = False
        rows = settings_document(invocation)
    for row in rows:
        if row["value"] and str(row["name"]).rpartition(".")[2] in _WHO:
            row["value"] = MASK
    return {"of_the_running_agent": running, "settings": rows}


def _policy(invocation: Invocation) -> dict[str, Any]:
    """Return the rules without their remarks, which may say anything."""
    from cloud_connect_agent.cli.policy_loading import current_policy

    document: dict[str, Any] = {}
    try:
        document["summary"] = current_policy(invocation).summary()
        text = invocation.paths.policy_file.read_text("utf-8")
        document["rules"] = tomllib.loads(text)
    except FileNotFoundError:
        document["problem"] = "There is no policy.toml."
    except (OSError, ValueError) as exc:
        document["problem"] = f"It cannot be read ({type(exc).__name__})."
    return document


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # an account without one
        return None


def _kilobytes(size: int) -> str:
    return f"{size} B" if size < 1024 else f"{size / 1024:.0f} KB"
