"""A request's body that comes at its sender's pace."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from cloud_connect.errors import DeadlineExceededError, Outcome

__all__ = ["paced"]

_STALL: Final = 60.0  # seconds without a byte


async def paced(
    content: AsyncIterator[bytes], bound: asyncio.Timeout, budget: float
) -> AsyncIterator[bytes]:
    """Pass a body on; its time is its own, so the deadline counts from its end."""
    loop = asyncio.get_running_loop()
    bound.reschedule(None)
    iterator = aiter(content)
    while True:
        try:
            async with asyncio.timeout(_STALL):
                chunk = await anext(iterator)
        except StopAsyncIteration:
            break
        except TimeoutError as exc:
            raise DeadlineExceededError(
                f"No byte of the request's body came for {_STALL:.0f} s.", outcome=Outcome.UNKNOWN
            ) from exc
        yield chunk
    bound.reschedule(loop.time() + budget)
