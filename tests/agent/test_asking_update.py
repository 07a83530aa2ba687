"""Which version is newer, and whose word that is."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from cloud_connect.handshake_messages import update_transcript
from cloud_connect.signing import SigningKey, to_bytes, to_text
from cloud_connect_agent.relay_api import RelayRefusedError
from cloud_connect_agent.upkeep.asking_update import Recommended, ask_update, is_newer
from doubles.link_bench import serve_app

RELAY = SigningKey.generate()
NOTES = "https://example.com/notes"


@pytest.mark.parametrize(
    ("latest", "installed", "newer"),
    [
        ("0.2.0", "0.1.0", True),
        ("0.10", "0.9.9", True),
        ("1.0", "1.0.0", False),
        ("1.0.0.1", "1.0", True),
        ("0.1.0", "0.2.0", False),
        ("0.2.0", "0.2.0.dev3", None),
    ],
)
def test_versions_are_compared_by_their_numbers(
    latest: str, installed: str, *, newer: bool | None
) -> None:
    assert is_newer(latest, installed) is newer


@asynccontextmanager
async def relay(status: int = 200, **changes: Any) -> AsyncIterator[str]:
    app = FastAPI()

    @app.post("/api/enrol/update")
    async def update(request: Request) -> JSONResponse:
        nonce = to_bytes((await request.json())["agent_nonce"])
        signed = {"latest": "9.1", "notes": NOTES}
        transcript = update_transcript(relay_id="rel_1", agent_nonce=nonce, **signed)
        answer = {**signed, "signature": to_text(RELAY.sign(transcript)), **changes}
        return JSONResponse(answer, status_code=status)

    async with serve_app(app) as url:
        yield url


async def asked(url: str) -> Recommended:
    return await ask_update(
        url,
        relay_id="rel_1",
        relay_key=RELAY.public_key,
        tls=ssl.create_default_context(),
    )


async def test_word_of_the_pinned_relay_is_told() -> None:
    async with relay() as url:
        assert await asked(url) == Recommended(latest="9.1", notes=NOTES)


@pytest.mark.parametrize(
    ("told", "changes"),
    [
        ("could not prove", {"latest": "9.2"}),
        ("could not prove", {"notes": "https://evil.example"}),
        ("does not understand", {"latest": "9.1\x1b[2J"}),
        ("does not understand", {"notes": "http://plain.example"}),
        ("does not understand", {"latest": None}),
        ("recommends none", {"status": 404}),
        ("does not say", {"status": 500}),
    ],
)
async def test_any_other_word_is_refused(told: str, changes: dict[str, Any]) -> None:
    async with relay(**changes) as url:
        with pytest.raises(RelayRefusedError, match=told):
            await asked(url)
