"""``cloud-connect doctor``: why is this PC offline, and what to do about it."""

import os
import re
import shutil
import sys
import textwrap
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import click

from cloud_connect.calls import MAX_ID
from cloud_connect.command_line import ExitStatus
from cloud_connect.terminal import print_json
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.terminal import mark

if TYPE_CHECKING:
    from cloud_connect_agent.doctor import Finding, Report

__all__ = ["doctor"]

_COLOURS: Final = {"PASS": "green", "WARN": "yellow", "FAIL": "red"}
_WORKERS: Final = 16  # checks that block, such as those of the disk, do so side by side
_WORKER_NAME: Final = "doctor"
_LEAVE_SECONDS: Final = 0.5  # for workers to end; who hangs then is left behind
_COMMAND: Final = re.compile("`cloud-connect (?!service)")  # a service has its folder already
_WIDEST: Final = 110  # columns; longer lines are hard to read


@click.command(
    epilog=(
        "Exit status: 0 if nothing failed, else 1. docs/troubleshooting.md explains each code.\n\n"
        "\b\nExamples:\n"
        "  cloud-connect doctor\n"
        "  cloud-connect doctor --only tls --only relay\n"
        "  cloud-connect doctor --company 4242\n"
        "  cloud-connect doctor --offline --json"
    )
)
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Report this check only, such as dns; may be given several times.",
)
@click.option(
    "--company",
    "companies",
    type=click.IntRange(1, MAX_ID),
    multiple=True,
    metavar="ID",
    help="Test this company, too, if neither policy nor account names it; may be given several "
    "times.",
)
@click.option("--offline", is_flag=True, help="Leave out what talks to other machines.")
@shared_options
@pass_invocation
def doctor(
    invocation: Invocation, *, only: tuple[str, ...], companies: tuple[int, ...], offline: bool
) -> int:
    """Find out why this PC is offline: one line for each check, in order of cause.

    It works whether the agent runs or not, does not disturb it, and writes nothing but a file
    without a name, to time the disk. It takes half a minute at most.
    """
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    from cloud_connect_agent.doctor import CHECKS, examine, open_case

    known = [check.name for check in CHECKS]
    for name in only:
        if name not in known:
            raise click.UsageError(f"There is no check {name!r}; there are {', '.join(known)}.")
    invocation.configure_logs(level="error")
    workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix=_WORKER_NAME)

    async def run() -> "Report":
        asyncio.get_running_loop().set_default_executor(workers)
        async with open_case(invocation.paths, invocation.settings) as case:
            case.companies = companies
            return await examine(case, CHECKS, only=only, offline=offline)

    runner = asyncio.Runner()
    report = _typeable(runner.run(run()), invocation.hint())
    if invocation.json:
        print_json(report.as_json())
    else:
        _show(report)
    status = ExitStatus.FAILED if report.failed else ExitStatus.DONE
    workers.shutdown(wait=False, cancel_futures=True)
    if _hangs():
        # A look-up or a disk that hangs cannot be cancelled; a person has the answer already.
        sys.stdout.flush()
        os._exit(status)
    runner.close()
    return status


def _typeable(report: "Report", hint: str) -> "Report":
    """Have the commands that it names work on the same folder when a person types them."""
    if not hint:
        return report
    return replace(
        report,
        findings=tuple(
            # By a function: the hint may hold backslashes, which mean something in a replacement.
            replace(one, fix=_COMMAND.sub(lambda _: f"`cloud-connect{hint} ", one.fix))
            for one in report.findings
        ),
    )


def _show(report: "Report") -> None:
    name_width = max((len(one.name) for one in report.findings), default=0)
    for one in report.findings:
        _show_one(one, name_width)
    first = report.start_with
    colour = "green" if first is None else _COLOURS[first.status.value]
    click.echo(click.style(report.summary, fg=colour, bold=True))


def _show_one(one: "Finding", name_width: int) -> None:
    word = one.status.value
    sign = mark(word if one.checked else "SKIP")
    styled = click.style(word, fg=_COLOURS[word]) if one.checked else click.style(word, dim=True)
    lead = f"{sign} {styled}  {one.name.ljust(name_width)}  "
    indent = len(click.unstyle(lead))
    click.echo(lead + _wrapped(one.cause, indent))
    if one.fix:
        click.echo(" " * indent + _wrapped(f"{one.code}: {one.fix}", indent))


def _wrapped(text: str, indent: int) -> str:
    """Fit the text beside the first columns of a terminal; elsewhere it stays on one line."""
    if not sys.stdout.isatty():
        return text
    width = min(shutil.get_terminal_size().columns, _WIDEST) - indent
    if width < 30:
        return text
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return f"\n{' ' * indent}".join(lines)


def _hangs() -> bool:
    """Whether a worker goes on, although nobody waits for it."""
    until = time.monotonic() + _LEAVE_SECONDS
    while any(thread.name.startswith(_WORKER_NAME) for thread in threading.enumerate()):
        if time.monotonic() >= until:
            return True
        time.sleep(0.01)
    return False
