import asyncio
from pathlib import Path

import pytest

from cloud_connect.errors import ConfigurationError
from cloud_connect_relay.custom_connector.sealing import Sealer
from cloud_connect_relay.ids import new_id
from cloud_connect_relay.storage import Storage
from cloud_connect_relay.storage.custom_connectors import CustomConnectorsOfAll
from cloud_connect_relay.storage.custom_requests import Admission, CustomRequests
from cloud_connect_relay.storage.subscriptions import Subscriptions
from doubles.relay_node import NOW, Founded, founded

DAY = 86_400.0
BLOCK, OTHER = b"b" * 16, b"o" * 16


async def register(store: Founded, subscription_id: str | None = None) -> str:
    made = await store.storage.of(subscription_id or store.subscription_id).custom_connectors.add(
        new_id("reg"),
        title="Kianda",
        dialect="A",
        sealed_secret=b"sealed",
        allow_writes=True,
        request_id_is_key=False,
        users="members",
        actor="test",
        at=NOW,
    )
    return made.id


def requests(store: Founded, registration: str) -> CustomRequests:
    return CustomRequests(store.storage, registration)


async def admit(
    seen: CustomRequests, request: str, block: bytes | None, *, at: float = NOW
) -> Admission:
    return await seen.admit(request, last_block=block, at=at, since=at - DAY)


async def test_registration_belongs_to_its_subscription_only(store: Founded) -> None:
    registration = await register(store)
    other = store.storage.of(await store.subscription("Other")).custom_connectors
    assert await other.find(registration) is None
    assert await other.all() == []
    assert not await other.replace_secret(registration, b"theirs", actor="test", at=NOW)
    assert not await other.delete(registration, actor="test", at=NOW)
    mine = store.storage.of(store.subscription_id).custom_connectors
    assert [one.id for one in await mine.all()] == [registration]


async def test_registration_and_its_end_stand_in_the_audit_log(store: Founded) -> None:
    registration = await register(store)
    tenant = store.storage.of(store.subscription_id)
    assert await tenant.custom_connectors.replace_secret(registration, b"new", actor="test", at=NOW)
    assert await tenant.custom_connectors.delete(registration, actor="test", at=NOW)
    entries = await tenant.audit.newest(limit=3)
    assert [(entry.action, entry.target) for entry in entries] == [
        ("custom_connector.delete", registration),
        ("custom_connector.secret", registration),
        ("custom_connector.create", registration),
    ]


async def test_new_secret_makes_settings_under_the_former_one_forgotten(store: Founded) -> None:
    registration = await register(store)
    seen = requests(store, registration)
    assert await admit(seen, "r1", BLOCK) is Admission.FRESH
    mine = store.storage.of(store.subscription_id).custom_connectors
    await mine.replace_secret(registration, b"new", actor="test", at=NOW)
    assert await admit(seen, "r1", OTHER) is Admission.REPEATED
    assert await admit(seen, "r2", BLOCK) is Admission.FRESH


async def test_revoked_subscription_has_no_registration_to_present(store: Founded) -> None:
    other = await store.subscription("Other")
    registration = await register(store, other)
    everybody = CustomConnectorsOfAll(store.storage)
    assert await everybody.present(registration, last_block=BLOCK) is not None
    await Subscriptions(store.storage).revoke(other, actor="test", at=NOW)
    assert await everybody.present(registration, last_block=BLOCK) is None


async def test_request_is_let_in_once(store: Founded) -> None:
    seen = requests(store, await register(store))
    assert await admit(seen, "r1", BLOCK) is Admission.FRESH
    assert await admit(seen, "r1", BLOCK) is Admission.REPEATED
    assert await admit(seen, "r1", OTHER) is Admission.REPEATED
    assert await admit(seen, "r2", BLOCK) is Admission.REPLAYED
    # Its sealed settings came with a repeat, and are as used as those of the first one.
    assert await admit(seen, "r2", OTHER) is Admission.REPLAYED


async def test_settings_that_came_once_are_refused_for_ever_and_an_id_for_a_day(
    store: Founded,
) -> None:
    seen = requests(store, await register(store))
    await admit(seen, "r1", BLOCK)
    assert await admit(seen, "r1", BLOCK, at=NOW + 2 * DAY) is Admission.REPLAYED
    assert await admit(seen, "r1", OTHER, at=NOW + 2 * DAY) is Admission.FRESH


