"""A PC that enrols, and a relay that proves itself and then does as it is told."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response

from cloud_connect.errors import CloudConnectError
from cloud_connect.handshake_messages import enrol_challenge_transcript
from cloud_connect.join_token import JoinToken
from cloud_connect.signing import SigningKey, to_bytes, to_text
from cloud_connect_agent.enrol import Enroller, Machine
from cloud_connect_agent.identity import AgentKeys, Generation
from cloud_connect_agent.tls import client_context

MACHINE = Machine(name="site office", machine="pc-1", os="Linux", version="1")
RELAY_KEY = SigningKey(bytes(range(32)))


@dataclass
class MemoryVault:
    secrets: dict[str, bytes] = field(default_factory=dict)

    async def get(self, name: str) -> bytes | None:
        return self.secrets.get(name)

    async def put(self, name: str, value: bytes) -> None:
        self.secrets[name] = value

    async def delete(self, name: str) -> None:
        self.secrets.pop(name, None)


@dataclass
class Pc:
    """A PC that wants to enrol."""

    folder: Path
    vault: MemoryVault = field(default_factory=MemoryVault)

    @property
    def keys(self) -> AgentKeys:
        return AgentKeys(self.vault)

    @property
    def generation(self) -> Generation:
        return Generation(self.folder / "generation")

    def enroller(self, url: str, **more: Any) -> Enroller:
        more.setdefault("tls", client_context())
        return Enroller(url, keys=self.keys, generation=self.generation, **more)


class FakeRelay:
    """A relay that proves itself and then does as it is told."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.key = RELAY_KEY
        self.signer = RELAY_KEY
        self.answer: tuple[int, Any] = (201, {})
        self.enrolment: dict[str, Any] = {}
        self.token = JoinToken.make(token_id="jt_a", relay_public_key=RELAY_KEY.public_key)
        self.sign_in: tuple[int, Any] = (200, {"access_token": "signed-in"})
        self.issue: tuple[int, Any] = (201, {"token": self.token.reveal()})
        self.saw: list[str] = []
        self.app.post("/api/enrol/challenge")(self.challenge)
        self.app.post("/api/enrol")(self.enrol)
        self.app.post("/Token")(self.token_of_password)
        self.app.post("/api/enrolment-tokens")(self.join_token)

    async def challenge(self, request: Request) -> dict[str, str]:
        body = await request.json()
        nonce = bytes(40)
        transcript = enrol_challenge_transcript(
            relay_id="rel_a",
            token_id=body["token_id"],
            agent_nonce=to_bytes(body["agent_nonce"]),
            nonce=nonce,
        )
        return {
            "relay_id": "rel_a",
            "relay_public_key": to_text(self.key.public_key),
            "nonce": to_text(nonce),
            "signature": to_text(self.signer.sign(transcript)),
        }

    async def enrol(self, request: Request) -> Response:
        body = await request.json()
        self.saw.append(body["token"])
        status, answer = self.answer
        if answer == {}:
            answer = {
                "connector_id": "con_a",
                "key_id": SigningKey.generate().key_id,
                "relay_id": "rel_a",
                "relay_public_key": to_text(self.key.public_key),
                "tunnel_url": "ws://127.0.0.1:1/tunnel",
                "generation": 0,
                **self.enrolment,
            }
        content = answer if isinstance(answer, str) else json.dumps(answer)
        return Response(content, status_code=status, media_type="application/json")

    async def token_of_password(self, request: Request) -> Response:
        self.saw.append((await request.body()).decode())
        status, answer = self.sign_in
        return Response(json.dumps(answer), status_code=status)

    async def join_token(self, request: Request) -> Response:
        self.saw += [request.headers["authorization"], (await request.body()).decode()]
        status, answer = self.issue
        return Response(json.dumps(answer), status_code=status)


async def says(pc: Pc, url: str, token: JoinToken | str, **more: Any) -> CloudConnectError:
    text = token if isinstance(token, str) else token.reveal()
    with pytest.raises(CloudConnectError) as caught:
        await pc.enroller(url, **more).enrol(text, MACHINE)
    error = caught.value
    assert error.message.endswith(".")
    assert "\n" not in error.message
    if not isinstance(token, str):
        assert token.secret not in error.message
    return error
