"""What is known of the way to Procore, and the small request that finds it out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cloud_connect.errors import SourceRejectedError
from cloud_connect_agent.procore.client import ApiRequest, ProcoreClient
from cloud_connect_agent.procore.contacts import Contacts
from cloud_connect_agent.procore.probing import ProcoreProbe
from cloud_connect_agent.procore.scheduler import Grant
from doubles.fake_procore import SANDBOX, SOURCE, FakeProcore, MemoryVault, Reply
from doubles.rotating_login import RotatingLogin, sign_in_by_code
from doubles.waiting import until

RFIS = ApiRequest(method="GET", path="/rest/v1.0/rfis")
DEADLINE = 1e9


@asynccontextmanager
async def probing(
    client: ProcoreClient, *, interval: float = 0.05, first: float = 60.0
) -> AsyncIterator[None]:
    probe = ProcoreProbe(client, interval=lambda: interval, tick=0.005, first=first)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(probe.keep())
        yield
        task.cancel()


@pytest.fixture
async def person(procore: FakeProcore, vault: MemoryVault) -> AsyncIterator[ProcoreClient]:
    RotatingLogin().on(procore)
    async with ProcoreClient.open(procore.settings, vault, spread=lambda: 0.0) as made:
        await sign_in_by_code(made.authenticator)
        procore.api.seen.clear()
        yield made


def asked(procore: FakeProcore) -> list[tuple[str, str | None]]:
    return [(one.target, one.headers.get("procore-company-id")) for one in procore.api.seen]


@pytest.mark.parametrize(
    ("status", "proves"),
    [(200, True), (404, True), (422, True), (401, False), (403, False), (429, False), (503, False)],
)
def test_only_a_good_answer_proves_the_way(status: int, *, proves: bool) -> None:
    contacts = Contacts(clock=lambda: 12.5, wall=lambda: 1_800_000_000.0)
    contacts.answered(Grant(SANDBOX, "app", 7, "ann"), status, began=12.0)
    found = contacts.last(SANDBOX, "ann")
    assert (found is not None) is proves
    if found is not None:
        assert (found.seconds, found.company_id, found.at) == (0.5, 7, 1_800_000_000.0)
    assert contacts.last(SANDBOX, "default") is None


async def test_calls_count_as_contacts_and_are_shown(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    assert (await client.grants())[0].last_contact_at is None
    procore.api.script.append(Reply(403, {"message": "No."}))
    with pytest.raises(SourceRejectedError):
        await client.request(RFIS, source=SOURCE, deadline=DEADLINE)
    assert (await client.grants())[0].last_contact_at is None
    await client.request(RFIS, source=SOURCE, deadline=DEADLINE)
    grant = (await client.grants())[0]
    assert grant.last_contact_at is not None
    assert grant.last_contact_ms is not None


async def test_idle_person_asks_who_it_is(person: ProcoreClient, procore: FakeProcore) -> None:
    async with probing(person):
        await until(lambda: len(procore.api.seen) >= 2)
    assert set(asked(procore)) == {("/rest/v1.0/me", None)}
    assert (await person.grants())[0].last_contact_at is not None


async def test_idle_app_without_a_company_asks_nothing_that_would_be_refused(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    async with probing(client, first=0.0):
        await asyncio.sleep(0.1)
    assert procore.api.seen == []


async def test_account_that_was_used_asks_for_its_company(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    await client.request(RFIS, source=SOURCE, deadline=DEADLINE)
    async with probing(client):
        await until(lambda: len(procore.api.seen) >= 2)
    assert asked(procore)[1] == ("/rest/v1.0/me", str(SOURCE.company_id))


async def test_account_that_is_in_use_is_left_alone(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    async with probing(client, interval=60.0, first=0.01):
        await client.request(RFIS, source=SOURCE, deadline=DEADLINE)
        await asyncio.sleep(0.05)
    assert asked(procore) == [("/rest/v1.0/rfis", str(SOURCE.company_id))]


async def test_probe_that_fails_is_not_repeated_in_haste(
    person: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.default = lambda _: Reply(401, {"message": "No."})
    async with probing(person, interval=60.0, first=0.0):
        await until(lambda: len(procore.api.seen) >= 1)
        await asyncio.sleep(0.1)
    assert len(procore.api.seen) == 1
    assert (await person.grants())[0].last_contact_at is None


async def test_probe_that_is_switched_off_asks_nothing(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    async with probing(client, interval=0.0, first=0.0):
        await asyncio.sleep(0.1)
    assert procore.api.seen == []


async def test_account_without_a_grant_is_not_probed(procore: FakeProcore) -> None:
    vault = MemoryVault()
    vault.store_app()
    async with ProcoreClient.open(procore.settings, vault) as client, probing(client, first=0.0):
        await asyncio.sleep(0.1)
    assert procore.api.seen == []