async def test_without_fresh_settings_only_the_id_tells(store: Founded) -> None:
    seen = requests(store, await register(store))
    assert await admit(seen, "r1", None) is Admission.FRESH
    assert await admit(seen, "r1", None) is Admission.REPEATED
    assert await admit(seen, "r2", None) is Admission.FRESH


async def test_registrations_do_not_know_each_others_requests(store: Founded) -> None:
    first, second = requests(store, await register(store)), requests(store, await register(store))
    assert await admit(first, "r1", BLOCK) is Admission.FRESH
    assert await admit(second, "r1", BLOCK) is Admission.FRESH


async def test_of_many_at_once_on_two_nodes_one_is_let_in(tmp_path: Path, empty: str) -> None:
    async with founded(tmp_path, empty) as store, Storage.open(empty) as second:
        registration = await register(store)
        nodes = [CustomRequests(one, registration) for one in (store.storage, second)]
        async with asyncio.TaskGroup() as tasks:
            coming = [
                tasks.create_task(admit(nodes[number % 2], "r1", bytes([number]) * 16))
                for number in range(20)
            ]
        found = [one.result() for one in coming]
        assert found.count(Admission.FRESH) == 1
        assert found.count(Admission.REPEATED) == 19
        async with asyncio.TaskGroup() as tasks:
            coming = [
                tasks.create_task(admit(nodes[number % 2], f"x{number}", BLOCK))
                for number in range(20)
            ]
        assert [one.result() for one in coming].count(Admission.FRESH) == 1


async def test_answer_is_kept_until_its_request_is_forgotten(store: Founded) -> None:
    seen = requests(store, await register(store))
    assert await seen.find("r1") is None
    await admit(seen, "r1", BLOCK)
    running = await seen.find("r1")
    assert running is not None
    assert running.answer is None
    await seen.answer("r1", b"sealed")
    answered = await seen.find("r1")
    assert answered is not None
    assert answered.answer == b"sealed"
    gone = await CustomRequests.forget(store.storage, before=NOW + 1, max_kept_bytes=100)
    assert gone == 1
    assert await seen.find("r1") is None


async def test_only_the_newest_answers_of_a_registration_are_kept(store: Founded) -> None:
    seen = requests(store, await register(store))
    other = requests(store, await register(store))
    for number in range(5):
        for one in (seen, other):
            await admit(one, f"r{number}", None, at=NOW + number)
    for number in range(5):
        await seen.answer(f"r{number}", b"x" * 40)
    await CustomRequests.forget(store.storage, before=NOW, max_kept_bytes=100)
    kept = [await seen.find(f"r{number}") for number in range(5)]
    assert [len(one.answer or b"") for one in kept if one is not None] == [0, 0, 0, 40, 40]
    running = await other.find("r0")
    assert running is not None
    assert running.answer is None


async def test_deleted_registration_lets_nothing_in(store: Founded) -> None:
    registration = await register(store)
    seen = requests(store, registration)
    await admit(seen, "r1", BLOCK)
    tenant = store.storage.of(store.subscription_id)
    assert await tenant.custom_connectors.delete(registration, actor="test", at=NOW)
    assert await seen.find("r1") is None
    assert await admit(seen, "r2", OTHER) is Admission.REPLAYED


async def test_sealed_secret_opens_in_its_place_with_its_file_only(
    sqlite: Founded, tmp_path: Path
) -> None:
    sealer = Sealer(sqlite.identity.pepper, "secrets")
    sealed = sealer.seal(b"the secret", place="reg_1")
    assert b"the secret" not in sealed
    assert sealer.open(sealed, place="reg_1") == b"the secret"
    async with founded(tmp_path / "other") as other:
        for opening, place in (
            (sealer, "reg_2"),
            (Sealer(sqlite.identity.pepper, "answers"), "reg_1"),
            (Sealer(other.identity.pepper, "secrets"), "reg_1"),
        ):
            with pytest.raises(ConfigurationError, match=r"relay\.pepper"):
                opening.open(sealed, place=place)
