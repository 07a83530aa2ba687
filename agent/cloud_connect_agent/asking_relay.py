"""Asking the relay something over the tunnel: a short question, a short answer, a bounded wait."""

import asyncio
import uuid
from typing import TYPE_CHECKING, Final

from cloud_connect.errors import CloudConnectError
from cloud_connect.tunnel import RequestHead, ResetCode

if TYPE_CHECKING:
    from cloud_connect.calls import Operation
    from cloud_connect.session import Session

__all__ = ["ask_relay"]

_UNKNOWN_OPERATION: Final = 405  # the answer of a relay that is older than the question


async def ask_relay(
    session: "Session", operation: "Operation", question: str, *, seconds: float, max_bytes: int
) -> bytes | None:
    """Return the relay's answer to a question in JSON; ``None`` if it is too old to know it.

    Args:
        seconds: The most that it may take.
        max_bytes: The most that is read of an answer.

    Raises:
        TunnelClosedError: If the session ends.
        CloudConnectError: If the relay refuses, or answers too much.
        TimeoutError: If it does not answer in time.
    """
    async with asyncio.timeout(seconds):
        exchange = await session.open(
            RequestHead(
                operation=operation,
                call_id=f"{operation}_{uuid.uuid4().hex}",
                deadline_ms=int(seconds * 1000),
            )
        )
        try:
            await exchange.send(question.encode(), end_stream=True)
            head = await exchange.receive_head()
            answer = bytearray()
            async for chunk in exchange:
                answer += chunk
                if len(answer) > max_bytes:
                    raise CloudConnectError(f"The relay's answer to {operation} is too long.")
        finally:
            if not exchange.all_received:
                exchange.reset(ResetCode.CANCEL)
    if head.status == _UNKNOWN_OPERATION:
        return None
    if head.status != 200:
        raise CloudConnectError(f"The relay answered {head.status} to {operation}.")
    return bytes(answer)
