import pytest

from cloud_connect.errors import InvalidRequestError
from cloud_connect_relay.storage.audit import AuditFilter
from cloud_connect_relay.storage.founding import (
    AlreadyFoundedError,
    Founding,
    found,
    founded_by,
)
from cloud_connect_relay.storage.keys import Grants
from cloud_connect_relay.storage.subscriptions import Subscriptions
from cloud_connect_relay.storage.users import find_login
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
    revoked = await users.revoke("ADMIN", actor="test", at=NOW)
    assert revoked is not None
    assert await find_login(store.storage, "admin") is None
    assert await users.revoke(revoked, actor="test", at=NOW) is None
    await users.create("admin", password_hash="x", role="viewer", actor="test", at=NOW + 1)
    assert [(one.username, one.revoked_at) for one in await users.all()] == [
        ("admin", NOW),
        ("admin", None),
    ]


async def test_revoking_a_person_ends_their_tokens(store: Founded) -> None:
    tenant = store.storage.of(store.subscription_id)
    user = (await tenant.users.all())[0]
    await tenant.keys.add_token(
        "tok_1",
        kind="bearer",
        secret_hash=b"1",
        scopes=["all"],
        at=NOW,
        expires_at=NOW + 9,
        user_id=user.id,
    )
    before = await Grants(store.storage).find_token("tok_1")
    await tenant.users.revoke(user.id, actor="test", at=NOW)
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
    assert not await theirs.keys.revoke_token("tok_1", at=NOW)
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
    await tenant.keys.add_token(
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
    keys = store.storage.of(store.subscription_id).keys
    for name, end in (("tok_1", 10), ("tok_2", 20)):
        await keys.add_token(
            name, kind="oauth", secret_hash=b"1", scopes=[], at=NOW, expires_at=NOW + end
        )
    grants = Grants(store.storage)
    assert await keys.revoke_token("tok_2", at=NOW)
    assert not await keys.revoke_token("tok_2", at=NOW)
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
