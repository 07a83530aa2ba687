"""When the agent stops asking a Procore that refuses the app as a whole."""

import asyncio
import gzip
import time
from contextlib import suppress

import pytest

from cloud_connect.calls import Environment, Source
from cloud_connect.errors import Outcome, SourceRejectedError
from cloud_connect_agent.procore.circuits import Circuits
from cloud_connect_agent.procore.client import ApiRequest, ProcoreClient
from cloud_connect_agent.procore.connection_test import run_connection_test
from cloud_connect_agent.procore.scheduler import Grant
from doubles.fake_procore import SOURCE, FakeProcore, Reply, Seen

MANY = 8  # refusals that open a circuit
ONE = Grant(Environment.LIVE, "app", 1)
OTHER = Grant(Environment.LIVE, "app", 2)
RFIS = b"/rest/v1.0/projects/5/rfis?page=1"
NOT_CONNECTED = SourceRejectedError(
    "Procore answered 403: App is not connected to this company.",
    status=403,
    body={"errors": ["App is not connected to this company."]},
)
NO_TOOL = SourceRejectedError("Procore answered 403: No access to the tool.", status=403)


class Bench:
    """Circuits whose clock stands still until told."""

    def __init__(self) -> None:
        self.now = 100.0
        self.circuits = Circuits(clock=lambda: self.now, spread=lambda: 0.0)

    def refuse(self, times: int = 1, error: SourceRejectedError = NOT_CONNECTED) -> None:
        for _ in range(times):
            self.circuits.answered(ONE, RFIS, error.status)
            self.circuits.explained(ONE, error)

    def passes(self, grant: Grant = ONE) -> bool:
        try:
            self.circuits.check(grant)
        except SourceRejectedError:
            return False
        return True


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_many_refusals_in_a_row_open_the_circuit_of_that_company_only(bench: Bench) -> None:
    bench.refuse(MANY - 1)
    assert bench.passes()
    bench.refuse()
    assert not bench.passes()
    assert bench.passes(OTHER)


def test_what_is_refused_says_procores_reason_and_that_nothing_was_sent(bench: Bench) -> None:
    bench.refuse(MANY)
    with pytest.raises(SourceRejectedError, match="not connected to this company") as caught:
        bench.circuits.check(ONE)
    assert (caught.value.status, caught.value.body) == (403, NOT_CONNECTED.body)
    assert caught.value.outcome is Outcome.NOT_EXECUTED
    assert caught.value.retry_after == 1.0
    assert "connection test" in caught.value.message


def test_the_pause_grows_with_each_refused_probe_up_to_five_minutes(bench: Bench) -> None:
    bench.refuse(MANY)
    pauses = []
    for _ in range(11):
        (opened,) = bench.circuits.open_ones()
        pauses.append(opened.retry_in)
        bench.now += opened.retry_in
        assert bench.passes()
        assert not bench.passes()  # one at a time
        bench.refuse()
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_a_probe_that_never_comes_back_is_followed_by_another(bench: Bench) -> None:
    bench.refuse(MANY)
    bench.now += 1.0
    assert bench.passes()
    assert not bench.passes()
    bench.now += 1.0
    assert bench.passes()


def test_refusals_of_requests_that_were_under_way_do_not_lengthen_the_pause(bench: Bench) -> None:
    bench.refuse(32)
    assert [opened.retry_in for opened in bench.circuits.open_ones()] == [1.0]


def test_a_success_closes_the_circuit(bench: Bench) -> None:
    bench.refuse(MANY)
    bench.circuits.answered(ONE, RFIS, 200)
    assert bench.passes()
    assert bench.circuits.open_ones() == []
    bench.refuse(MANY - 1)
    assert bench.passes()


@pytest.mark.parametrize("target", [b"/rest/v1.0/me", b"/rest/v1.0/companies?per_page=100"])
def test_what_answers_without_a_connected_app_proves_nothing_of_it(
    bench: Bench, target: bytes
) -> None:
    bench.refuse(MANY)
    bench.circuits.answered(ONE, target, 200)
    assert not bench.passes()


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_procore_in_trouble_proves_nothing(bench: Bench, status: int) -> None:
    bench.refuse(MANY)
    bench.circuits.answered(ONE, RFIS, status)
    assert not bench.passes()


def test_a_refusal_of_one_tool_blocks_nothing(bench: Bench) -> None:
    bench.refuse(50, NO_TOOL)
    assert bench.passes()


def test_a_token_that_is_refused_opens_the_circuit_without_words(bench: Bench) -> None:
    for _ in range(MANY):
        bench.circuits.answered(ONE, RFIS, 401)
    with pytest.raises(SourceRejectedError, match="does not accept the app's token"):
        bench.circuits.check(ONE)


def test_a_refused_tool_shows_that_the_app_is_known(bench: Bench) -> None:
    for _ in range(MANY):
        bench.circuits.answered(ONE, RFIS, 401)
    bench.refuse(1, NO_TOOL)
    assert bench.passes()
    bench.refuse(MANY)
    bench.refuse(1, NO_TOOL)
    assert bench.passes()


def test_another_kind_of_refusal_counts_from_one(bench: Bench) -> None:
    bench.refuse(MANY - 1)
    bench.circuits.answered(ONE, RFIS, 401)
    bench.refuse(MANY - 1)
    assert bench.passes()


