"""The relay's address, its data sources and its calls."""

import ssl

import httpx
import pytest

from cloud_connect.client import CloudConnect, Outcome
from cloud_connect.client.failures import failure_of
from cloud_connect.errors import (
    ConfigurationError,
    IdempotencyKeyRequiredError,
    InsufficientScopeError,
    InternalError,
    OutcomeUnknownError,
    RemoteProtocolError,
    SourceRejectedError,
    UnauthorizedError,
)
from doubles.scripted_relay import ScriptedRelay


@pytest.mark.parametrize(
    "url",
    [
        "http://relay.example",
        "ftp://relay.example",
        "https://",
        "relay",
        "https://relay:port",
        "http://10.0.0.1",
    ],
)
async def test_an_address_that_could_be_read_along_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        async with CloudConnect.open(url, "cck_x"):
            pass


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:1"])
async def test_loopback_may_be_plain(url: str) -> None:
    async with CloudConnect.open(url, "cck_x", tls=ssl.create_default_context()) as client:
        assert client.data_source("ds_1") is not None


@pytest.mark.parametrize("odd", ["", "../x", "ds/1"])
async def test_ids_that_are_none_are_refused(client: CloudConnect, odd: str) -> None:
    with pytest.raises(ConfigurationError):
        client.data_source(odd)
    with pytest.raises(ConfigurationError):
        await client.call(odd)


async def test_data_sources_are_listed(relay: ScriptedRelay, client: CloudConnect) -> None:
    one = {"id": "ds_1", "title": "Procore", "status": "ready", "useConnector": True, "more": 1}
    relay.tells({"items": [one]})
    (found,) = await client.data_sources()
    assert (found.id, found.title, found.status, found.use_connector) == (
        "ds_1",
        "Procore",
        "ready",
        True,
    )
    relay.tells({"items": [{}]})
    with pytest.raises(RemoteProtocolError, match="data sources"):
        await client.data_sources()


async def test_calls_are_looked_up(relay: ScriptedRelay, client: CloudConnect) -> None:
    known = {"call_id": "call_1", "state": "completed", "operation": "tree", "outcome": "completed"}
    relay.tells(known)
    assert (await client.call("call_1")).outcome is Outcome.COMPLETED
    relay.tells(known)
    assert (await client.call_with_key("k")).call_id == "call_1"
    assert dict(relay.last.url.params) == {"idempotency_key": "k"}
    relay.tells([])
    with pytest.raises(RemoteProtocolError, match="record"):
        await client.call("call_1")


async def test_no_redirect_is_followed(relay: ScriptedRelay, client: CloudConnect) -> None:
    relay.then(httpx.Response(307, headers={"location": "https://elsewhere.example"}))
    with pytest.raises(ConfigurationError, match="own address"):
        await client.data_sources()
    assert len(relay.requests) == 1


@pytest.mark.parametrize(
    ("status", "document", "kind", "outcome"),
    [
        (401, b"", UnauthorizedError, Outcome.NOT_EXECUTED),
        (500, b"<html>", InternalError, Outcome.UNKNOWN),
        (418, {"code": "news", "outcome": "no such"}, InternalError, Outcome.UNKNOWN),
        (
            403,
            {"code": "insufficient_scope", "outcome": "not_executed"},
            InsufficientScopeError,
            Outcome.NOT_EXECUTED,
        ),
        (
            400,
            {"code": "idempotency_key_required", "outcome": "not_executed"},
            IdempotencyKeyRequiredError,
            Outcome.NOT_EXECUTED,
        ),
        (
            502,
            {"code": "outcome_unknown", "outcome": "unknown"},
            OutcomeUnknownError,
            Outcome.UNKNOWN,
        ),
    ],
)
def test_each_failure_is_the_error_of_its_code(
    status: int, document: bytes, kind: type[Exception], outcome: Outcome
) -> None:
    error = failure_of(document, status=status, retry_after="soon")
    assert type(error) is kind
    assert (error.status, error.outcome, error.retry_after) == (status, outcome, None)


def test_procores_own_words_come_along() -> None:
    error = failure_of(
        {"code": "source_rejected", "outcome": "completed", "source": {"errors": ["x"]}}, status=422
    )
    assert isinstance(error, SourceRejectedError)
    assert error.body == {"errors": ["x"]}


@pytest.mark.parametrize("odd", ["cck_x\n", " cck_x", "cck_\u00e4"])
async def test_a_key_that_was_copied_badly_is_said_to_be(odd: str) -> None:
    with pytest.raises(ConfigurationError, match="as it was shown"):
        async with CloudConnect.open("https://relay.example", odd):
            pass
