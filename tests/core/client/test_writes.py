"""Writes whose answer does not come at once: repeated under their key, looked up, never doubled."""

import httpx
import pytest

from cloud_connect.calls import Operation
from cloud_connect.client import CloudConnect, Outcome, RelayUnreachableError
from cloud_connect.client.protection import Protection, Request, Wanted
from cloud_connect.client.writes import Writes
from cloud_connect.errors import (
    CloudConnectError,
    IdempotencyConflictError,
    InvalidRequestError,
    OutcomeUnknownError,
    QuotaExceededError,
    SourceUnavailableError,
)
from doubles.scripted_relay import ScriptedRelay, problem

UNKNOWN = problem(502, "outcome_unknown", "unknown", call_id="call_1")
CONFLICT = problem(409, "idempotency_conflict", "not_executed")
DONE = httpx.Response(201, content=b'{"id":7}', headers={"idempotency-replayed": "true"})
GONE = httpx.ReadError("gone")
MISSING = problem(404, "not_found", "not_executed")


def record(outcome: str | None, *, final: bool = True) -> httpx.Response:
    return httpx.Response(
        200,
        json={
            "call_id": "call_1",
            "state": "x",
            "operation": "records.create",
            "outcome": outcome,
            "final": final,
        },
    )


@pytest.fixture
def request_() -> Request:
    wanted = Wanted(
        operation=Operation.CREATE,
        params={"resource": "rfis"},
        method="POST",
        path="records/rfis",
        body=b"{}",
        key="k",
    )
    return Protection("ds_1").request(wanted)


async def carry_out(
    client: CloudConnect, request: Request, *, ends_after: int = 100
) -> tuple[bool, bytes]:
    """Carry a write out with a clock that ends it after so many looks."""
    seconds = iter(range(1000))
    wire = client._wire
    writes = Writes(wire, client.call_with_key, pause=0.001, clock=lambda: float(next(seconds)))
    answer, body = await writes.run(request, "k", seconds=float(ends_after))
    return answer.replayed, body


def sent(relay: ScriptedRelay) -> list[str]:
    return [request.method for request in relay.requests]


@pytest.mark.parametrize("doubt", [GONE, CONFLICT])
async def test_what_may_be_running_is_asked_for_under_the_same_key(
    relay: ScriptedRelay, client: CloudConnect, request_: Request, doubt: httpx.Response
) -> None:
    relay.then(doubt, DONE)
    assert await carry_out(client, request_) == (True, b'{"id":7}')
    first, second = relay.requests
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == "k"


async def test_an_unknown_outcome_is_looked_up_until_it_is_known(
    relay: ScriptedRelay, client: CloudConnect, request_: Request
) -> None:
    relay.then(UNKNOWN, GONE, record(None), record("unknown", final=False), record("completed"))
    relay.then(DONE)
    assert await carry_out(client, request_) == (True, b'{"id":7}')
    assert sent(relay) == ["POST", "GET", "GET", "GET", "GET", "POST"]


@pytest.mark.parametrize("outcome", [Outcome.NOT_EXECUTED, Outcome.UNKNOWN])
async def test_what_is_certain_in_the_end_is_told(
    relay: ScriptedRelay, client: CloudConnect, request_: Request, outcome: Outcome
) -> None:
    relay.then(UNKNOWN, record(outcome.value))
    with pytest.raises(OutcomeUnknownError) as raised:
        await carry_out(client, request_)
    assert raised.value.outcome is outcome
    assert raised.value.retry_safe is (outcome is Outcome.NOT_EXECUTED)
    assert sent(relay) == ["POST", "GET"]


async def test_a_call_that_nobody_knows_stays_unknown(
    relay: ScriptedRelay, client: CloudConnect, request_: Request
) -> None:
    relay.then(UNKNOWN, MISSING)
    with pytest.raises(OutcomeUnknownError):
        await carry_out(client, request_)