def test_new_credentials_close_all(bench: Bench) -> None:
    bench.refuse(MANY)
    bench.circuits.reset()
    assert bench.passes()


def test_many_companies_cost_no_memory(bench: Bench) -> None:
    for company in range(3000):
        bench.circuits.answered(Grant(Environment.LIVE, "app", company), RFIS, 401)
    assert len(bench.circuits._circuits) <= 1024


async def ask(client: ProcoreClient, source: Source = SOURCE, method: str = "GET") -> object:
    request = ApiRequest(method=method, path="/rest/v1.0/rfis")
    return (await client.request(request, source=source, deadline=time.monotonic() + 10)).json


async def refused(client: ProcoreClient, times: int, method: str = "GET") -> SourceRejectedError:
    for _ in range(times):
        with pytest.raises(SourceRejectedError) as caught:
            await ask(client, method=method)
    return caught.value


class Company:
    """Answers as the company of an app does, connected or not."""

    def __init__(self) -> None:
        self.connected = False

    def __call__(self, seen: Seen) -> Reply:
        if seen.target.startswith("/rest/v1.0/companies"):
            return Reply(body=[{"id": 8089, "name": "One", "is_active": True}])
        if self.connected or seen.target.startswith("/rest/v1.0/me"):
            return Reply(body={"id": 1}, headers={"total": "3"})
        return Reply(status=403, body={"errors": ["App is not connected to this company."]})


async def test_a_company_without_the_app_is_left_alone_until_the_test_finds_it(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    company = procore.api.default = Company()
    error = await refused(client, MANY + 3)
    assert len(procore.api.seen) == MANY
    assert (error.status, error.body) == (
        403,
        {"errors": ["App is not connected to this company."]},
    )
    report = await run_connection_test(client, SOURCE, deadline=time.monotonic() + 10)
    assert not report.success
    assert "App Management" in report.message
    await refused(client, 1)
    for _ in range(MANY):  # however often a person tries
        await run_connection_test(client, SOURCE, deadline=time.monotonic() + 10)
    assert [one.retry_in <= 1.0 for one in client.circuits.open_ones()] == [True]
    company.connected = True
    report = await run_connection_test(client, SOURCE, deadline=time.monotonic() + 10)
    assert report.success
    assert await ask(client) == {"id": 1}


async def test_a_write_that_was_not_sent_is_not_executed(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.default = Company()
    error = await refused(client, MANY + 1, "POST")
    assert len(procore.api.seen) == MANY
    assert error.outcome is Outcome.NOT_EXECUTED


async def test_a_token_that_stays_refused_is_not_presented_for_ever(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.default = lambda _: Reply(status=401, body={"errors": "Bad token"})
    error = await refused(client, MANY + 2)
    assert len(procore.api.seen) == 2 * MANY  # each with its token renewed once
    assert "Bad token" in error.message
    procore.api.default = lambda _: Reply(body={"id": 1})
    client.reload()
    assert await ask(client) == {"id": 1}


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        ({"errors": ["App is not connected to this company."]}, MANY),
        ({"errors": ["No access to the tool."]}, MANY + 3),
        ({"errors": ["App is not connected to this company."], "more": "x" * 5000}, MANY + 3),
    ],
)
async def test_raw_requests_to_a_company_without_the_app_are_left_out_too(
    client: ProcoreClient, procore: FakeProcore, answer: object, sent: int
) -> None:
    procore.api.default = lambda _: Reply(status=403, body=answer)
    for _ in range(MANY + 3):
        raw = client.stream("GET", "/rest/v1.0/rfis", source=SOURCE, deadline=time.monotonic() + 10)
        with suppress(SourceRejectedError):
            async with raw as response:
                async for _chunk in response.chunks():
                    pass
    assert len(procore.api.seen) == sent


@pytest.mark.parametrize(
    ("encoding", "sent"), [("gzip", MANY), ("br", MANY + 3), ("deflate", MANY + 3)]
)
async def test_packed_reason_of_a_raw_refusal_is_heard_if_it_can_be_unpacked(
    client: ProcoreClient, procore: FakeProcore, encoding: str, sent: int
) -> None:
    said = gzip.compress(b'{"errors": ["App is not connected to this company."]}')
    if encoding == "deflate":
        said = said[:-9]
    procore.api.default = lambda _: Reply(
        status=403, body=said, headers={"content-encoding": encoding}
    )
    for _ in range(MANY + 3):
        raw = client.stream("GET", "/rest/v1.0/rfis", source=SOURCE, deadline=time.monotonic() + 10)
        with suppress(SourceRejectedError):
            async with raw as response:
                assert b"".join([chunk async for chunk in response.chunks()]) == said
    assert len(procore.api.seen) == sent


async def test_refused_pages_in_parallel_open_the_circuit_once(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.default = Company()
    source = SOURCE.model_copy(update={"project_id": 1})
    async with asyncio.TaskGroup() as group:
        for page in range(20):
            request = ApiRequest(method="GET", path=f"/rest/v1.0/projects/{page}/rfis")
            group.create_task(_ignored(client, request, source))
    (opened,) = client.circuits.open_ones()
    assert opened.retry_in <= 1.2


async def _ignored(client: ProcoreClient, request: ApiRequest, source: Source) -> None:
    with pytest.raises(SourceRejectedError):
        await client.request(request, source=source, deadline=time.monotonic() + 10)
