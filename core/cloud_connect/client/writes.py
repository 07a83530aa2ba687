"""Writes of a caller: under one key until it is certain what became of them."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from cloud_connect.client.failures import RelayUnreachableError
from cloud_connect.errors import (
    CloudConnectError,
    IdempotencyConflictError,
    IdempotencyMismatchError,
    NotFoundError,
    Outcome,
)

if TYPE_CHECKING:
    from cloud_connect.client.call_record import CallRecord
    from cloud_connect.client.protection import Request
    from cloud_connect.client.wire import Answer, Wire

__all__ = ["Writes"]

_PAUSE_SECONDS: Final = 0.5  # between two attempts, and two lookups
_LEAST_SECONDS: Final = 1.0  # that an attempt needs


class Writes:
    """Sends writes, repeats only what their key makes safe, and looks up what is in doubt.

    Args:
        look_up: Returns what the relay knows of the last call with a key.
    """

    def __init__(
        self,
        wire: "Wire",
        look_up: Callable[[str], Awaitable["CallRecord"]],
        *,
        pause: float = _PAUSE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wire: Final = wire
        self._look_up: Final = look_up
        self._pause: Final = pause
        self._clock: Final = clock

    async def run(
        self,
        request: "Request",
        key: str,
        *,
        seconds: float,
        check: Callable[[bytes], None] = lambda _: None,
    ) -> "tuple[Answer, bytes]":
        """Carry a write out once, and return its answer.

        Args:
            check: Raises the failure that an answer of good status tells of.

        Raises:
            CloudConnectError: What it failed with; one whose outcome is still unknown when the
                time is up says so.
        """
        ends = self._clock() + seconds
        in_doubt = False  # whether an attempt may have been carried out: no later one denies that
        while True:
            left = max(_LEAST_SECONDS, ends - self._clock())
            try:
                answer, body = await self._wire.collect(request, seconds=left)
                check(body)
            except (RelayUnreachableError, IdempotencyConflictError) as error:
                # It may be running. The same key gets the same call, whatever became of it.
                doubt: CloudConnectError = error
                running = isinstance(error, IdempotencyConflictError)
                in_doubt |= running or error.outcome is Outcome.UNKNOWN
                if in_doubt:
                    doubt.outcome = Outcome.UNKNOWN  # of this write, if not of this attempt
            except CloudConnectError as error:
                # Sealed anew, it is other bytes: the key's first call may be this very write.
                anew = isinstance(error, IdempotencyMismatchError) and request.opener is not None
                in_doubt |= anew or error.outcome is Outcome.UNKNOWN
                if error.outcome is Outcome.COMPLETED or not in_doubt:
                    raise
                doubt = error
                doubt.outcome = await self._settled(key, ends)
                if anew or doubt.outcome is not Outcome.COMPLETED:
                    raise
            else:
                return answer, body
            if self._clock() + self._pause >= ends:
                raise doubt
            await asyncio.sleep(self._pause)

    async def _settled(self, key: str, ends: float) -> Outcome:
        """Return what became of the write, as soon as that is known or never will be."""
        while True:
            try:
                record = await self._look_up(key)
            except NotFoundError:
                return Outcome.UNKNOWN
            except CloudConnectError:
                pass  # What became of the lookup says nothing about the write.
            else:
                if record.final and record.outcome is not None:
                    return record.outcome
            if self._clock() + self._pause >= ends:
                return Outcome.UNKNOWN
            await asyncio.sleep(self._pause)
