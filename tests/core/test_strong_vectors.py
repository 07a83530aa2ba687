"""The vectors of docs/strong-modes.md hold for this implementation."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from cloud_connect.call_signatures import CallSignature, SignableCall
from cloud_connect.sealing import AnswerOpener, SealingKey, open_request
from cloud_connect.signing import SigningKey, to_bytes, to_text

VECTORS: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "docs" / "strong-vectors.json").read_text()
)
KEYS: Final = VECTORS["keys"]
CONNECTOR_ID: Final = VECTORS["connector_id"]
CALLER: Final = SigningKey(to_bytes(KEYS["caller_ed25519"]["seed"]))


@pytest.mark.parametrize("vector", VECTORS["signatures"])
def test_signatures_are_over_what_the_vectors_say(vector: dict[str, Any]) -> None:
    told = vector["call"]
    call = SignableCall(
        operation=told["operation"],
        params=told["params"],
        headers=[(name, value) for name, value in told["headers"]],
        body=told["body"].encode(),
    )
    operation, params, headers, digest = call.canonical()
    assert {
        "operation": operation,
        "params": params.decode(),
        "headers": headers.decode(),
        "body_sha256": to_text(digest),
    } == vector["signed"]
    signature = CallSignature.parse(vector["header"])
    assert signature.key_id == CALLER.key_id == KEYS["caller_ed25519"]["key_id"]
    assert to_text(signature.nonce) == vector["nonce"]
    assert signature.expires_at == vector["expires"]
    assert signature.fits(call, connector_id=CONNECTOR_ID, public_key=CALLER.public_key)


def test_the_sealed_request_opens() -> None:
    vector = VECTORS["sealed_request"]
    key = SealingKey(to_bytes(KEYS["connector_x25519"]["private"]))
    assert to_text(key.public_key) == KEYS["connector_x25519"]["public"]
    opened = open_request(
        to_bytes(vector["sealed"]), key, connector_id=CONNECTOR_ID, writes=vector["writes"]
    )
    assert opened.body == vector["body"].encode()
    assert json.loads(opened.head.model_dump_json(exclude_defaults=True)) == vector["head"]


def test_the_sealed_answer_opens() -> None:
    vector = VECTORS["sealed_answer"]
    key = SealingKey(to_bytes(KEYS["answer_x25519"]["private"]))
    opener = AnswerOpener(key, to_bytes(vector["secret"]), connector_id=CONNECTOR_ID)
    parts = opener.feed(to_bytes(vector["sealed"]))
    opener.close()
    assert [{"kind": int(part), "data": data.decode()} for part, data in parts] == vector["parts"]
