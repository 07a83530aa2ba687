import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from cloud_connect.errors import InvalidRequestError
from cloud_connect_relay.quota import Quota
from cloud_connect_relay.storage.audit import AuditFilter
from cloud_connect_relay.storage.founding import (
    AlreadyFoundedError,
    Founding,
    found,
    founded_by,
)
from cloud_connect_relay.storage.keys import Grants
from cloud_connect_relay.storage.subscriptions import Subscriptions
from cloud_connect_relay.storage.users import Users, find_login
from doubles.relay_node import NOW, Founded


async def test_store_is_founded_once(store: Founded) -> None:
    again = Founding(
        relay_id="rel_2",
        public_key=b"2",
        subscription_name="Second",
        username="second",
        password_hash="x",
        key_id="key_2",
        key_hash=b"2",
    )
    with pytest.raises(AlreadyFoundedError, match="initialised already"):
        await found(store.storage, again, at=NOW)
    assert await founded_by(store.storage) == store.identity.public_key
    assert [one.name for one in await Subscriptions(store.storage).all()] == ["Default"]


async def test_founding_stands_in_the_audit_log(store: Founded) -> None:
    entries = await store.storage.of(store.subscription_id).audit.newest(limit=10)
    assert [entry.action for entry in entries] == [
        "key.create",
        "user.create",
        "subscription.create",
    ]


async def test_live_subscriptions_have_different_names(store: Founded) -> None:
    subscriptions = Subscriptions(store.storage)
    with pytest.raises(InvalidRequestError, match="'Default'"):
        await subscriptions.create("Default", actor="test", at=NOW)
    assert await subscriptions.revoke(store.subscription_id, actor="test", at=NOW)
    await subscriptions.create("Default", actor="test", at=NOW)
    assert not await subscriptions.revoke(store.subscription_id, actor="test", at=NOW)


async def test_people_of_one_relay_have_different_names_whatever_their_case(
    store: Founded,
) -> None:
    other = await store.subscription("Other")
    users = store.storage.of(other).users
    with pytest.raises(InvalidRequestError, match="taken"):
        await users.create("ADMIN", password_hash="x", role="viewer", actor="test", at=NOW)
    found_user = await find_login(store.storage, "Admin")
    assert found_user is not None
    assert found_user.subscription_id == store.subscription_id


async def test_revoked_person_is_found_no_more_and_the_name_is_free(store: Founded) -> None:
    users = store.storage.of(store.subscription_id).users
    await users.create("Anna", password_hash="x", role="viewer", actor="test", at=NOW)
    revoked = await users.revoke("ANNA", actor="test", at=NOW)
    assert revoked is not None
    assert await find_login(store.storage, "anna") is None
    assert await users.find(revoked) is None
    assert await users.revoke(revoked, actor="test", at=NOW) is None
    await users.create("anna", password_hash="x", role="viewer", actor="test", at=NOW + 1)
    named = [(one.username, one.revoked_at) for one in await users.known_as("anna")]
    assert sorted(named, key=str) == [("Anna", NOW), ("anna", None)]


async def test_last_administrator_stays_one(store: Founded) -> None:
    users = store.storage.of(store.subscription_id).users
    await users.create("anna", password_hash="x", role="viewer", actor="test", at=NOW)
    for change in (
        users.revoke("admin", actor="test", at=NOW),
        users.set_role("admin", "operator", actor="test", at=NOW),
    ):
        with pytest.raises(InvalidRequestError, match="last administrator"):
            await change
    assert await users.set_role("anna", "administrator", actor="test", at=NOW) is not None
    assert await users.revoke("admin", actor="test", at=NOW) is not None


async def test_of_two_administrators_who_revoke_each_other_one_stays(store: Founded) -> None:
    users = store.storage.of(store.subscription_id).users
    await users.create("anna", password_hash="x", role="administrator", actor="test", at=NOW)

    async def revoke(name: str) -> bool:
        try:
            return await users.revoke(name, actor="test", at=NOW) is not None
        except InvalidRequestError:
            return False

    async with asyncio.TaskGroup() as tasks:
        both = [tasks.create_task(revoke(name)) for name in ("admin", "anna")]
    assert sorted(one.result() for one in both) == [False, True]


@pytest.mark.parametrize("name", ["usr_0000000000000000", "KEY_x", "group:operator"])
async def test_user_names_are_nothing_that_a_list_would_take_for_something_else(
    store: Founded, name: str
) -> None:
    users = store.storage.of(store.subscription_id).users
    with pytest.raises(InvalidRequestError, match="does not begin"):
        await users.create(name, password_hash="x", role="viewer", actor="test", at=NOW)


