import json
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response

from cloud_connect.errors import ConfigurationError
from cloud_connect.signing import SigningKey, to_text
from cloud_connect_agent.enrol import Machine
from cloud_connect_agent.relay_api import RelayRefusedError, RelayUnreachableError
from doubles.enrolling_pc import FakeRelay, Pc, says
from doubles.link_bench import serve_app


@pytest.fixture
def pc(tmp_path: Path) -> Pc:
    (tmp_path / "pc").mkdir()
    return Pc(tmp_path / "pc")


@pytest.fixture
def fake() -> FakeRelay:
    return FakeRelay()


async def test_relay_without_the_pinned_key_never_sees_the_token(pc: Pc, fake: FakeRelay) -> None:
    fake.signer = SigningKey.generate()
    async with serve_app(fake.app) as url:
        error = await says(pc, url, fake.token)
    assert "could not prove" in error.message
    assert fake.saw == []


@pytest.mark.parametrize(
    ("enrolment", "what"),
    [
        ({}, "contradicts"),
        ({"relay_id": "rel_b"}, "contradicts"),
        ({"relay_public_key": to_text(bytes(32))}, "contradicts"),
        ({"tunnel_url": "ws://relay.example.com/tunnel"}, "tunnel address"),
        ({"generation": -1}, "does not understand"),
    ],
)
async def test_answer_that_contradicts_the_proof_is_not_believed(
    pc: Pc, fake: FakeRelay, enrolment: dict[str, Any], what: str
) -> None:
    fake.enrolment = enrolment
    async with serve_app(fake.app) as url:
        assert what in (await says(pc, url, fake.token)).message
    with pytest.raises(ConfigurationError):
        await pc.keys.load()


@pytest.mark.parametrize(
    ("status", "body", "kind", "what"),
    [
        (500, "oops", RelayUnreachableError, "same join token"),
        (403, {"detail": "Enough\u001b[31m\nconnectors."}, RelayRefusedError, "Enough [31m"),
        (403, {"detail": ""}, RelayRefusedError, "refused"),
        (429, "no json", RelayRefusedError, "refused"),
        (201, "x" * 70_000, RelayUnreachableError, "no relay"),
    ],
)
async def test_refusals_are_shown_as_one_clean_line(
    pc: Pc, fake: FakeRelay, *, status: int, body: Any, kind: type[Exception], what: str
) -> None:
    fake.answer = (status, body)
    async with serve_app(fake.app) as url:
        error = await says(pc, url, fake.token)
    assert isinstance(error, kind)
    assert what in error.message
    assert "\u001b" not in error.message


@pytest.mark.parametrize(
    ("status", "headers", "body", "what"),
    [
        (200, {}, "<html>", "no relay"),
        (404, {}, "nothing", "status 404"),
        (302, {"location": "https://login.example.com"}, "", "a redirect to login.example.com"),
        (200, {}, {"nonce": "!"}, "no relay"),
    ],
)
async def test_other_web_server_is_no_relay(
    pc: Pc, fake: FakeRelay, *, status: int, headers: dict[str, str], body: Any, what: str
) -> None:
    app = FastAPI()

    @app.post("/api/enrol/challenge")
    def answer() -> Response:
        content = body if isinstance(body, str) else json.dumps(body)
        return Response(content, status_code=status, headers=headers)

    async with serve_app(app) as url:
        error = await says(pc, url, fake.token)
    assert isinstance(error, RelayUnreachableError)
    assert what in error.message


@pytest.mark.parametrize(
    ("sign_in", "issue", "kind", "what"),
    [
        ((400, {"error": "invalid_grant"}), (201, {}), RelayRefusedError, "user name and password"),
        ((401, {}), (201, {}), RelayRefusedError, "user name and password"),
        ((429, {"detail": "Wait a minute."}), (201, {}), RelayRefusedError, "Wait a minute."),
        ((503, "<html>"), (201, {}), RelayUnreachableError, "status 503"),
        ((200, {}), (201, {}), RelayRefusedError, "does not understand"),
        ((200, {"access_token": "t"}), (403, {"detail": "scope"}), RelayRefusedError, "admin may"),
        ((200, {"access_token": "t"}), (429, {"detail": "Later."}), RelayRefusedError, "Later."),
        ((200, {"access_token": "t"}), (500, ""), RelayUnreachableError, "status 500"),
    ],
)
async def test_refused_administrator_is_told_why(
    pc: Pc,
    fake: FakeRelay,
    *,
    sign_in: tuple[int, Any],
    issue: tuple[int, Any],
    kind: type[Exception],
    what: str,
) -> None:
    fake.sign_in, fake.issue = sign_in, issue
    async with serve_app(fake.app) as url:
        with pytest.raises(kind, match=what) as caught:
            await pc.enroller(url).request_token("admin", "pass word", group=None)
    assert "pass word" not in str(caught.value)


async def test_administrator_gets_a_join_token_with_a_password(pc: Pc, fake: FakeRelay) -> None:
    async with serve_app(fake.app) as url:
        token = await pc.enroller(url).request_token("admin", "pass word", group="east")
    assert token == fake.token.reveal()
    assert fake.saw == [
        "grant_type=password&username=admin&password=pass+word",
        "Bearer signed-in",
        '{"group":"east"}',
    ]


async def test_web_server_that_is_no_relay_never_sees_the_password(pc: Pc) -> None:
    app, saw = FastAPI(), []

    @app.post("/Token")
    async def token(request: Request) -> dict[str, str]:
        saw.append(await request.body())
        return {"access_token": "t"}

    async with serve_app(app) as url:
        with pytest.raises(RelayUnreachableError, match="no relay"):
            await pc.enroller(url).request_token("admin", "pass word", group=None)
    assert saw == []


def test_machine_describes_itself() -> None:
    here = Machine.here(name="a", version="1")
    assert here.machine
    assert here.os
    assert (here.name, here.version) == ("a", "1")
