import asyncio

from cloud_connect_relay.storage.authorizations import AuthorizationsOfAll
from doubles.relay_node import NOW, Founded


async def begin(store: Founded, state: str, *, expires_at: float = NOW + 600) -> str:
    return await store.storage.of(store.subscription_id).authorizations.add(
        state,
        datasource_id="ds_1",
        connector_id="con_1",
        source={"company_id": 1},
        actor="key:key_1",
        at=NOW,
        expires_at=expires_at,
    )


async def test_a_state_is_used_once_and_in_time(store: Founded) -> None:
    everybody = AuthorizationsOfAll(store.storage)
    await begin(store, "one")
    await begin(store, "late", expires_at=NOW - 1)
    found = await everybody.use("one", now=NOW)
    assert found is not None
    assert (found.subscription_id, found.connector_id) == (store.subscription_id, "con_1")
    assert found.source == {"company_id": 1}
    assert await everybody.use("one", now=NOW) is None
    assert await everybody.use("late", now=NOW) is None
    assert await everybody.use("never", now=NOW) is None


async def test_a_state_that_is_none_waits_for_no_writer(store: Founded) -> None:
    everybody = AuthorizationsOfAll(store.storage)
    async with store.storage.write(), asyncio.timeout(5):
        assert await everybody.use("never", now=NOW) is None


async def test_of_two_browsers_with_one_state_one_is_served(store: Founded) -> None:
    everybody = AuthorizationsOfAll(store.storage)
    await begin(store, "one")
    found = await asyncio.gather(*[everybody.use("one", now=NOW) for _ in range(5)])
    assert len([one for one in found if one is not None]) == 1


async def test_what_is_over_is_forgotten(store: Founded) -> None:
    everybody = AuthorizationsOfAll(store.storage)
    await begin(store, "one")
    await begin(store, "late", expires_at=NOW - 1)
    assert await everybody.forget(expired_before=NOW) == 1
    assert await everybody.use("one", now=NOW) is not None


async def test_a_sign_in_is_followed_by_its_own_subscription(store: Founded) -> None:
    authorizations = store.storage.of(store.subscription_id).authorizations
    attempt = await begin(store, "one")
    found = await authorizations.find(attempt, datasource_id="ds_1")
    assert found is not None
    assert (found.connector_id, found.used_at) == ("con_1", None)
    await AuthorizationsOfAll(store.storage).use("one", now=NOW)
    found = await authorizations.find(attempt, datasource_id="ds_1")
    assert found is not None
    assert found.used_at == NOW
    assert await authorizations.find(attempt, datasource_id="ds_2") is None
    others = store.storage.of("sub_other").authorizations
    assert await others.find(attempt, datasource_id="ds_1") is None
    assert await AuthorizationsOfAll(store.storage).use(attempt, now=NOW) is None
