"""Handlers: the tasks that serve the exchanges which the peer opens."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from cloud_connect.errors import StreamResetError, TunnelClosedError
from cloud_connect.exchange import Exchange

__all__ = ["Handler", "Handlers"]

log = structlog.get_logger(__name__)

Handler = Callable[[Exchange], Awaitable[None]]


class Handlers:
    """Runs one task for each inbound exchange."""

    def __init__(
        self,
        handler: Handler | None,
        *,
        group: asyncio.TaskGroup,
        max_tasks: int,
        served: Callable[[Exchange], None],
    ) -> None:
        self._handler = handler
        self._group = group
        self._max_tasks = max_tasks
        self._served = served
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def __contains__(self, stream_id: int) -> bool:
        return stream_id in self._tasks

    def serve(self, exchange: Exchange) -> bool:
        """Start the exchange's task; return ``False`` if there is no handler or no room."""
        handler = self._handler
        if handler is None or len(self._tasks) >= self._max_tasks:
            return False
        stream_id = exchange.stream_id
        task = self._group.create_task(_handle(handler, exchange), name=f"exchange-{stream_id}")
        self._tasks[stream_id] = task

        def done(_: asyncio.Task[None]) -> None:
            del self._tasks[stream_id]
            self._served(exchange)

        # Not a finally of the task: one that is cancelled before it began runs none of it.
        task.add_done_callback(done)
        return True

    def cancel(self, stream_id: int) -> None:
        """Cancel the task of a stream; it may take its time."""
        self._tasks[stream_id].cancel()

    def cancel_all(self) -> None:
        """Cancel every task."""
        for task in self._tasks.values():
            task.cancel()


async def _handle(handler: Handler, exchange: Exchange) -> None:
    try:
        await handler(exchange)
    except (StreamResetError, TunnelClosedError) as exc:
        log.debug("exchange_ended_early", stream_id=exchange.stream_id, error=exc.message)
    except Exception:  # one call's fault must not end the session of all the others
        log.exception("exchange_failed", stream_id=exchange.stream_id)
