"""Line ends, NUL and other alphabets where a line or a header could be forged: none is."""

import io
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx
import orjson
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect import log as logging_setup
from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome, RemoteProtocolError
from cloud_connect.exchange import Exchange
from cloud_connect.signing import SigningKey, to_text
from cloud_connect.tunnel import ResponseHead
from cloud_connect.tunnel.heads import decode_request_head, decode_response_head
from cloud_connect_agent.procore.messages import plain_headers
from cloud_connect_relay.api.link_header import rewrite_links
from doubles.call_relay import CallRelay, call_relay
from doubles.relay_node import Node, running_node
from doubles.scripted_agent import ScriptedAgent

FORGED: Final = "x-injected"
EVIL: Final = (
    "\r\nX-Injected: 1",
    "\nX-Injected: 1",
    "\rX-Injected: 1",
    "a\0b",
    "\x85X-Injected: 1",
    "\u2028X-Injected: 1",
    "%0d%0aX-Injected: 1",
    "嘊嘍X-Injected: 1",  # whose low bytes are a line's end
    "\x1b[2Jcleared",
    "\x7f",
    "\x0b\x0c",
)
TEXTS: Final = st.one_of(
    st.text(max_size=30),
    st.lists(st.sampled_from(EVIL) | st.text(max_size=5), max_size=4).map("".join),
)
CONTROLS: Final = {*map(chr, range(32)), "\x7f"} - {"\t"}
TERMINAL_CONTROLS: Final = {*CONTROLS, *map(chr, range(0x80, 0xA0))}


@given(TEXTS, TEXTS)
def test_no_header_of_a_head_can_end_its_line(name: str, value: str) -> None:
    check_heads(name, value)


def check_heads(name: str, value: str) -> None:
    more = {"headers": [[name, value]]}
    for decode, head in (
        (decode_response_head, {"status": 200, **more}),
        (decode_request_head, {"operation": "a", "call_id": "b", "deadline_ms": 1, **more}),
    ):
        try:
            taken = decode(json.dumps(head).encode())
        except RemoteProtocolError:
            continue
        for part in taken.headers[0]:
            assert not CONTROLS & set(part)
            part.encode("latin-1")
        assert ":" not in taken.headers[0][0]


@pytest.mark.catalogue("T95")
def test_evil_headers_of_heads_are_refused() -> None:
    for evil in EVIL:
        check_heads("content-type", evil)
        check_heads(evil, "text/plain")


@pytest.mark.catalogue("T95")
@given(st.binary(max_size=40) | TEXTS.map(lambda text: text.encode("latin-1", "replace")))
def test_no_header_value_of_procore_keeps_a_control_character(value: bytes) -> None:
    [kept] = plain_headers(httpx.Headers([(b"X-Total", value)])).values()
    assert not {*map(chr, range(32)), "\x7f"} & set(kept)


@pytest.mark.catalogue("T95")
@given(TEXTS)
def test_no_link_grows_a_line_when_it_is_rewritten(value: str) -> None:
    rewritten = rewrite_links(value, base="https://relay.example/api")
    assert sum(map(rewritten.count, "\r\n\0")) <= sum(map(value.count, "\r\n\0"))


@pytest.mark.catalogue("T95")
@pytest.mark.parametrize("style", ["json", "console"])
@given(name=st.from_regex(r"[a-z_]{1,10}", fullmatch=True), value=TEXTS, event=TEXTS)
def test_every_log_entry_is_one_line_whatever_it_holds(
    style: logging_setup.Format, name: str, value: str, event: str
) -> None:
    sink = io.StringIO()
    before = structlog.get_config()
    try:
        logging_setup.configure(level="debug", style=style, stream=sink)
        facts = {f"fact_{name}": value, "nested": {"inside": [value]}}
        structlog.get_logger("test").info(event, **facts)
    finally:
        structlog.configure(**before)
    written = sink.getvalue()
    assert written.endswith("\n")
    assert len(written.splitlines()) == 1, written
    assert not {"\0", "\x1b", "\x7f"} & set(written)
    if style == "json":
        assert json.loads(written)["level"] == "info"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with running_node(tmp_path) as made:
        yield made


