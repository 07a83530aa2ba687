"""The requests of an enrolling, changing or leaving agent, written by hand: they may be wrong."""

from typing import Any

import httpx

from cloud_connect.handshake_messages import (
    enrol_transcript,
    leave_transcript,
    rotate_transcript,
)
from cloud_connect.join_token import JoinToken
from cloud_connect.signing import SigningKey, to_bytes, to_text

__all__ = ["application", "challenge", "leave", "redeem", "rotate"]


async def challenge(http: httpx.AsyncClient, token_id: str) -> dict[str, Any]:
    answer = await http.post(
        "/api/enrol/challenge", json={"token_id": token_id, "agent_nonce": to_text(bytes(32))}
    )
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def application(
    token: JoinToken | str, key: SigningKey, challenged: dict[str, Any], **changes: Any
) -> dict[str, Any]:
    """Return the body of a redeem."""
    text = token if isinstance(token, str) else token.reveal()
    proof = enrol_transcript(
        relay_id=challenged["relay_id"],
        nonce=to_bytes(challenged["nonce"]),
        token_id=text.split(".")[1],
        public_key=key.public_key,
    )
    return {
        "token": text,
        "nonce": challenged["nonce"],
        "public_key": to_text(key.public_key),
        "signature": to_text(key.sign(proof)),
        "name": "site office",
        "machine": "pc-1",
        "os": "Linux",
        "version": "1",
        **changes,
    }


async def redeem(
    http: httpx.AsyncClient, token: JoinToken | str, key: SigningKey, **changes: Any
) -> httpx.Response:
    text = token if isinstance(token, str) else token.reveal()
    challenged = await challenge(http, text.split(".")[1])
    return await http.post("/api/enrol", json=application(text, key, challenged, **changes))


async def leave(
    http: httpx.AsyncClient, connector_id: str, key: SigningKey, **changes: Any
) -> httpx.Response:
    challenged = await challenge(http, connector_id)
    nonce = to_bytes(changes.get("nonce", challenged["nonce"]))
    proof = leave_transcript(
        relay_id=challenged["relay_id"],
        nonce=nonce,
        connector_id=connector_id,
        key_id=key.key_id,
    )
    body = {
        "connector_id": connector_id,
        "key_id": key.key_id,
        "nonce": to_text(nonce),
        "signature": to_text(key.sign(proof)),
        **changes,
    }
    return await http.post("/api/enrol/leave", json=body)


async def rotate(
    http: httpx.AsyncClient, connector_id: str, old: SigningKey, new: SigningKey, **changes: Any
) -> httpx.Response:
    challenged = await challenge(http, connector_id)
    nonce = to_bytes(changes.get("nonce", challenged["nonce"]))
    proof = rotate_transcript(
        relay_id=challenged["relay_id"],
        nonce=nonce,
        connector_id=connector_id,
        key_id=old.key_id,
        new_public_key=new.public_key,
    )
    body = {
        "connector_id": connector_id,
        "key_id": old.key_id,
        "new_public_key": to_text(new.public_key),
        "nonce": to_text(nonce),
        "signature": to_text(old.sign(proof)),
        "new_signature": to_text(new.sign(proof)),
        **changes,
    }
    return await http.post("/api/enrol/rotate", json=body)