async def test_rotated_key_lives_on_beside_its_successor_for_a_while(store: Founded) -> None:
    keys = store.storage.of(store.subscription_id).keys
    old = await keys.create(
        "key_1",
        name="n",
        secret_hash=b"k",
        scopes=["calls:read"],
        actor="test",
        at=NOW,
        addresses=["10.0.0.0/8"],
        acts_for="partners",
        quota=Quota(running=3),
    )
    new = await keys.rotate(
        "key_1", "key_2", secret_hash=b"l", overlap=60, actor="test", at=NOW + 1
    )
    assert new is not None
    assert new == replace(old, id="key_2", created_at=NOW + 1)
    assert await keys.get("key_2") == new
    grants = Grants(store.storage)
    former, successor = await grants.find_key("key_1"), await grants.find_key("key_2")
    assert former is not None
    assert successor is not None
    assert (former.live_until, successor.live_until) == (NOW + 61, None)
    assert successor.addresses == ("10.0.0.0/8",)
    again = await keys.rotate("key_1", "key_3", secret_hash=b"m", overlap=9, actor="t", at=NOW + 61)
    assert again is None, "it has ended"


@pytest.mark.parametrize(
    "end",
    [
        lambda users, user: users.revoke(user, actor="test", at=NOW),
        lambda users, user: users.set_password(user, "y", actor="test", at=NOW),
        lambda users, user: users.set_role(user, "operator", actor="test", at=NOW),
    ],
    ids=["revoked", "another password", "another role"],
)
async def test_sessions_of_a_person_end_with_what_they_stood_for(
    store: Founded, end: Callable[[Users, str], Awaitable[str | None]]
) -> None:
    tenant = store.storage.of(store.subscription_id)
    user = await tenant.users.create("anna", password_hash="x", role="viewer", actor="test", at=NOW)
    await tenant.access_tokens.add(
        "tok_1",
        kind="bearer",
        secret_hash=b"1",
        scopes=["all"],
        at=NOW,
        expires_at=NOW + 9,
        user_id=user.id,
    )
    before = await Grants(store.storage).find_token("tok_1")
    await end(tenant.users, user.id)
    after = await Grants(store.storage).find_token("tok_1")
    assert before is not None
    assert after is not None
    assert before.is_live(NOW)
    assert not before.is_live(NOW + 9)
    assert not after.is_live(NOW)


async def test_nobody_of_a_revoked_subscription_signs_in(store: Founded) -> None:
    await Subscriptions(store.storage).revoke(store.subscription_id, actor="test", at=NOW)
    assert await find_login(store.storage, "admin") is None


async def test_tenants_do_not_see_or_revoke_each_others_rows(store: Founded) -> None:
    other = await store.subscription("Other")
    mine, theirs = store.storage.of(store.subscription_id), store.storage.of(other)
    key = (await mine.keys.all())[0]
    user = (await mine.users.all())[0]
    assert await theirs.keys.all() == []
    assert await theirs.users.all() == []
    assert not await theirs.keys.revoke(key.id, actor="test", at=NOW)
    assert await theirs.users.revoke(user.id, actor="test", at=NOW) is None
    assert not await theirs.access_tokens.revoke("tok_1", at=NOW)
    assert [entry.action for entry in await theirs.audit.newest(limit=10)] == [
        "subscription.create"
    ]


async def test_token_ends_with_its_key(store: Founded) -> None:
    tenant = store.storage.of(store.subscription_id)
    await tenant.keys.create(
        "key_1",
        name="n",
        secret_hash=b"k",
        scopes=["all"],
        actor="test",
        at=NOW,
        expires_at=NOW + 5,
    )
    await tenant.access_tokens.add(
        "tok_1",
        kind="oauth",
        secret_hash=b"1",
        scopes=["all"],
        at=NOW,
        expires_at=NOW + 100,
        key_id="key_1",
        datasource_id="ds_1",
    )
    grants = Grants(store.storage)
    before = await grants.find_token("tok_1")
    await tenant.keys.revoke("key_1", actor="test", at=NOW)
    after = await grants.find_token("tok_1")
    assert before is not None
    assert after is not None
    assert (before.live_until, before.key_id, before.datasource_id) == (NOW + 5, "key_1", "ds_1")
    assert after.revoked


async def test_revoked_token_is_dead_and_ended_ones_are_forgotten(store: Founded) -> None:
    tokens = store.storage.of(store.subscription_id).access_tokens
    for name, end in (("tok_1", 10), ("tok_2", 20)):
        await tokens.add(
            name, kind="oauth", secret_hash=b"1", scopes=[], at=NOW, expires_at=NOW + end
        )
    grants = Grants(store.storage)
    assert await tokens.revoke("tok_2", at=NOW)
    assert not await tokens.revoke("tok_2", at=NOW)
    revoked = await grants.find_token("tok_2")
    assert revoked is not None
    assert not revoked.is_live(NOW)
    assert await grants.forget_tokens(expired_before=NOW + 15) == 1
    assert await grants.find_token("tok_1") is None
    assert await grants.find_key("key_1") is None


async def test_audit_is_read_page_by_page_newest_first(store: Founded) -> None:
    log = store.storage.of("sub_1").audit
    for number in range(5):
        await log.add(
            at=NOW + number, actor="a", action=f"do.{number}", target="t", detail={"n": number}
        )
    first = await log.newest(limit=2)
    rest = await log.newest(AuditFilter(before=first[-1].seq), limit=10)
    assert [entry.action for entry in (*first, *rest)] == ["do.4", "do.3", "do.2", "do.1", "do.0"]
    assert first[0].detail == {"n": 4}
