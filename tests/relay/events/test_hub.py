import pytest

from cloud_connect.errors import QuotaExceededError
from cloud_connect_relay.events.hub import About, Event, EventHub, Listener

BOTH = frozenset(About)
MINE, OTHER = "sub_a", "sub_b"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="hub")
def _hub(clock: Clock) -> EventHub:
    return EventHub(max_listeners=2, max_waiting=4, clock=clock)


def tell(hub: EventHub, number: int, *, about: About = About.CALLS) -> None:
    hub.publish(MINE, "call", {"n": number}, about=about)


async def taken(listener: Listener) -> list[Event]:
    return await listener.receive(0.0)


async def names(listener: Listener) -> list[str]:
    return [event.name for event in await taken(listener)]


async def numbers(listener: Listener) -> list[int]:
    return [event.data["n"] for event in await taken(listener) if event.name == "call"]


def is_watched(hub: EventHub) -> bool:
    return hub.watched


async def test_events_reach_those_who_may_hear_them_and_nobody_else(hub: EventHub) -> None:
    with (
        hub.listen(MINE, BOTH) as both,
        hub.listen(MINE, frozenset({About.CONNECTORS})) as narrow,
        hub.listen(OTHER, BOTH) as foreign,
    ):
        tell(hub, 1)
        tell(hub, 2, about=About.CONNECTORS)
        assert await numbers(both) == [1, 2]
        assert await numbers(narrow) == [2]
        assert await names(foreign) == ["ready"]
        assert await taken(both) == []


async def test_nobody_is_asked_when_nobody_listens(hub: EventHub, clock: Clock) -> None:
    assert not is_watched(hub)
    assert not hub.takes_call(MINE)
    tell(hub, 1)
    with hub.listen(MINE, BOTH):
        assert is_watched(hub)
        assert hub.takes_call(MINE)
        assert not hub.takes_call(OTHER)
    assert hub.subscriptions() == (MINE,)
    assert is_watched(hub), "whoever was cut off may come back"
    clock.now += 61
    assert hub.subscriptions() == ()
    assert not is_watched(hub)


async def test_whoever_comes_back_gets_what_was_missed(hub: EventHub) -> None:
    with hub.listen(MINE, BOTH) as listener:
        tell(hub, 1)
        last = (await taken(listener))[-1].id
    tell(hub, 2)
    tell(hub, 3)
    with hub.listen(MINE, BOTH, after=last) as again:
        ready, *missed = await taken(again)
        assert (ready.name, ready.data, ready.id) == ("ready", {"resumed": True}, last)
        assert [event.data["n"] for event in missed] == [2, 3]
    with hub.listen(MINE, BOTH, after=missed[-1].id) as current:
        assert await names(current) == ["ready"]


@pytest.mark.parametrize("after", ["x", "-", "other-1", "{run}-", "{run}-9", "{run}--1", "{run}-²"])
async def test_whoever_comes_back_from_elsewhere_looks_anew(hub: EventHub, after: str) -> None:
    with hub.listen(MINE, BOTH) as listener:
        run = (await taken(listener))[0].id.partition("-")[0]
        with hub.listen(MINE, BOTH, after=after.format(run=run)) as again:
            ready, resync = await taken(again)
            assert (ready.data, resync.name) == ({"resumed": False}, "resync")


async def test_whoever_was_away_for_long_looks_anew(hub: EventHub, clock: Clock) -> None:
    with hub.listen(MINE, BOTH) as listener:
        last = (await taken(listener))[-1].id
        for number in range(600):
            tell(hub, number)
    with hub.listen(MINE, BOTH, after=last) as again:
        assert await names(again) == ["ready", "resync"]
    clock.now += 61
    hub.subscriptions()
    with hub.listen(MINE, BOTH, after=last) as again:
        assert await names(again) == ["ready", "resync"]


async def test_reader_that_falls_behind_loses_its_events_and_is_told(hub: EventHub) -> None:
    with hub.listen(MINE, BOTH) as slow, hub.listen(MINE, BOTH) as quick:
        for number in range(3):
            tell(hub, number)
        assert await numbers(quick) == [0, 1, 2]
        for number in range(3, 6):
            tell(hub, number)
        assert await names(slow) == ["resync"]
        assert await numbers(quick) == [3, 4, 5]
        tell(hub, 6)
        assert await numbers(slow) == [6], "from there on it hears as before"


async def test_storm_of_calls_is_told_in_part_and_counted(hub: EventHub, clock: Clock) -> None:
    with hub.listen(MINE, BOTH) as listener:
        assert sum(hub.takes_call(MINE) for _ in range(150)) == 100
        assert await names(listener) == ["ready"]
        clock.now += 1
        assert hub.takes_call(MINE)
        (skipped,) = await taken(listener)
        assert (skipped.name, skipped.data) == ("call", {"change": "skipped", "count": 50})
        for _ in range(100):
            hub.takes_call(MINE)
        hub.subscriptions()  # the look after the storm
        assert (await taken(listener))[0].data["count"] == 1


async def test_too_many_readers_are_refused(hub: EventHub) -> None:
    with (
        hub.listen(MINE, BOTH),
        hub.listen(MINE, BOTH),
        hub.listen(OTHER, BOTH),
        pytest.raises(QuotaExceededError, match="2 programs"),
        hub.listen(MINE, BOTH),
    ):
        pass
    with hub.listen(MINE, BOTH):
        pass


async def test_end_of_the_relay_ends_every_reader(hub: EventHub) -> None:
    with hub.listen(MINE, BOTH) as listener:
        tell(hub, 1)
        hub.close()
        assert listener.ended
        assert await names(listener) == ["ready", "call"]
    with hub.listen(MINE, BOTH) as late:
        assert late.ended


def test_event_is_one_block_on_the_wire() -> None:
    event = Event.of("r-1", "call", {"detail": "two\nlines"})
    assert event.wire == b'id: r-1\nevent: call\ndata: {"detail":"two\\nlines"}\n\n'


async def test_events_of_many_connectors_take_no_more_than_their_room(hub: EventHub) -> None:
    with hub.listen(MINE, BOTH) as listener:
        first = (await taken(listener))[-1].id
        for _ in range(100):
            hub.publish(MINE, "measures", {"connectors": "x" * 50_000}, about=About.CONNECTORS)
        topic = hub._topics[MINE]
        assert topic.ring_bytes == sum(len(event.wire) for event in topic.ring) <= 2 * 1024 * 1024
        last = topic.ring[-2].id
    with hub.listen(MINE, BOTH, after=first) as again:
        assert await names(again) == ["ready", "resync"]
    with hub.listen(MINE, BOTH, after=last) as again:
        assert await names(again) == ["ready", "measures"]
