"""Signed and sealed calls of a caller's program."""

import httpx
import orjson
import pytest

from cloud_connect.call_signatures import SIGNATURE_HEADER, CallSignature, SignableCall
from cloud_connect.calls import Environment
from cloud_connect.client import CloudConnect, DataSource, Filter, Outcome, Pin, SigningKey
from cloud_connect.errors import (
    ConfigurationError,
    IdempotencyMismatchError,
    NotFoundError,
    PolicyDeniedError,
    RemoteProtocolError,
    SourceUnavailableError,
)
from cloud_connect.sealing import SEALED_TYPE, Part
from cloud_connect.signing import to_text
from cloud_connect_relay.api.record_parameters import list_params
from doubles.scripted_relay import CONNECTOR, ScriptedRelay, problem

KEY = SigningKey.generate()
SOURCE = {"company_id": 5, "environment": "live"}
HEAD = (Part.HEAD, b'{"status":200,"outcome":"completed","message":"Done.","total_items":2}')
END = (Part.END, b"{}")


def pin(relay: ScriptedRelay | None = None) -> Pin:
    return Pin(
        connector_id=CONNECTOR,
        company_id=5,
        environment=Environment.LIVE,
        sealing_key=None if relay is None else to_text(relay.key.public_key),
    )


@pytest.fixture
def sealed(client: CloudConnect, relay: ScriptedRelay) -> DataSource:
    return client.data_source("ds_1", pin=pin(relay), signing_key=KEY)


@pytest.fixture
def signed(client: CloudConnect) -> DataSource:
    return client.data_source("ds_1", pin=pin(), signing_key=KEY)


def test_what_does_not_fit_together_is_refused(client: CloudConnect) -> None:
    with pytest.raises(ConfigurationError, match="need a pin"):
        client.data_source("ds_1", signing_key=KEY)
    for key, words in (("not base64!", "not base64url"), ("AAAA", "32 bytes")):
        odd = Pin(
            connector_id=CONNECTOR,
            company_id=5,
            environment=Environment.LIVE,
            sealing_key=key,
        )
        with pytest.raises(ConfigurationError, match=words):
            client.data_source("ds_1", pin=odd)


async def test_a_signed_write_is_signed_as_its_connector_reads_it(
    relay: ScriptedRelay, signed: DataSource
) -> None:
    relay.tells({"id": 7})
    relay.tells({"id": 7})
    await signed.update("rfis", 7, {"subject": "x"}, key="k", project_id=3)
    request = relay.last
    assert request.headers["cloud-connect-connector"] == CONNECTOR
    signature = CallSignature.parse(request.headers[SIGNATURE_HEADER])
    call = SignableCall(
        operation="records.update",
        params={
            "source": SOURCE,
            "resource": "rfis",
            "record_id": "7",
            "scope": {"project_id": "3"},
        },
        body=request.content,
    )
    assert signature.fits(call, connector_id=CONNECTOR, public_key=KEY.public_key)
    await signed.update("rfis", 7, {"subject": "x"}, key="k", project_id=3)
    again = CallSignature.parse(relay.last.headers[SIGNATURE_HEADER])
    assert again.nonce == signature.nonce  # so that it cannot be carried out twice


async def test_reads_are_signed_under_numbers_of_their_own(
    relay: ScriptedRelay, signed: DataSource
) -> None:
    relay.tells({"id": 7})
    relay.tells({"id": 7})
    for _ in range(2):
        await signed.get("rfis", 7)
    numbers = {CallSignature.parse(one.headers[SIGNATURE_HEADER]).nonce for one in relay.requests}
    assert len(numbers) == 2


async def test_a_condition_without_a_value_is_signed_as_the_relay_passes_it_on(
    relay: ScriptedRelay, signed: DataSource
) -> None:
    relay.then(httpx.Response(200, content=b""))
    conditions = [Filter(field="name", operator="isblank"), Filter(field="id", value="7")]
    assert [row async for row in signed.list("rfis", filters=conditions, limit=2)] == []
    call = SignableCall(
        operation="records.list",
        params={
            "source": SOURCE,
            **list_params("rfis", relay.last.url.params.multi_items()),
        },
    )
    signature = CallSignature.parse(relay.last.headers[SIGNATURE_HEADER])
    assert signature.fits(call, connector_id=CONNECTOR, public_key=KEY.public_key)


async def test_a_pin_alone_names_the_connector(relay: ScriptedRelay, client: CloudConnect) -> None:
    relay.tells({"id": 7})
    await client.data_source("ds_1", pin=pin()).get("rfis", 7)
    assert relay.last.headers["cloud-connect-connector"] == CONNECTOR
    assert SIGNATURE_HEADER not in relay.last.headers


