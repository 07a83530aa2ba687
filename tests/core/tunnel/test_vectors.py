"""The test vectors of docs/protocol.md hold for this implementation."""

import json
from pathlib import Path
from typing import Any

import pytest

from cloud_connect.errors import RemoteProtocolError
from cloud_connect.tunnel import Frame, FrameType, Multiplexer, Role
from cloud_connect.tunnel.frames import (
    Flag,
    Setting,
    decode_goaway,
    decode_reset,
    decode_settings,
    decode_window_update,
)
from cloud_connect.tunnel.heads import decode_request_head, decode_response_head, decode_trailers
from doubles.tunnel_pair import GET_PROJECTS

DOCS = Path(__file__).parents[3] / "docs"
VECTORS = json.loads((DOCS / "protocol-vectors.json").read_text(encoding="utf-8"))
RULES = (DOCS / "protocol.md").read_text(encoding="utf-8")


def named(vectors: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


def payload_of(frame: Frame, expected: dict[str, Any]) -> dict[str, Any]:
    """Decode a payload the way the vector describes it."""
    payload = frame.payload
    match frame.kind:
        case FrameType.SETTINGS:
            names = {int(setting): setting.name for setting in Setting}
            settings = decode_settings(payload)
            return {"settings": {names.get(key, str(key)): n for key, n in settings.items()}}
        case FrameType.HEADERS:
            (kind,) = expected
            decode = {
                "request": decode_request_head,
                "response": decode_response_head,
                "trailers": decode_trailers,
            }[kind]
            return {kind: decode(payload).model_dump(mode="json", exclude_unset=True)}
        case FrameType.DATA:
            return {"data": payload.hex()}
        case FrameType.RST_STREAM if frame.flags & Flag.ACK:
            return {"confirmation": not payload}
        case FrameType.RST_STREAM:
            return {"code": decode_reset(payload).name}
        case FrameType.WINDOW_UPDATE:
            increment, window = decode_window_update(payload)
            return {"increment": increment, "window": window}
        case FrameType.PING:
            return {"ping": payload.hex()}
        case FrameType.GOAWAY:
            code, reconnect_window_ms, reason = decode_goaway(payload)
            return {
                "code": code.name,
                "reconnect_window_ms": reconnect_window_ms,
                "reason": reason,
            }
        case _:
            return {"skipped": True}


@pytest.mark.parametrize("vector", named(VECTORS["frames"]))
def test_frame_reads_as_its_vector_says(vector: dict[str, Any]) -> None:
    (frame,) = Frame.decode(bytes.fromhex(vector["hex"]))
    kind = vector["type"]
    assert frame.kind == (kind if isinstance(kind, int) else FrameType[kind])
    assert (frame.flags, frame.stream_id) == (vector["flags"], vector["stream_id"])
    assert payload_of(frame, vector["payload"]) == vector["payload"]
    assert frame.encode().hex() == vector["hex"]


@pytest.mark.parametrize("vector", named(VECTORS["errors"]))
def test_message_that_breaks_a_rule_is_refused(vector: dict[str, Any]) -> None:
    receiver = Multiplexer(Role[vector["receiver"].upper()])
    for index, message in enumerate(vector["after"]):
        receiver.receive_frame(bytes.fromhex(message), now=0)
        if not index:
            for _ in range(vector["opened"]):
                receiver.open_stream(GET_PROJECTS, now=0, end_stream=True)
    with pytest.raises(RemoteProtocolError, match=vector["reason"]):
        receiver.receive_frame(bytes.fromhex(vector["hex"]), now=0)


def test_every_frame_type_and_every_rule_with_a_vector_is_explained() -> None:
    assert {vector["type"] for vector in VECTORS["frames"]} >= {kind.name for kind in FrameType}
    for rule in {vector["rule"] for vector in VECTORS["errors"]}:
        assert f"**{rule}**" in RULES
