import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest

from cloud_connect_relay.api.hang_up import until_hang_up
from cloud_connect_relay.caller import EXTENSION, Caller

Message = MutableMapping[str, Any]


@pytest.fixture
def caller() -> Caller:
    return Caller()


def scope_of(caller: Caller | None) -> dict[str, Any]:
    return {} if caller is None else {"extensions": {EXTENSION: {"caller": caller}}}


def channel(gone: asyncio.Event) -> Callable[[], Awaitable[Message]]:
    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    return receive


async def test_block_ends_when_the_connection_is_lost(caller: Caller) -> None:
    async with until_hang_up(scope_of(caller), channel(asyncio.Event())) as watch:
        asyncio.get_running_loop().call_soon(caller.hang_up)
        await asyncio.Event().wait()
    assert watch.hung_up


async def test_block_of_a_caller_who_is_gone_already_ends_at_once(caller: Caller) -> None:
    caller.hang_up()
    async with until_hang_up(scope_of(caller), channel(asyncio.Event())) as watch:
        await asyncio.Event().wait()
    assert watch.hung_up


async def test_hanging_up_after_the_block_disturbs_nobody(caller: Caller) -> None:
    async with until_hang_up(scope_of(caller), channel(asyncio.Event())) as watch:
        pass
    caller.hang_up()
    await asyncio.sleep(0)
    assert not watch.hung_up


async def test_two_requests_of_a_connection_both_end(caller: Caller) -> None:
    async def serve() -> bool:
        async with until_hang_up(scope_of(caller), channel(asyncio.Event())) as watch:
            await asyncio.Event().wait()
        return watch.hung_up

    async with asyncio.TaskGroup() as tasks:
        both = [tasks.create_task(serve()) for _ in range(2)]
        await asyncio.sleep(0)
        caller.hang_up()
    assert all(task.result() for task in both)


async def test_error_of_the_block_leaves_as_it_is(caller: Caller) -> None:
    with pytest.raises(TimeoutError, match="its own"):
        async with until_hang_up(scope_of(caller), channel(asyncio.Event())):
            raise TimeoutError("its own")


async def test_cancelling_from_outside_is_no_hanging_up(caller: Caller) -> None:
    async def serve() -> None:
        async with until_hang_up(scope_of(caller), channel(asyncio.Event())):
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve())
        await asyncio.sleep(0)
        serving.cancel()
    assert serving.cancelled()


async def test_server_that_tells_nothing_of_callers_is_asked_by_a_task() -> None:
    gone = asyncio.Event()
    async with until_hang_up(scope_of(None), channel(gone)) as watch:
        gone.set()
        await asyncio.Event().wait()
    assert watch.hung_up