@pytest.mark.parametrize(
    "refusal",
    [
        problem(403, "insufficient_scope", "not_executed"),
        problem(429, "quota_exceeded", "not_executed"),
        httpx.Response(200, content=b"no record"),
    ],
    ids=["scope", "quota", "nonsense"],
)
async def test_a_lookup_that_is_refused_does_not_make_the_write_certain(
    relay: ScriptedRelay, client: CloudConnect, request_: Request, refusal: httpx.Response
) -> None:
    relay.then(UNKNOWN, refusal)
    with pytest.raises(OutcomeUnknownError) as raised:
        await carry_out(client, request_, ends_after=2)
    assert raised.value.outcome is Outcome.UNKNOWN
    relay.then(UNKNOWN, refusal, record("completed"), DONE)
    assert await carry_out(client, request_) == (True, b'{"id":7}')


QUOTA = problem(429, "quota_exceeded", "not_executed")


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (MISSING, Outcome.UNKNOWN),
        (record("unknown"), Outcome.UNKNOWN),
        (record("not_executed"), Outcome.NOT_EXECUTED),
    ],
)
async def test_a_later_attempt_that_is_refused_does_not_make_an_earlier_one_certain(
    relay: ScriptedRelay,
    client: CloudConnect,
    request_: Request,
    found: httpx.Response,
    outcome: Outcome,
) -> None:
    relay.then(GONE, QUOTA, found)
    with pytest.raises(QuotaExceededError) as raised:
        await carry_out(client, request_)
    assert raised.value.outcome is outcome
    relay.then(GONE, httpx.ConnectError("down"), QUOTA, record("completed"), DONE)
    assert await carry_out(client, request_) == (True, b'{"id":7}')


async def test_a_relay_that_was_never_reached_has_done_nothing(
    relay: ScriptedRelay, client: CloudConnect, request_: Request
) -> None:
    relay.then(httpx.ConnectError("down"))
    with pytest.raises(RelayUnreachableError, match="address") as raised:
        await carry_out(client, request_, ends_after=2)
    assert raised.value.retry_safe
    relay.then(GONE, httpx.ConnectError("down"))
    with pytest.raises(RelayUnreachableError, match="address") as raised:
        await carry_out(client, request_, ends_after=4)
    assert raised.value.outcome is Outcome.UNKNOWN


async def test_a_failure_that_is_certain_is_raised_at_once(
    relay: ScriptedRelay, client: CloudConnect, request_: Request
) -> None:
    relay.then(problem(502, "source_unavailable", "not_executed"))
    with pytest.raises(SourceUnavailableError):
        await carry_out(client, request_)
    assert sent(relay) == ["POST"]


async def test_doubt_ends_with_the_time(
    relay: ScriptedRelay, client: CloudConnect, request_: Request
) -> None:
    relay.then(GONE)
    with pytest.raises(RelayUnreachableError):
        await carry_out(client, request_, ends_after=2)
    relay.then(CONFLICT)
    with pytest.raises(IdempotencyConflictError) as running:
        await carry_out(client, request_, ends_after=2)
    assert running.value.outcome is Outcome.UNKNOWN
    relay.then(UNKNOWN, record(None))
    with pytest.raises(OutcomeUnknownError):
        await carry_out(client, request_, ends_after=2)


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_proxy_that_speaks_for_a_relay_that_restarts_is_no_answer_to_the_write(
    relay: ScriptedRelay, client: CloudConnect, request_: Request, status: int
) -> None:
    page = httpx.Response(status, headers={"content-type": "text/html"}, content=b"<html>Gone")
    relay.then(page, DONE)
    assert await carry_out(client, request_) == (True, b'{"id":7}')
    assert sent(relay) == ["POST", "POST"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ProxyError("403 Forbidden"), RelayUnreachableError),
        (httpx.LocalProtocolError("Illegal header value"), InvalidRequestError),
    ],
)
async def test_what_never_left_is_in_no_doubt(
    relay: ScriptedRelay,
    client: CloudConnect,
    request_: Request,
    error: Exception,
    kind: type[CloudConnectError],
) -> None:
    tries = 3 if kind is RelayUnreachableError else 1
    relay.then(*[error] * tries)
    with pytest.raises(kind) as raised:
        await carry_out(client, request_, ends_after=5)
    assert raised.value.outcome is Outcome.NOT_EXECUTED
    assert len(relay.requests) == tries
