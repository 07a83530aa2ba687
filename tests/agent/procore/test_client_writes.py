"""Writes of the Procore client: sent once, and honest about what became of them."""

import time

import pytest

from cloud_connect.errors import (
    CloudConnectError,
    InternalError,
    Outcome,
    OutcomeUnknownError,
    RateLimitedError,
    SourceRejectedError,
    SourceUnavailableError,
)
from cloud_connect_agent.procore.client import ApiRequest, ApiResponse, ProcoreClient
from cloud_connect_agent.procore.writes import without_writes, write_guard
from doubles.fake_procore import SANDBOX, SOURCE, FakeProcore, MemoryVault, Reply

ME = ApiRequest(method="GET", path="/rest/v1.0/me")
CREATE = ApiRequest(method="POST", path="/rest/v1.0/rfis", json={"rfi": {"subject": "x"}})
HTML = Reply(status=502, body=b"<html>Bad Gateway</html>", headers={"content-type": "text/html"})
BUSY = Reply(
    status=429, body=b"You have surpassed the max number of requests.", headers={"retry-after": "1"}
)


async def ask(
    client: ProcoreClient, request: ApiRequest = ME, *, within: float = 10.0
) -> ApiResponse:
    return await client.request(request, source=SOURCE, deadline=time.monotonic() + within)


@pytest.mark.parametrize("reply", [HTML, Reply(status=408), Reply(status=503), Reply(drop=True)])
async def test_a_write_that_may_have_arrived_is_not_repeated(
    client: ProcoreClient, procore: FakeProcore, reply: Reply
) -> None:
    procore.api.then(reply)
    with pytest.raises(OutcomeUnknownError, match="not known") as caught:
        await ask(client, CREATE)
    assert caught.value.outcome is Outcome.UNKNOWN
    assert len(procore.api.seen) == 1


