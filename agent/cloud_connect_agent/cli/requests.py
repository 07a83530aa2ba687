"""``cloud-connect requests``: the calls that come through, without their data."""

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from cloud_connect.errors import CloudConnectError
from cloud_connect.terminal import print_json
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.terminal import note
from cloud_connect_agent.control import AgentNotRunningError, ask

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["requests"]

_WAIT_SECONDS: Final = 5.0  # that the agent may think nothing happens before it says so
_PAUSE_SECONDS: Final = 0.5  # between two questions that were answered at once, with nothing
_COLUMNS: Final = "{:<18}  {:<11}  {:<20}  {:<12}  {:>6}  {:>3}  {}"
_COLOURS: Final = {"completed": "green", "not_executed": "yellow", "unknown": "red"}


@click.command(
    epilog=(
        "Nothing that was asked or answered is shown, so it may be shown to anybody.\n\n"
        "\b\nExamples:\n  cloud-connect requests -n 100\n  cloud-connect requests --follow"
    )
)
@click.option("-f", "--follow", is_flag=True, help="Go on printing calls, until Ctrl-C.")
@click.option(
    "-n",
    "--last",
    "count",
    type=click.IntRange(0, 10_000),
    default=20,
    show_default=True,
    help="How many of the last calls to begin with.",
)
@shared_options
@pass_invocation
def requests(invocation: Invocation, *, follow: bool, count: int) -> None:
    """Show the last calls: when, which, what for, how it ended, and where the time went.

    A running agent knows the milliseconds of its last 500 calls; older ones are in the audit
    log. With --follow --json each call is a line of its own.
    """
    found, start = _last_calls(invocation, count)
    if not follow:
        if invocation.json:
            print_json({"items": found})
        elif not found:
            note("No call has come through yet.")
        else:
            _head()
            for call in found:
                click.echo(_row(call))
        return
    if not invocation.json:
        _head()
    with contextlib.suppress(KeyboardInterrupt):
        for call in found:
            _show(call, as_json=invocation.json)
        for call in _live(invocation.paths.control_socket, start):
            _show(call, as_json=invocation.json)


def _last_calls(
    invocation: Invocation, count: int
) -> tuple[list[dict[str, Any]], tuple[str | None, int]]:
    """Return the last calls, and which process's number they end with."""
    live: list[dict[str, Any]] = []
    start: tuple[str | None, int] = (None, 0)
    with contextlib.suppress(AgentNotRunningError):
        request = {"command": "requests", "limit": count}
        answer = ask(invocation.paths.control_socket, request)
        live, start = answer["items"], (answer["epoch"], answer["next"])
    known = {call["call_id"] for call in live}
    older = [call for call in _recorded(invocation, count) if call["call_id"] not in known]
    missing = max(0, count - len(live))
    return [*older[:missing][::-1], *live], start


def _recorded(invocation: Invocation, count: int) -> Iterator[dict[str, Any]]:
    """Yield the last *count* calls of the audit log, the newest first."""
    from itertools import islice

    from cloud_connect_agent.audit import AuditFolder
    from cloud_connect_agent.audit.reading import newest_records

    folder = AuditFolder(invocation.paths.audit_dir)
    try:
        if not folder.path.is_dir():
            return
        every: Iterator[dict[str, Any]] = (record.fields() for record in newest_records(folder))
        for facts in islice((one for one in every if one.get("action") == "call"), count):
            detail = facts.get("detail") or {}
            yield {
                "seq": None,
                "time": facts.get("time"),
                "call_id": facts.get("call_id"),
                **{name: value for name, value in detail.items() if name != "accesses"},
                "status": facts.get("status"),
                "code": detail.get("code"),
                "ms": None,
                "hops": {},
            }
    except OSError as exc:
        raise CloudConnectError(
            f"The audit log cannot be read: {exc.strerror}; run the command as the account that "
            "runs the agent, or as an administrator."
        ) from exc


def _live(path: "Path", start: tuple[str | None, int]) -> Iterator[dict[str, Any]]:
    """Yield calls as they end, across restarts of the agent.

    Args:
        start: Which process's calls were shown already, and up to which number.
    """
    epoch, after = start
    away = False
    while True:
        request = {"command": "requests", "after": after, "wait": _WAIT_SECONDS}
        began = time.monotonic()
        try:
            answer = ask(path, request, timeout=_WAIT_SECONDS + 10.0)
        except AgentNotRunningError as exc:
            if not away:
                note(f"{exc.message} Waiting for it.")
            away = True
            time.sleep(_PAUSE_SECONDS)
            continue
        if away or (epoch is not None and answer["epoch"] != epoch):
            note("The agent was restarted." if answer["epoch"] != epoch else "It answers again.")
        away = False
        if answer["epoch"] != epoch and after:
            epoch, after = answer["epoch"], 0  # the numbers were its predecessor's
            continue
        epoch, after = answer["epoch"], answer["next"]
        if answer["lost"]:
            note(f"{answer['lost']} calls came faster than they could be shown.")
        yield from answer["items"]
        if not answer["items"] and time.monotonic() - began < _PAUSE_SECONDS:
            time.sleep(_PAUSE_SECONDS)


def _show(call: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        import json

        click.echo(json.dumps(call, ensure_ascii=False))
    else:
        click.echo(_row(call))


def _head() -> None:
    titles = _cells("Time (UTC)", "Operation", "Resource", "Outcome", "ms", "", "Call")
    click.echo(click.style(titles, dim=True))


def _row(call: dict[str, Any]) -> str:
    outcome = _plain(call.get("outcome"))
    ms, status = call.get("ms"), call.get("status")
    row = _cells(
        _plain(call.get("time"))[5:23].replace("T", " "),
        _plain(call.get("operation")).removeprefix("records."),
        _plain(call.get("resource")),
        outcome,
        "-" if ms is None else f"{ms:.0f}",
        "-" if status is None else str(status),
        _plain(call.get("call_id")),
    )
    told = _plain(call["code"]) if call.get("code") else _longest(call.get("hops") or {})
    painted = row.replace(outcome, click.style(outcome, fg=_COLOURS.get(outcome)), 1)
    return f"{painted}  {told}".rstrip()


def _cells(*cells: str) -> str:
    return _COLUMNS.format(*cells)


def _longest(hops: dict[str, float]) -> str:
    """Say where most of the time went, if it took any."""
    parts = {name: spent for name, spent in hops.items() if name != "agent" and spent >= 1}
    if not parts:
        return ""
    name = max(parts, key=lambda one: parts[one])
    return f"{_plain(name)} {parts[name]:.0f}"


def _plain(value: object) -> str:
    """Return a word that a terminal shows and does not obey."""
    text = "-" if value is None else str(value)
    return "".join(letter if letter.isprintable() else "?" for letter in text)
