"""The Procore client, over real sockets."""

import asyncio
import gzip
import time

import pytest

from cloud_connect.errors import (
    CloudConnectError,
    DeadlineExceededError,
    InternalError,
    Outcome,
    OutcomeUnknownError,
    RateLimitedError,
    SignInRequiredError,
    SourceRejectedError,
    SourceUnavailableError,
)
from cloud_connect_agent.procore.bodies import BodyLimits
from cloud_connect_agent.procore.client import ApiRequest, ApiResponse, ProcoreClient
from cloud_connect_agent.procore.transport import Timeouts
from cloud_connect_agent.procore.writes import write_guard
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


async def test_every_request_names_company_agent_and_token(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    await ask(client)
    headers = procore.api.seen[0].headers
    assert headers["procore-company-id"] == "8089"
    assert headers["authorization"] == "Bearer token-1"
    assert headers["user-agent"].startswith("cloud-connect/")
    assert headers["host"] == procore.api.url.removeprefix("http://")


async def test_an_answer_is_decoded(client: ProcoreClient, procore: FakeProcore) -> None:
    procore.api.then(Reply(body=[{"id": 5}], headers={"Total": "1", "X-Request-Id": "r-1"}))
    answer = await ask(client)
    assert answer.json == [{"id": 5}]
    assert answer.headers["total"] == "1"
    assert answer.request_id == "r-1"


async def test_an_empty_answer_is_no_json(client: ProcoreClient, procore: FakeProcore) -> None:
    procore.api.then(Reply(status=204), Reply(body=b"pong", headers={"content-type": "text/plain"}))
    assert (await ask(client)).json is None
    answer = await ask(client)
    assert (answer.json, answer.text) == (None, "pong")


async def test_a_query_keeps_order_and_repetition(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    query = (("filters[id][]", "2"), ("filters[id][]", "1"), ("q", 'a b&"c"'))
    await ask(client, ApiRequest(method="GET", path="/rest/v1.0/rfis", query=query))
    wanted = "/rest/v1.0/rfis?filters[id][]=2&filters[id][]=1&q=a%20b%26%22c%22"
    assert procore.api.seen[0].target == wanted


async def test_bodies_go_out_as_json_or_form(client: ProcoreClient, procore: FakeProcore) -> None:
    await ask(client, CREATE)
    form = ApiRequest(method="POST", path="/rest/v1.0/rfis", form=(("rfi[subject]", "é"),))
    await ask(client, form)
    first, second = procore.api.seen
    assert first.body == b'{"rfi":{"subject":"x"}}'
    assert first.headers["content-type"] == "application/json"
    assert second.body == b"rfi%5Bsubject%5D=%C3%A9"
    assert second.headers["content-type"] == "application/x-www-form-urlencoded"


async def test_only_paths_of_the_api_are_requested(client: ProcoreClient) -> None:
    with pytest.raises(InternalError):
        await ask(client, ApiRequest(method="GET", path="//evil.example/rest/"))


async def test_reads_share_connections_and_writes_never_do(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    for _ in range(20):
        await ask(client)
    read_on = {seen.connection for seen in procore.api.seen}
    assert len(read_on) < 20
    procore.api.seen.clear()
    for _ in range(5):
        await ask(client, CREATE)
    written_on = [seen.connection for seen in procore.api.seen]
    assert len(set(written_on)) == 5
    assert not read_on & set(written_on)
    assert all(seen.headers["connection"] == "close" for seen in procore.api.seen)


async def test_redirects_are_not_followed(client: ProcoreClient, procore: FakeProcore) -> None:
    procore.api.then(Reply(status=302, headers={"location": f"{procore.login.url}/steal"}))
    with pytest.raises(SourceUnavailableError, match="302"):
        await ask(client)
    assert not any("steal" in seen.target for seen in procore.login.seen)


async def test_cookies_are_not_kept(client: ProcoreClient, procore: FakeProcore) -> None:
    procore.api.then(Reply(body={}, headers={"set-cookie": "session=1"}))
    await ask(client)
    await ask(client)
    assert "cookie" not in procore.api.seen[1].headers


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
async def test_a_failing_read_is_tried_three_times(
    client: ProcoreClient, procore: FakeProcore, status: int
) -> None:
    procore.api.then(*[Reply(status=status, body={"message": "broken"})] * 3)
    with pytest.raises(SourceUnavailableError, match="broken") as caught:
        await ask(client)
    assert caught.value.outcome is Outcome.NOT_EXECUTED
    assert len(procore.api.seen) == 3


async def test_a_read_recovers(client: ProcoreClient, procore: FakeProcore) -> None:
    procore.api.then(HTML, Reply(drop=True), Reply(body={"id": 7}))
    assert (await ask(client)).json == {"id": 7}


async def test_a_read_whose_answer_breaks_off_is_asked_for_again(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.then(Reply(body={"id": 7}, cut=3), Reply(body={"id": 7}))
    assert (await ask(client)).json == {"id": 7}


async def test_a_read_that_always_breaks_off_fails(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.then(*[Reply(body={"id": 7}, cut=3)] * 3)
    with pytest.raises(SourceUnavailableError, match="broke off"):
        await ask(client)
    assert len(procore.api.seen) == 3


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


async def test_a_read_with_false_json_fails(client: ProcoreClient, procore: FakeProcore) -> None:
    procore.api.then(Reply(body=b"{not json", headers={"content-type": "application/json"}))
    with pytest.raises(SourceUnavailableError, match="not the JSON"):
        await ask(client)


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


async def test_a_rejection_brings_procores_words(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.then(Reply(status=422, body={"errors": {"subject": ["can't be blank"]}}))
    with pytest.raises(SourceRejectedError, match="subject: can't be blank") as caught:
        await ask(client, CREATE)
    assert caught.value.status == 422
    assert caught.value.body == {"errors": {"subject": ["can't be blank"]}}
    assert caught.value.outcome is Outcome.COMPLETED


async def test_many_rejected_tokens_cause_one_renewal(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.default = lambda seen: (
        Reply(status=401, body={"errors": "The access token is invalid"})
        if seen.headers["authorization"] == "Bearer token-1"
        else Reply(body={"id": 1})
    )
    answers = await asyncio.gather(*[ask(client) for _ in range(50)])
    assert all(answer.status == 200 for answer in answers)
    assert procore.tokens == 2


async def test_a_second_rejection_of_the_token_is_final(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.default = lambda _: Reply(status=401, body={"errors": "The token is invalid"})
    with pytest.raises(SourceRejectedError, match="401"):
        await ask(client, CREATE)
    assert len(procore.api.seen) == 2


async def test_a_refusal_renews_nothing(client: ProcoreClient, procore: FakeProcore) -> None:
    procore.api.then(Reply(status=403, body={"errors": ["App is not connected to this company."]}))
    with pytest.raises(SourceRejectedError, match="App is not connected"):
        await ask(client)
    assert procore.tokens == 1


async def test_without_credentials_the_error_names_the_command(procore: FakeProcore) -> None:
    async with ProcoreClient.open(procore.settings, MemoryVault()) as client:
        with pytest.raises(SignInRequiredError, match="cloud-connect procore app"):
            await ask(client)


async def test_a_slow_read_ends_with_the_deadline(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.then(Reply(delay=5))
    with pytest.raises(DeadlineExceededError) as caught:
        await ask(client, within=0.2)
    assert caught.value.outcome is Outcome.NOT_EXECUTED


async def test_a_slow_body_of_a_read_ends_with_the_deadline(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.then(Reply(body={"id": 1}, cut=1, hang=True))
    with pytest.raises(DeadlineExceededError, match="did not finish"):
        await ask(client, within=0.3)


async def test_a_deadline_that_has_passed_sends_nothing(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    with pytest.raises(CloudConnectError) as caught:
        await ask(client, CREATE, within=-1.0)
    assert caught.value.outcome is Outcome.NOT_EXECUTED
    assert not procore.api.seen


async def test_a_slow_login_host_ends_with_the_deadline(
    client: ProcoreClient, procore: FakeProcore, vault: MemoryVault
) -> None:
    procore.login.then(Reply(delay=5))
    vault.store_app(client_secret="changed")
    client.reload()
    with pytest.raises(DeadlineExceededError, match="login host"):
        await ask(client, within=0.3)


async def test_packed_answers_are_unpacked(client: ProcoreClient, procore: FakeProcore) -> None:
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    procore.api.then(Reply(body=gzip.compress(b'{"id":9}'), headers=headers))
    assert (await ask(client)).json == {"id": 9}
    assert procore.api.seen[0].headers["accept-encoding"] == "gzip"


BOMB = gzip.compress(b"[" + b"0," * 20_000_000 + b"0]")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(body=b"x" * 1000), "over the limit of 500 bytes"),
        (Reply(body=BOMB, headers={"content-encoding": "gzip"}), "over the limit"),
        (Reply(body=b"x" * 10, headers={"content-encoding": "br"}), "packed its answer as 'br'"),
        (Reply(body=b"no gzip", headers={"content-encoding": "gzip"}), "damaged"),
        (
            Reply(body=gzip.compress(b"{}" * 90)[:-9], headers={"content-encoding": "gzip"}),
            "ends in the middle",
        ),
        (Reply(body={}, headers={f"x-{n}": "1" for n in range(300)}), "header lines"),
        (Reply(body={}, headers={"x": "1" * 200_000}), "broke off"),
    ],
)
async def test_hostile_answers_are_refused(
    procore: FakeProcore, vault: MemoryVault, reply: Reply, reason: str
) -> None:
    limits = BodyLimits(max_body_bytes=500)
    async with ProcoreClient.open(procore.settings, vault, limits=limits) as client:
        await client.authenticator.sign_in(SANDBOX)
        procore.api.default = lambda _: reply
        with pytest.raises(SourceUnavailableError, match=reason):
            await ask(client)


async def test_an_answer_that_unpacks_beyond_reason_is_refused(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.default = lambda _: Reply(body=BOMB, headers={"content-encoding": "gzip"})
    with pytest.raises(SourceUnavailableError, match="200 times"):
        await ask(client)


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


async def test_a_cancelled_read_gives_its_place_back(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.then(Reply(delay=5))
    task = asyncio.create_task(ask(client))
    while not procore.api.seen:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert client.scheduler.running == 0
    while procore.api.open:
        await asyncio.sleep(0.01)


async def test_a_write_waits_for_its_answer_beyond_the_deadline(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.then(Reply(status=201, body={"id": 3}, delay=0.4))
    assert (await ask(client, CREATE, within=0.2)).json == {"id": 3}


async def test_a_host_that_stalls_is_told_apart(procore: FakeProcore, vault: MemoryVault) -> None:
    timeouts = Timeouts(connect_timeout=0.2, stall_timeout=0.1)
    async with ProcoreClient.open(procore.settings, vault, timeouts=timeouts) as client:
        await client.authenticator.sign_in(SANDBOX)
        procore.api.default = lambda _: Reply(delay=5)
        with pytest.raises(SourceUnavailableError, match="did not answer in time"):
            await ask(client)


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