async def test_a_write_whose_answer_breaks_off_is_unknown(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.then(Reply(status=201, body={"id": 7}, cut=3))
    with pytest.raises(OutcomeUnknownError):
        await ask(client, CREATE)
    assert len(procore.api.seen) == 1


async def test_a_write_that_was_carried_out_is_done_whatever_the_body(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.then(Reply(status=201, body=b"{not json", headers={"content-type": "app/json"}))
    answer = await ask(client, CREATE)
    assert (answer.status, answer.json, answer.text) == (201, None, "{not json")


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
async def test_a_proxys_page_is_not_taken_for_what_procore_says_of_a_write(
    client: ProcoreClient, procore: FakeProcore, method: str
) -> None:
    page = Reply(status=200, body=b"\n<html>Sign in</html>", headers={"content-type": "text/html"})
    procore.api.default = lambda _: page
    body = {"rfi": {"subject": "x"}} if method != "DELETE" else None
    with pytest.raises(OutcomeUnknownError, match=r"not its API.*carried out is not known"):
        await ask(client, ApiRequest(method=method, path="/rest/v1.0/rfis/7", json=body))


async def test_a_write_whose_answer_cannot_be_unpacked_is_unknown(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    packed = Reply(status=201, body=b"no gzip", headers={"content-encoding": "gzip"})
    procore.api.then(packed)
    with pytest.raises(OutcomeUnknownError, match=r"damaged.*carried out is not known"):
        await ask(client, CREATE)


async def test_a_write_that_finds_nobody_was_not_executed(
    procore: FakeProcore, vault: MemoryVault
) -> None:
    settings = procore.settings
    refused = settings.environments[SANDBOX.flag].model_copy(
        update={"api_url": "http://127.0.0.1:9"}
    )
    settings = settings.model_copy(update={"environments": {SANDBOX.flag: refused}})
    async with ProcoreClient.open(settings, vault) as client:
        await client.authenticator.sign_in(SANDBOX)
        with pytest.raises(SourceUnavailableError, match="refused the connection") as caught:
            await ask(client, CREATE)
    assert caught.value.outcome is Outcome.NOT_EXECUTED


@pytest.mark.slow
async def test_a_throttled_write_waits_and_is_carried_out_once(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.then(BUSY, Reply(status=201, body={"id": 1}))
    started = time.monotonic()
    assert (await ask(client, CREATE)).status == 201
    assert time.monotonic() - started >= 1.0
    assert len(procore.api.seen) == 2


@pytest.mark.parametrize("status", [429, 503])
async def test_throttling_beyond_the_deadline_is_told(
    client: ProcoreClient, procore: FakeProcore, status: int
) -> None:
    procore.api.then(Reply(status=status, body=b"later", headers={"retry-after": "30"}))
    with pytest.raises(RateLimitedError) as caught:
        await ask(client, CREATE, within=2.0)
    assert caught.value.outcome is Outcome.NOT_EXECUTED
    assert caught.value.retry_after == pytest.approx(30, abs=1)
    with pytest.raises(RateLimitedError):  # and the next one is not even sent
        await ask(client, within=2.0)
    assert len(procore.api.seen) == 1


async def test_a_write_with_hostile_headers_is_unknown(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.then(Reply(body={}, headers={f"x-{n}": "1" for n in range(300)}))
    with pytest.raises(OutcomeUnknownError):
        await ask(client, CREATE)


class Guard:
    def __init__(self, procore: FakeProcore) -> None:
        self.procore = procore
        self.seen_before: list[int] = []
        self.done = 0
        self.refusal: CloudConnectError | None = None

    async def before_write(self) -> None:
        self.seen_before.append(len(self.procore.api.seen))
        if self.refusal:
            raise self.refusal

    def carried_out(self) -> None:
        self.done += 1


async def test_a_write_is_guarded_before_its_first_byte(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    guard = Guard(procore)
    mark = write_guard.set(guard)
    try:
        await ask(client)
        await ask(client, CREATE)
        assert (guard.seen_before, guard.done) == ([1], 1)
        guard.refusal = InternalError("no")
        with pytest.raises(InternalError):
            await ask(client, CREATE)
    finally:
        write_guard.reset(mark)
    assert len(procore.api.seen) == 2


async def test_a_write_waits_for_its_answer_beyond_the_deadline(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.then(Reply(status=201, body={"id": 3}, delay=0.4))
    assert (await ask(client, CREATE, within=0.2)).json == {"id": 3}


DELETE = ApiRequest(method="DELETE", path="/rest/v1.0/rfis/5")


async def test_a_deletion_whose_answer_is_lost_is_repeated_once(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.then(Reply(drop=True), Reply(status=404, body={"message": "Not found"}))
    assert (await ask(client, DELETE)).already_absent
    procore.api.then(Reply(status=502), Reply(status=204))
    assert not (await ask(client, DELETE)).already_absent
    assert len(procore.api.seen) == 4


@pytest.mark.parametrize("second", [Reply(drop=True), Reply(status=403), Reply(status=502)])
async def test_a_deletion_is_not_repeated_twice(
    client: ProcoreClient, procore: FakeProcore, second: Reply
) -> None:
    procore.api.then(Reply(drop=True), second)
    with pytest.raises(OutcomeUnknownError):
        await ask(client, DELETE)
    assert len(procore.api.seen) == 2


async def test_a_deletion_with_a_body_is_not_repeated(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.then(Reply(drop=True))
    request = ApiRequest(method="DELETE", path="/rest/v1.0/rfis", json={"ids": [1]})
    with pytest.raises(OutcomeUnknownError):
        await ask(client, request)
    assert len(procore.api.seen) == 1


async def test_what_is_not_there_at_first_is_a_rejection(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.then(Reply(status=404, body={"message": "Not found"}))
    with pytest.raises(SourceRejectedError, match="Not found"):
        await ask(client, DELETE)


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
async def test_client_keeps_back_what_a_dry_run_would_write(
    procore: FakeProcore, client: ProcoreClient, method: str
) -> None:
    asked = len(procore.api.seen)
    with without_writes():
        with pytest.raises(InternalError, match="dry run"):
            await client.request(
                ApiRequest(method=method, path="/rest/v1.0/rfis"),
                source=SOURCE,
                deadline=time.monotonic() + 10,
            )
        await client.request(
            ApiRequest(method="GET", path="/rest/v1.0/rfis"),
            source=SOURCE,
            deadline=time.monotonic() + 10,
        )
    assert [one.method for one in procore.api.seen[asked:]] == ["GET"]
    await client.request(
        ApiRequest(method=method, path="/rest/v1.0/rfis"),
        source=SOURCE,
        deadline=time.monotonic() + 10,
    )
    assert procore.api.seen[-1].method == method
