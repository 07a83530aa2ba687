"""Echoes: round trips that the relay starts, through both ends' whole stacks.

A PING is answered by the agent's protocol layer, even if nothing behind it works. An echo is a
call like any other: a stream, which the agent's dispatcher answers.
"""

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog

from cloud_connect.calls import Operation
from cloud_connect.echo import EchoParams
from cloud_connect.errors import AgentOfflineError, CloudConnectError, DeadlineExceededError
from cloud_connect.tunnel import RequestHead, ResetCode

if TYPE_CHECKING:
    from cloud_connect_relay.gateway.registry import LiveSession, Registry

__all__ = ["Echoes", "echo"]

log = structlog.get_logger(__name__)

_PATIENCE: Final = 10.0  # seconds for an answer that takes milliseconds
_TICK: Final = 1.0  # seconds between two looks for who is due
_FIRST: Final = 2.0  # seconds over which the first echoes of a herd spread
_SPREAD: Final = 0.2  # of the interval: sessions that began together drift apart


async def echo(
    live: "LiveSession", *, clock: Callable[[], float] = time.time, within: float = _PATIENCE
) -> float:
    """Return the seconds that the way to the agent's dispatcher and back took; note them.

    Raises:
        DeadlineExceededError: If there was no answer in time.
        AgentOfflineError: If the session ended, or takes no more calls.
    """
    notes = live.echo
    began = time.monotonic()
    try:
        async with asyncio.timeout(within):
            kept = live.kept_away
            await _ask(live, within)
    except TimeoutError:
        notes.seconds = None
        notes.error = f"The connector's agent did not answer within {within:.0f} s."
        raise DeadlineExceededError(notes.error) from None
    except CloudConnectError as exc:
        notes.seconds, notes.error = None, exc.message
        raise AgentOfflineError(f"The connector cannot be asked: {exc.message}.") from exc
    notes.seconds, notes.error = time.monotonic() - began, None
    notes.told = kept
    notes.at = clock()
    return notes.seconds


async def _ask(live: "LiveSession", within: float) -> None:
    exchange = await live.session.open(
        RequestHead(
            operation=Operation.ECHO,
            call_id=f"echo_{uuid.uuid4().hex}",
            deadline_ms=int(within * 1000),
            params=EchoParams(
                held_seconds=live.held_seconds, draining=live.flagged_draining
            ).model_dump(exclude_defaults=True),
        ),
        end_stream=True,
    )
    try:
        # Whatever it says: an older agent refuses what it does not know, from the same place.
        await exchange.receive_head()
    finally:
        if not exchange.receive_ended:
            exchange.reset(ResetCode.CANCEL)


class Echoes:
    """Has an echo go through each live session now and then."""

    def __init__(
        self,
        registry: "Registry",
        *,
        interval: float,
        clock: Callable[[], float],
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._registry: Final = registry
        self._interval: Final = interval
        self._clock: Final = clock
        self._uniform: Final = uniform

    async def run(self) -> None:
        """Send those that are due, until cancelled."""
        tick = min(_TICK, self._interval)
        async with asyncio.TaskGroup() as tasks:
            while True:
                now = time.monotonic()
                for live in self._registry:
                    if self._is_due(live, now):
                        tasks.create_task(self._one(live), name=f"echo-{live.connector_id}")
                await asyncio.sleep(tick)

    def _is_due(self, live: "LiveSession", now: float) -> bool:
        notes = live.echo
        if notes.running or live.leaving:
            return False
        if notes.error is None and notes.told != live.kept_away:
            return True  # the PC is to say so of itself, too
        if not notes.due:
            notes.due = now + self._uniform(0.0, min(_FIRST, self._interval))
        return now >= notes.due

    async def _one(self, live: "LiveSession") -> None:
        notes = live.echo
        notes.running = True
        try:
            await echo(live, clock=self._clock)
        except CloudConnectError as exc:
            log.info("echo_failed", connector_id=live.connector_id, reason=exc.message)
        finally:
            notes.running = False
            spread = self._uniform(1.0 - _SPREAD, 1.0 + _SPREAD)
            notes.due = time.monotonic() + self._interval * spread
