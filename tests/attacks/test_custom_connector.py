"""What somebody can do at the microservice contract who saw requests, but not the secret."""

import base64
import json
import random
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from doubles.kianda import Kianda, encrypted
from doubles.relay_node import Node, running_node
from doubles.seeds import chosen_seed
from doubles.timed_refusals import assert_time_tells_nothing

MUTATIONS = 2_000
ROUNDS = 120  # of one refusal for each reason
DENIED = b'{"Message":"Authorization has been denied for this request."}'


async def registered(node: Node, http: httpx.AsyncClient, **members: Any) -> Kianda:
    made = await node.api.post("/api/custom-connectors", json={"title": "Kianda", **members})
    assert made.status_code == 201, made.text
    return Kianda.of(http, made.json(), {"datasourceId": "ds_0000000000000000"})


def mutations(seed: random.Random, bag: bytes, iv: bytes) -> Callable[[], tuple[bytes, bytes]]:
    """Change sealed settings in one of the ways that there are without the key."""
    blocks = [bag[at : at + 16] for at in range(0, len(bag), 16)]

    def flipped(data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(seed.choice([1, 1, 1, 2, 8])):
            changed[seed.randrange(len(data))] ^= 1 << seed.randrange(8)
        return bytes(changed) if bytes(changed) != data else flipped(data)

    def mutated() -> tuple[bytes, bytes]:
        match seed.randrange(7):
            case 0:
                return flipped(bag), iv
            case 1:
                return bag, flipped(iv)
            case 2:
                return bag[: 16 * seed.randrange(1, len(blocks))], iv
            case 3:
                return b"".join(seed.sample(blocks, len(blocks))) + seed.randbytes(16), iv
            case 4:
                return bag + seed.choice(blocks), iv
            case 5:
                return seed.randbytes(len(bag)), seed.randbytes(16)
            case _:  # the padding oracle's own: the last byte of the block before is tried
                at = len(bag) - 17 - seed.randrange(16)
                changed = bytearray(bag)
                changed[at] ^= seed.randrange(1, 256)
                return bytes(changed), iv

    return mutated


def request_of(bag: bytes, iv: bytes | None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "requestId": str(uuid.uuid4()),
        "encryptedSettingsPropertyBag": base64.b64encode(bag).decode(),
        "query": {"action": "select", "info": {"name": "rfis"}},
    }
    return told if iv is None else {**told, "iv": base64.b64encode(iv).decode()}


@pytest.mark.catalogue("T82")
@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_sealed_settings_cannot_be_tampered_with_and_all_refusals_are_one(
    tmp_path: Path,
) -> None:
    async with (
        running_node(tmp_path, auth={"failures_per_minute": 1_000_000}) as node,
        httpx.AsyncClient(timeout=20, trust_env=False) as http,
    ):
        chance = random.Random(chosen_seed())
        current = await registered(node, http)
        older = await registered(node, http, dialect="B")
        explicit = await registered(node, http)
        explicit.settings = {"companyId": "562949953443837", "environment": "live"}
        refused: list[httpx.Response] = []
        for kianda in (current, older, explicit):
            genuine = kianda.request("Query", {"action": "select", "info": {"name": "rfis"}})
            assert kianda.opened(await kianda.post(kianda.query_url, genuine), genuine)
            bag = base64.b64decode(genuine["encryptedSettingsPropertyBag"])
            iv = base64.b64decode(genuine["iv"]) if "iv" in genuine else b""
            mutated = mutations(chance, bag, iv or bytes(16))
            for _ in range(MUTATIONS // 3 + 1):
                changed, changed_iv = mutated()
                if not iv and changed == bag:
                    continue  # an IV that the dialect does not have
                request = request_of(changed, changed_iv if iv else None)
                refused.append(await kianda.post(kianda.query_url, request))
        assert len(refused) > MUTATIONS * 0.9
        assert {one.status_code for one in refused} == {401}
        assert {one.content for one in refused} == {DENIED}
        assert len({_shape(one) for one in refused}) == 1
        calls = (await node.api.get("/api/calls")).json()["items"]
        assert len(calls) <= 1  # that of the genuine request which needed no data source


@pytest.mark.catalogue("T82")
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("untraced")
async def test_time_of_a_refusal_does_not_tell_its_reason(tmp_path: Path) -> None:
    async with (
        running_node(tmp_path, auth={"failures_per_minute": 1_000_000}) as node,
        httpx.AsyncClient(timeout=20, trust_env=False) as http,
    ):
        kianda = await registered(node, http)
        iv = bytes(range(16))
        text = json.dumps(kianda.settings).encode()
        bag = encrypted(kianda.key, iv, text)
        nowhere = text.replace(b"datasourceId", b"datasourceIq")
        unknown = f"{node.addresses.api_url}/custom-connector/reg_0000000000000000/query"
        reasons: dict[str, tuple[str, dict[str, Any]]] = {
            "padding": (kianda.query_url, request_of(bag[:-1] + bytes([bag[-1] ^ 1]), iv)),
            "JSON": (kianda.query_url, request_of(encrypted(kianda.key, iv, b"x" * len(text)), iv)),
            "key": (kianda.query_url, request_of(encrypted(bytes(32), iv, text), iv)),
            "settings": (kianda.query_url, request_of(encrypted(kianda.key, iv, nowhere), iv)),
            "registration": (unknown, request_of(bag, iv)),
        }

        async def ask(reason: str) -> float:
            url, request = reasons[reason]
            began = time.perf_counter()
            answer = await kianda.post(url, request)
            assert (answer.status_code, answer.content) == (401, DENIED)
            return time.perf_counter() - began

        await assert_time_tells_nothing(ask, reasons, within=0.001, rounds=ROUNDS)


async def test_guesses_are_counted_as_those_of_other_credentials_are(tmp_path: Path) -> None:
    async with (
        running_node(tmp_path) as node,
        httpx.AsyncClient(timeout=20, trust_env=False) as http,
    ):
        kianda = await registered(node, http)
        guess = request_of(bytes(48), bytes(16))
        statuses = [(await kianda.post(kianda.test_url, guess)).status_code for _ in range(12)]
        assert statuses == [401] * 10 + [429] * 2
        genuine = kianda.request("Test")
        assert (await kianda.post(kianda.test_url, genuine)).status_code == 200


async def test_body_that_is_no_request_is_refused_as_a_wrong_secret_is(tmp_path: Path) -> None:
    bodies = (
        *(b"", b"{", b"[]", b"null", b"{}", b"[" * 5000, b"\xff\xfe"),
        *(b'{"requestId":"1"}', b'{"requestId":"1","requestId":"2"}'),
    )
    async with (
        running_node(tmp_path) as node,
        httpx.AsyncClient(timeout=20, trust_env=False) as http,
    ):
        kianda = await registered(node, http)
        for body in bodies:
            answer = await http.post(
                kianda.test_url, content=body, headers={"content-type": "application/json"}
            )
            assert (answer.status_code, answer.content) == (401, DENIED), body


async def test_body_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    async with (
        running_node(tmp_path) as node,
        httpx.AsyncClient(timeout=20, trust_env=False) as http,
    ):
        kianda = await registered(node, http)
        answer = await http.post(kianda.query_url, content=b"x" * (1024 * 1024 + 1))
        assert answer.status_code == 413


def _shape(answer: httpx.Response) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in answer.headers.items() if name != "date")
