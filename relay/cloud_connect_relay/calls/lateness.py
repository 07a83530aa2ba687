"""Deadlines that have passed: the failure that says which hop was slow."""

import asyncio
from typing import TYPE_CHECKING, Final

from cloud_connect.errors import AgentOfflineError, DeadlineExceededError, Outcome

if TYPE_CHECKING:
    from cloud_connect.errors import CloudConnectError
    from cloud_connect_relay.calls.running import RunningCall

__all__ = ["explained", "overdue", "untaken", "until_deadline"]

_TOLD: Final = 0.05  # seconds of waiting here that are worth a word
_EARLY: Final = 0.6  # seconds before the deadline in which agents give up, and a little more

_ADVICE: Final = {
    Outcome.NOT_EXECUTED: "The call changed nothing and may be repeated.",
    Outcome.UNKNOWN: "The write goes on, so look the call up before you repeat it.",
}


def overdue(call: "RunningCall", *, outcome: Outcome) -> DeadlineExceededError:
    """Return the failure of a call whose agent has not said a word by its deadline."""
    times = call.times
    had = "It is still at the relay, which waits for its database or for a connector."
    if times.sent is not None:
        had = (
            f"The connector '{call.connector_name}' has had the call for {times.out():.1f} s and"
            " has not answered."
        )
    queued = "" if times.sent is None else _queued(call)
    return DeadlineExceededError(
        f"The deadline passed before the answer came. {had}{queued} {_ADVICE[outcome]}",
        outcome=outcome,
    )


def explained(error: "CloudConnectError", call: "RunningCall") -> "CloudConnectError":
    """Return an agent's failure, with what this relay knows about a deadline that passed."""
    if not isinstance(error, DeadlineExceededError) or not _queued(call):
        return error
    return DeadlineExceededError(f"{error.message}{_queued(call)}", outcome=error.outcome)


def untaken() -> AgentOfflineError:
    """Return the failure of a call that no connector was given by its deadline."""
    return AgentOfflineError("No connector took the call in time.", retry_after=5)


async def until_deadline(error: "CloudConnectError", call: "RunningCall") -> None:
    """Leave the caller all of its time: agents give up a little early, for the way back."""
    left = call.deadline - asyncio.get_running_loop().time()
    if isinstance(error, DeadlineExceededError) and 0 < left <= _EARLY:
        await asyncio.sleep(left)


def _queued(call: "RunningCall") -> str:
    """Say how long it waited here, if that was longer than what followed."""
    queued = call.times.queued()
    if queued < _TOLD or queued < call.times.out():
        return ""
    return f" Before that, it waited {queued:.1f} s for a connector."