async def test_a_sealed_write_shows_the_relay_its_key_and_nothing_of_itself(
    relay: ScriptedRelay, sealed: DataSource
) -> None:
    relay.seals(HEAD, (Part.DATA, b'{"id":7}'), END)
    assert await sealed.create("rfis", {"subject": "secret"}, key="k", project_id=3) == {"id": 7}
    request = relay.last
    assert request.url.path == "/api/datasources/ds_1/sealed"
    assert dict(request.url.params) == {"writes": "true"}
    assert request.headers["idempotency-key"] == "k"
    assert request.headers["content-type"] == SEALED_TYPE
    assert SIGNATURE_HEADER not in request.headers
    assert b"secret" not in request.content
    (opened,) = relay.opened
    assert (opened.head.operation, opened.body) == ("records.create", b'{"subject":"secret"}')
    assert opened.head.params["source"] == SOURCE
    call = SignableCall(operation="records.create", params=opened.head.params, body=opened.body)
    signature = CallSignature.parse(opened.head.headers[0][1])
    assert signature.fits(call, connector_id=CONNECTOR, public_key=KEY.public_key)


async def test_sealed_answers_are_read_in_their_own_shapes(
    relay: ScriptedRelay, sealed: DataSource
) -> None:
    rows = (Part.DATA, b'{"id":1}\n{"id":2}\n')
    relay.seals(HEAD, rows, END)
    assert [row["id"] async for row in sealed.list("rfis")] == [1, 2]
    assert dict(relay.last.url.params) == {"writes": "false"}
    relay.seals(HEAD, rows, (Part.END, b'{"paging":"next","total_items":9}'))
    found = await sealed.query({"action": "select", "info": {"name": "rfis"}})
    assert (len(found.items), found.total_items, found.paging) == (2, 9, "next")
    assert found.message == "Done."
    relay.seals(HEAD, (Part.DATA, b'{"items":[{"name":"rfis"}]}'), END)
    assert await sealed.tree() == ({"name": "rfis"},)


async def test_a_refusal_inside_is_raised(relay: ScriptedRelay, sealed: DataSource) -> None:
    refusal = {
        "code": "policy_denied",
        "detail": "No.",
        "outcome": "not_executed",
        "status": 403,
    }
    relay.seals((Part.HEAD, orjson.dumps({"status": 403, "problem": refusal})), END)
    with pytest.raises(PolicyDeniedError) as refused:
        await sealed.create("rfis", {})
    assert refused.value.call_id == "call_1"
    late = {**refusal, "code": "source_unavailable", "status": 502}
    relay.seals(HEAD, (Part.DATA, b'{"id":1}\n'), (Part.END, orjson.dumps({"problem": late})))
    with pytest.raises(SourceUnavailableError):
        assert [row async for row in sealed.list("rfis")]


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((), "cut off"),
        ((HEAD,), "cut off"),
        ((HEAD, (Part.DATA, b'{"id":7}')), "cut off"),
        ((END,), "begin with its head"),
        ((HEAD, HEAD, END), "two heads"),
    ],
)
async def test_an_answer_that_is_not_whole_is_not_taken(
    relay: ScriptedRelay, sealed: DataSource, parts: tuple[tuple[Part, bytes], ...], words: str
) -> None:
    relay.seals(*parts)
    with pytest.raises(RemoteProtocolError, match=words):
        await sealed.get("rfis", 7)


async def test_an_answer_in_the_clear_is_not_taken_for_the_connectors(
    relay: ScriptedRelay, sealed: DataSource
) -> None:
    relay.tells({"id": 7}, **{"content-type": "application/json"})
    with pytest.raises(RemoteProtocolError, match="not sealed"):
        await sealed.get("rfis", 7)
    relay.then(problem(503, "connector_offline", "not_executed"))
    with pytest.raises(Exception, match="connector_offline"):
        await sealed.get("rfis", 7)


async def test_a_forged_answer_to_a_write_leaves_it_in_doubt(
    relay: ScriptedRelay, sealed: DataSource
) -> None:
    completed = {"call_id": "call_1", "state": "x", "operation": "sealed", "final": True}
    relay.tells({"id": 7}, **{"content-type": "application/json"})
    relay.tells({**completed, "outcome": "unknown"})
    with pytest.raises(RemoteProtocolError, match="not sealed") as forged:
        await sealed.create("rfis", {})
    assert forged.value.outcome is Outcome.UNKNOWN


async def test_a_stored_answer_that_is_out_of_reach_is_said_to_be(
    relay: ScriptedRelay, sealed: DataSource
) -> None:
    headers = {"content-type": "application/json", "idempotency-replayed": "true"}
    relay.then(httpx.Response(200, headers=headers, content=b"{}"))
    with pytest.raises(NotFoundError, match="kept on the connector") as kept:
        await sealed.create("rfis", {})
    assert kept.value.outcome is Outcome.COMPLETED


@pytest.mark.parametrize("outcome", ["completed", "not_executed", "unknown"])
async def test_a_sealed_write_of_a_program_that_restarted_is_told_what_became_of_it(
    relay: ScriptedRelay, sealed: DataSource, outcome: str
) -> None:
    """Sealed anew it is other bytes under the same key, which says nothing of the first."""
    told = {"call_id": "call_1", "state": "x", "operation": "sealed", "final": True}
    relay.then(problem(422, "idempotency_mismatch", "not_executed"))
    relay.tells({**told, "outcome": outcome})
    with pytest.raises(IdempotencyMismatchError) as raised:
        await sealed.create("rfis", {}, key="k")
    assert raised.value.outcome == outcome
    assert [request.method for request in relay.requests] == ["POST", "GET"]
