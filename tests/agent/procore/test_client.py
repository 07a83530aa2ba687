"""The Procore client, over real sockets."""

import asyncio
import gzip
import time
from collections.abc import Awaitable

import pytest

from cloud_connect.errors import (
    CloudConnectError,
    DeadlineExceededError,
    InternalError,
    Outcome,
    RateLimitedError,
    SignInRequiredError,
    SourceRejectedError,
    SourceUnavailableError,
)
from cloud_connect_agent.procore.bodies import BodyLimits
from cloud_connect_agent.procore.client import ApiRequest, ApiResponse, ProcoreClient
from cloud_connect_agent.procore.transport import Timeouts
from doubles.fake_procore import SANDBOX, SOURCE, FakeProcore, MemoryVault, Reply
from doubles.waiting import until

ME = ApiRequest(method="GET", path="/rest/v1.0/me")
CREATE = ApiRequest(method="POST", path="/rest/v1.0/rfis", json={"rfi": {"subject": "x"}})
HTML = Reply(status=502, body=b"<html>Bad Gateway</html>", headers={"content-type": "text/html"})


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


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream"])
async def test_json_under_another_name_is_decoded(
    client: ProcoreClient, procore: FakeProcore, kind: str
) -> None:
    procore.api.then(Reply(body=b' [{"id": 5}]', headers={"content-type": kind}))
    assert (await ask(client)).api_json() == [{"id": 5}]


async def test_a_page_that_is_no_answer_of_the_api_is_told_apart_from_an_empty_one(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    page = Reply(body=b"<html>Sign in</html>", headers={"content-type": "text/html"})
    procore.api.then(page, Reply(body=b"", headers={"content-type": "application/json"}))
    with pytest.raises(SourceUnavailableError, match="not its API"):
        (await ask(client)).api_json()
    assert (await ask(client)).api_json() is None


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


async def test_a_read_with_false_json_fails(client: ProcoreClient, procore: FakeProcore) -> None:
    procore.api.then(Reply(body=b"{not json", headers={"content-type": "application/json"}))
    with pytest.raises(SourceUnavailableError, match="not the JSON"):
        await ask(client)


async def test_a_rejection_brings_procores_words(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.then(Reply(status=422, body={"errors": {"subject": ["can't be blank"]}}))
    with pytest.raises(SourceRejectedError, match="“subject” can't be blank") as caught:
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
    with pytest.raises(SourceUnavailableError, match="100 times"):
        await ask(client)


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


async def test_a_host_that_stalls_is_told_apart(procore: FakeProcore, vault: MemoryVault) -> None:
    timeouts = Timeouts(connect_timeout=0.2, stall_timeout=0.1)
    async with ProcoreClient.open(procore.settings, vault, timeouts=timeouts) as client:
        await client.authenticator.sign_in(SANDBOX)
        procore.api.default = lambda _: Reply(delay=5)
        with pytest.raises(SourceUnavailableError, match="did not answer in time"):
            await ask(client)


async def test_the_same_read_at_the_same_time_is_one_request(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.then(Reply(body=[{"id": 5}], delay=0.1))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(client)) for _ in range(50)]
    assert len(procore.api.seen) == 1
    answers = [task.result().json for task in tasks]
    assert answers == [[{"id": 5}]] * 50
    answers[0][0]["id"] = 6  # what one call makes of it is not another one's
    assert answers[1] == [{"id": 5}]


@pytest.mark.parametrize("reply", [Reply(status=502, delay=0.05), Reply(drop=True, delay=0.05)])
async def test_who_has_time_for_a_retry_is_not_failed_by_who_has_not(
    client: ProcoreClient, procore: FakeProcore, reply: Reply
) -> None:
    procore.api.then(reply, Reply(body={"id": 7}))
    async with asyncio.TaskGroup() as group:
        hasty = group.create_task(failure(ask(client, within=0.15)))
        patient = group.create_task(ask(client))
    assert isinstance(hasty.result(), SourceUnavailableError)
    assert patient.result().json == {"id": 7}
    assert len(procore.api.seen) == 2


async def test_failure_that_retries_did_not_mend_is_everybodys(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.default = lambda _: Reply(status=502, delay=0.05)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(failure(ask(client, within=10 + n))) for n in range(5)]
    assert {type(task.result()) for task in tasks} == {SourceUnavailableError}
    assert len(procore.api.seen) == 3


async def failure(asked: Awaitable[ApiResponse]) -> CloudConnectError:
    with pytest.raises(CloudConnectError) as caught:
        await asked
    return caught.value


async def test_a_read_after_a_write_is_not_answered_from_before_it(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    procore.api.then(
        Reply(body=[{"id": 5}], delay=0.3), Reply(status=201, body={}), Reply(body=[{"id": 6}])
    )
    async with asyncio.TaskGroup() as group:
        before = group.create_task(ask(client))
        await until(lambda: len(procore.api.seen) == 1)
        await ask(client, CREATE)
        assert (await ask(client)).json == [{"id": 6}]
    assert before.result().json == [{"id": 5}]


async def test_the_own_limit_of_an_operation_is_reported_and_holds_nothing_else(
    client: ProcoreClient, procore: FakeProcore
) -> None:
    room = {"x-rate-limit-limit": "600", "x-rate-limit-remaining": "599"}
    refusal = {"error": {"error": "One snapshot an hour."}}
    procore.api.then(
        Reply(status=429, body=refusal, headers={**room, "retry-after": "3600"}),
    )
    with pytest.raises(RateLimitedError, match="One snapshot an hour") as caught:
        await ask(client, CREATE)
    assert caught.value.retry_after == 3600
    assert (await ask(client)).json == {"id": 1}
    procore.api.then(
        Reply(status=429, body=refusal, headers={**room, "retry-after": "0"}),
        Reply(status=201, body={"id": 2}),
    )
    assert (await ask(client, CREATE)).json == {"id": 2}
    procore.api.then(*(Reply(status=429, body=refusal, headers=room) for _ in range(3)))
    with pytest.raises(RateLimitedError) as unknown:
        await ask(client, CREATE)
    assert unknown.value.retry_after == 60  # Procore did not say
