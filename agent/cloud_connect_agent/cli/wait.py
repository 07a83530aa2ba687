"""``cloud-connect wait``: for scripts that go on when the agent is connected, idle or gone."""

import time
from typing import Any, Final

import click

from cloud_connect.command_line import ExitStatus, FiniteRange
from cloud_connect.terminal import print_json
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.terminal import note
from cloud_connect_agent.control import AgentNotAnsweringError, AgentNotRunningError, ask

__all__ = ["wait"]

_POLL_SECONDS: Final = 0.2
_PATIENCE: Final = 5.0  # seconds for one answer of an agent that stands still
_MAX_SECONDS: Final = 86400.0
_STATES: Final = ("connected", "drained", "stopped")


@click.command(
    epilog=(
        "Exit status: 0 as soon as it is so, 3 if this PC is not enrolled, else 4 when the time "
        "is up.\n\n"
        "\b\nExamples:\n"
        "  cloud-connect wait --for connected && echo ready\n"
        "  cloud-connect pause && cloud-connect wait --for drained --timeout 300"
    )
)
@click.option(
    "--for",
    "state",
    type=click.Choice(_STATES),
    default="connected",
    show_default=True,
    help="connected: calls can come through; drained: none runs and none is taken; stopped: no "
    "agent runs.",
)
@click.option(
    "--timeout",
    "seconds",
    type=FiniteRange(0, _MAX_SECONDS),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait; 0 looks once.",
)
@shared_options
@pass_invocation
def wait(invocation: Invocation, *, state: str, seconds: float) -> int:
    """Wait until the agent on this PC is connected, drained or stopped."""
    if state == "connected":
        invocation.enrolled()
    began = time.monotonic()
    while True:
        seen = _look(invocation)
        reached = _is(state, seen)
        waited = time.monotonic() - began
        if reached or waited >= seconds:
            break
        time.sleep(min(_POLL_SECONDS, seconds - waited))
    if invocation.json:
        print_json(
            {
                "for": state,
                "reached": reached,
                "state": seen["state"],
                "error": seen.get("error"),
                "waited_seconds": round(waited, 1),
            }
        )
    elif reached:
        click.echo(f"{state.capitalize()}.")
    else:
        note(_why_not(state, seen, seconds))
    return ExitStatus.DONE if reached else ExitStatus.NOT_CONNECTED


def _look(invocation: Invocation) -> dict[str, Any]:
    try:
        answer = ask(invocation.paths.control_socket, {"command": "status"}, timeout=_PATIENCE)
    except AgentNotAnsweringError as exc:
        return {"state": "offline", "error": exc.message}
    except AgentNotRunningError:
        return {"state": "stopped", "error": None}
    seen: dict[str, Any] = answer["status"]
    return seen


def _is(state: str, seen: dict[str, Any]) -> bool:
    if state == "connected":
        return bool(seen.get("connected"))
    if seen["state"] == "stopped" or state == "stopped":
        return bool(seen["state"] == "stopped")
    takes_none = bool(seen.get("paused") or seen.get("draining"))
    return takes_none and not seen.get("in_flight")


def _why_not(state: str, seen: dict[str, Any], seconds: float) -> str:
    found = f"Not {state} after {seconds:g} s: the agent is {seen['state']}"
    if state == "drained" and not (seen.get("paused") or seen.get("draining")):
        return f"{found} and takes calls; run `cloud-connect pause` first."
    if state == "drained":
        return f"{found} and has {seen.get('in_flight', 0)} calls running."
    if seen["state"] == "stopped":
        return f"{found}; start it with `cloud-connect run` or as a service."
    reason = seen.get("error")
    return f"{found}. {reason}" if reason else f"{found}."
