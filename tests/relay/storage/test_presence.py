from cloud_connect_relay.storage.presence import Presence, Span
from doubles.relay_node import NOW, Founded


async def began(store: Founded, session_id: str, *, run: str, connector: str, at: float) -> None:
    await Presence(store.storage).session_began(
        session_id,
        run_id=run,
        subscription_id=store.subscription_id,
        connector_id=connector,
        at=at,
    )


async def test_sessions_reach_to_when_their_run_was_seen_last(store: Founded) -> None:
    presence, mine = Presence(store.storage), store.storage.of(store.subscription_id).presence
    await presence.relay_began("run-1", at=NOW)
    await began(store, "one", run="run-1", connector="con_a", at=NOW + 1)
    await began(store, "two", run="run-1", connector="con_b", at=NOW + 2)
    await presence.session_ended("two", seen=NOW + 5)
    await presence.seen("run-1", at=NOW + 20)
    seen = await mine.since(NOW)
    assert seen.relays == (Span(NOW, NOW + 20),)
    assert seen.connectors == {
        "con_a": (Span(NOW + 1, NOW + 20),),
        "con_b": (Span(NOW + 2, NOW + 5),),
    }
    assert set((await mine.since(NOW, connector_id="con_b")).connectors) == {"con_b"}
    assert (await mine.since(NOW + 6)).connectors == {"con_a": (Span(NOW + 1, NOW + 20),)}


async def test_run_that_ended_without_a_word_is_not_prolonged(store: Founded) -> None:
    presence, mine = Presence(store.storage), store.storage.of(store.subscription_id).presence
    await presence.relay_began("run-1", at=NOW)
    await began(store, "one", run="run-1", connector="con_a", at=NOW)
    await presence.relay_began("run-2", at=NOW + 100)
    await presence.seen("run-2", at=NOW + 200)
    seen = await mine.since(NOW - 1)
    assert set(seen.relays) == {Span(NOW, NOW), Span(NOW + 100, NOW + 200)}
    assert seen.connectors == {"con_a": (Span(NOW, NOW),)}


async def test_presence_of_others_is_not_shown(store: Founded) -> None:
    await began(store, "one", run="run-1", connector="con_a", at=NOW)
    other = store.storage.of(await store.subscription("Other")).presence
    assert (await other.since(0.0)).connectors == {}


async def test_old_spans_are_forgotten(store: Founded) -> None:
    presence, mine = Presence(store.storage), store.storage.of(store.subscription_id).presence
    await presence.relay_began("run-1", at=NOW)
    await began(store, "one", run="run-1", connector="con_a", at=NOW)
    await presence.forget(before=NOW + 1)
    seen = await mine.since(0.0)
    assert (seen.relays, seen.connectors) == ((), {})
