"""Request smuggling: nobody gets a second request past a relay, alone or behind a proxy."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from doubles.fleet import Fleet, fleet
from doubles.front_proxies import FrontProxy, haproxy, nginx
from doubles.hammer import hammer
from doubles.observing import until
from doubles.smuggling import HIDDEN, vectors

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

DEBUG: Final = '[log]\nlevel = "debug"\nformat = "json"\n'
AT_ONCE: Final = 24
PROBES: Final = 40
VECTORS: Final = vectors()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    async with fleet(tmp_path_factory.mktemp("smuggling"), settings=DEBUG) as made:
        yield made


def heard(relay: Fleet) -> list[str]:
    """The paths of the requests that the relay has answered so far."""
    lines = relay.relay.log.read_text().splitlines()
    entries = [json.loads(line) for line in lines if '"request_finished"' in line]
    return [entry["path"] for entry in entries]


async def say(port: int, sent: bytes, *, within: float) -> tuple[bytes, bool]:
    """Send bytes; return the answer, and whether the connection was closed behind it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer, closed = b"", False
    try:
        writer.write(sent)
        async with asyncio.timeout(within):
            while piece := await reader.read(65_536):
                answer += piece
            closed = True
    except ConnectionResetError:
        closed = True
    except TimeoutError:
        pass
    finally:
        writer.transport.abort()
    return answer, closed


async def all_vectors(port: int, *, within: float) -> dict[str, tuple[bytes, bool]]:
    found: dict[str, tuple[bytes, bool]] = {}
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(name: str, sent: bytes) -> None:
        async with turns:
            found[name] = await say(port, sent, within=within)

    async with asyncio.TaskGroup() as tasks:
        for name, sent in VECTORS.items():
            tasks.create_task(one(name, sent))
    return found


@pytest.mark.catalogue("T94")
async def test_unclear_request_gets_400_and_nothing_behind_it_is_read(relay: Fleet) -> None:
    assert len(VECTORS) >= 60
    found = await all_vectors(relay.relay.ready["port"], within=5)
    wrong = {
        name: (answer[:60], closed)
        for name, (answer, closed) in found.items()
        if not (answer.startswith(b"HTTP/1.1 400 ") and closed and answer.count(b"HTTP/1.1") == 1)
    }
    assert not wrong
    assert HIDDEN.decode() not in heard(relay)
    answer, closed = await say(
        relay.relay.ready["port"], b"GET /healthz HTTP/1.0\r\n\r\n", within=5
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert closed


@pytest.mark.catalogue("T94")
@pytest.mark.parametrize("front", [nginx, haproxy])
async def test_proxy_and_relay_agree_on_what_was_asked(
    relay: Fleet,
    tmp_path: Path,
    front: Callable[[Path, int], AbstractAsyncContextManager[FrontProxy]],
) -> None:
    known = Counter(heard(relay))
    async with front(tmp_path, relay.relay.ready["port"]) as proxy:
        await all_vectors(proxy.port, within=1.5)
        origin = f"http://127.0.0.1:{proxy.port}"
        statuses = []
        for number in range(PROBES):  # a response too many would come to somebody else's request
            async with hammer(origin, {}) as asking:
                target = "/healthz" if number % 2 else f"/probe/{number}"
                statuses.append((await asking.get(target)).status)
        assert statuses == [404, 200] * (PROBES // 2)

        async def logged() -> bool:
            return f"/probe/{PROBES - 2}" in proxy.requested()

        await until(logged, within=5, what="the proxy's log")
        fresh = Counter(heard(relay)) - known
        asked = Counter(target.partition("?")[0] for target in proxy.requested())
    invented = {path: count for path, count in fresh.items() if count > asked[path] and path != "*"}
    assert not invented
    print(f"T94 behind {proxy.name}: {sum(fresh.values())} requests passed on")  # noqa: T201


@pytest.mark.catalogue("T94")
async def test_refusal_is_never_written_into_another_answer(relay: Fleet) -> None:
    good = b"GET /openapi.json HTTP/1.1\r\nHost: relay\r\n\r\n"
    answer, closed = await say(relay.relay.ready["port"], good + b"nonsense\r\n\r\n", within=5)
    assert closed
    assert b"400 Bad Request" not in answer
    with suppress(ValueError):
        assert answer.index(b"HTTP/1.1") == 0
