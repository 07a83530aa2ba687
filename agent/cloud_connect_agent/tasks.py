"""Tasks that outlive the call that started them, with a parent all the same."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["lasting_tasks"]


@asynccontextmanager
async def lasting_tasks() -> AsyncIterator[asyncio.TaskGroup]:
    """Open a group for tasks that see to their own failures; the end waits for them.

    Unlike a bare ``TaskGroup``, it lets what the block raises pass as it is: whoever opens a
    client catches its errors, not a group of them. Who wants the tasks cancelled then cancels
    them before the block ends.
    """
    failure: BaseException | None = None
    async with asyncio.TaskGroup() as tasks:
        try:
            yield tasks
        except BaseException as exc:  # noqa: BLE001 - raised again below, outside the group
            failure = exc
    if failure is not None:
        raise failure
