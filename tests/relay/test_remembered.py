import asyncio
import math
import time

import pytest
from sqlalchemy.exc import OperationalError

from cloud_connect_relay.remembered import Remembered, Said

AWAY = OperationalError("SELECT", {}, ConnectionRefusedError())


class Store:
    """Answers with what it is told to, or is away."""

    def __init__(self, *, most: int = 10) -> None:
        self.now = 0.0
        self.says: Said[str] | None = Said("first", 3)
        self.failure: Exception | None = None
        self.seconds = 0.0
        self.asked = 0
        self.known: Remembered[str, str] = Remembered(most=most, clock=lambda: self.now)

    async def look(self) -> Said[str] | None:
        self.asked += 1
        await asyncio.sleep(self.seconds)
        if self.failure is not None:
            raise self.failure
        return self.says

    async def get(self, key: str = "key") -> str | None:
        return self.known.fresh(key) or await self.known.ask(key, self.look)


async def test_answer_is_believed_for_its_time_and_then_asked_for() -> None:
    store = Store()
    assert await store.get() == "first"
    store.says = Said("second", 3)
    store.now = 2.9
    assert await store.get() == "first"
    store.now = 3.0
    assert await store.get() == "second"
    assert store.asked == 2


async def test_nothing_is_remembered_of_what_the_store_does_not_know() -> None:
    store = Store()
    await store.get()
    store.now, store.says = 3.0, None
    assert await store.get() is None
    store.failure = AWAY
    with pytest.raises(OperationalError):
        await store.get()


@pytest.mark.parametrize("failure", [AWAY, ConnectionResetError()])
async def test_last_answer_stands_while_the_store_is_away(failure: Exception) -> None:
    store = Store()
    await store.get()
    store.failure = failure
    for second in range(3, 300):
        store.now = second
        assert await store.get() == "first"
    assert store.asked == 100  # every three seconds
    store.now = 300.0
    with pytest.raises(type(failure)):
        await store.get()


async def test_answer_is_true_no_longer_than_it_says() -> None:
    store = Store()
    store.says = Said("token", 3, at_most=10)
    await store.get()
    store.failure = AWAY
    store.now = 9.9
    assert await store.get() == "token"
    store.now = 10.0
    with pytest.raises(OperationalError):
        await store.get()
    store.failure, store.says = None, Said("token", 3, at_most=1)
    await store.get()
    store.now = 11.0
    await store.get()
    assert store.asked == 5  # it was believed for one second


async def test_store_that_is_back_is_believed_again() -> None:
    store = Store()
    await store.get()
    store.now, store.failure = 3.0, AWAY
    await store.get()
    store.failure, store.says = None, Said("changed", 3)
    store.now = 5.9
    assert await store.get() == "first"
    store.now = 6.0
    assert await store.get() == "changed"


async def test_store_that_hangs_keeps_one_waiting_and_the_others_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cloud_connect_relay.remembered._PATIENCE", 0.2)
    store = Store()
    await store.get()
    store.now, store.seconds = 3.0, 60.0
    began = time.monotonic()
    assert await asyncio.gather(*[store.get() for _ in range(20)]) == ["first"] * 20
    store.now = 6.0
    asking = asyncio.create_task(store.get())
    await asyncio.sleep(0)
    assert not asking.done()
    quick = time.monotonic()
    assert await store.get() == "first"
    assert time.monotonic() - quick < 0.1
    assert await asking == "first"
    assert time.monotonic() - began < 5


async def test_refusal_of_the_look_itself_is_no_loss_of_the_store() -> None:
    store = Store()
    await store.get()
    store.now, store.failure = 3.0, ValueError()
    with pytest.raises(ValueError):
        await store.get()


async def test_what_is_forgotten_is_asked_for() -> None:
    store = Store()
    await store.get()
    store.known.forget("key")
    store.failure = AWAY
    with pytest.raises(OperationalError):
        await store.get()
    store.failure = None
    await store.get()
    store.known.forget()
    assert store.known.fresh("key") is None


async def test_oldest_answer_makes_room() -> None:
    store = Store(most=2)
    store.says = Said("all", math.inf)
    for key in ("a", "b", "c"):
        await store.get(key)
    assert [store.known.fresh(key) for key in ("a", "b", "c")] == [None, "all", "all"]