@pytest.mark.catalogue("T95")
async def test_nothing_that_a_caller_sends_comes_back_as_a_header(node: Node) -> None:
    tried = 0
    for evil in EVIL:
        text = quote(evil, safe="") if "%0d" not in evil else evil
        targets = (
            f"/{text}",
            f"/api/datasources/{text}",
            f"/api/connectors/{text}",
            f"/api/calls/{text}",
            f"/api/calls?idempotency_key={text}",
            f"/api/datasources/ds_1/records/{text}?filter[{text}]={text}",
            f"/api/datasources/ds_1/procore/rest/v1.0/{text}?{text}",
            f"/oauth/callback?code={text}&state={text}",
            f"/oauth/callback?error={text}&error_description={text}&state={text}",
        )
        for target in targets:
            answer = await node.api.get(target)
            tried += 1
            assert FORGED not in answer.headers, target
            assert answer.status_code < 500, (target, answer.text)
        for name in ("Idempotency-Key", "Priority", "Cloud-Connect-Deadline-Ms", "X-Request-Id"):
            value = evil.encode("utf-8").replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")
            try:
                answer = await node.api.get("/api/connectors", headers=[(name.encode(), value)])
            except httpx.LocalProtocolError:
                continue  # a client of its own refuses to send it; raw ones are under smuggling
            assert FORGED not in answer.headers
            assert answer.status_code < 500
    assert tried == 9 * len(EVIL)


@pytest.mark.catalogue("T95")
async def test_evil_names_and_ids_are_refused_or_stay_what_they_are(node: Node) -> None:
    made = await node.api.post("/api/enrolment-tokens", json={})
    token = made.json()["token"]
    needed: dict[str, dict[str, object]] = {
        "/api/datasources": {"type": "procore"},
        "/api/keys": {"scopes": ["calls:read"]},
    }
    for evil in EVIL:
        body = {
            "token": token,
            "nonce": to_text(bytes(32)),
            "public_key": to_text(SigningKey.generate().public_key),
            "signature": to_text(bytes(64)),
        }
        for member in ("name", "machine", "os", "version", "group", "token"):
            answer = await node.api.post("/api/enrol", json={**body, member: f"pc{evil}"})
            assert 400 <= answer.status_code < 500
        for place, member in (
            ("/api/enrolment-tokens", "group"),
            ("/api/datasources", "title"),
            ("/api/keys", "name"),
            ("/api/custom-connectors", "title"),
        ):
            document = needed.get(place, {})
            answer = await node.api.post(place, json={**document, member: f"a{evil}"})
            assert answer.status_code in {201, 400, 422}, answer.text
            assert FORGED not in answer.headers
            if answer.status_code == 201 and TERMINAL_CONTROLS & set(evil):
                assert not TERMINAL_CONTROLS & set(answer.json().get(member) or ""), (place, evil)


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[CallRelay]:
    async with call_relay(tmp_path) as made:
        yield made


@pytest.mark.catalogue("T95")
async def test_evil_headers_of_an_agent_never_reach_a_caller(relay: CallRelay) -> None:
    dice = random.Random(95)
    print("seed 95")  # noqa: T201 - for a replay
    chosen: list[tuple[tuple[str, str], ...]] = []

    async def act(exchange: Exchange, _: bytes) -> None:
        head = ResponseHead.model_construct(
            status=200, headers=chosen[-1], outcome=Outcome.COMPLETED
        )
        await exchange.send_head(head)
        await exchange.send(b"{}", end_stream=True)

    for evil in EVIL:
        agent = ScriptedAgent(script={Operation.PASSTHROUGH: act})
        _, source = await relay.ready(agent)
        name = dice.choice(("content-type", "etag", "link", "x-request-id", "location"))
        chosen.append(((name, f"a{evil}"), ("content-type", "application/json")))
        answer = await relay.api.get(
            f"{source}/procore/rest/v1.0/me", headers={"Cloud-Connect-Deadline-Ms": "1300"}
        )
        assert FORGED not in answer.headers
        assert answer.status_code in {200, 502, 503, 504}
        assert orjson.loads(answer.content) is not None
