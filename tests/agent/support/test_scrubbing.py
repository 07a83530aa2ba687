"""Tests of ``cloud_connect_agent.support.scrubbing``."""

import json
import os
from pathlib import Path

import pytest

from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.settings import VaultSettings
from cloud_connect_agent.support import Scrubber, learn_vault
from cloud_connect_agent.vault import open_vault


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("written by jane.doe+x@mail.example.co.uk today", "written by ***@*** today"),
        ("/home/jane/cloud/agent.toml", "/home/***/cloud/agent.toml"),
        ("C:\\Users\\jane\\x and /Users/jane", "C:\\Users\\***\\x and /Users/***"),
        ("client_secret=hunter22hunter22", "client_secret=***"),
        ("call_01J9 took 12 ms", "call_01J9 took 12 ms"),
    ],
)
def test_people_and_secrets_are_masked_and_the_rest_stays(text: str, scrubbed: str) -> None:
    assert Scrubber().text(text) == scrubbed


def test_the_folder_of_whoever_asks_is_a_tilde() -> None:
    scrubber = Scrubber(Path("/srv/people/jane"))
    assert scrubber.text("in /srv/people/jane/agent") == "in ~/agent"
    assert Scrubber(Path("/")).text("/etc") == "/etc"


def test_documents_are_scrubbed_at_every_depth_and_stay_documents() -> None:
    found = Scrubber().document(
        {
            "login": "jane",
            "login_url": "https://login.procore.com",
            "token": "abcdefgh",
            "list": [{"email": "a@b.example", "count": 3, "note": "a@b.example"}],
            "nothing": None,
        }
    )
    assert found == {
        "login": "***",
        "login_url": "https://login.procore.com",
        "token": "***",
        "list": [{"email": "***", "count": 3, "note": "***@***"}],
        "nothing": None,
    }


def test_a_line_of_json_stays_json() -> None:
    line = json.dumps({"event": "x", "token": 'a"b', "who": "a@b.example", "n": 1})
    assert json.loads(Scrubber().line(line)) == {
        "event": "x",
        "token": "***",
        "who": "***@***",
        "n": 1,
    }
    assert Scrubber().line("Traceback of a@b.example") == "Traceback of ***@***"


FACTS = {
    "pepper": "hunter22",
    "credentials": "hunter22",
    "privateKey": "hunter22",
    "login": "jane",
    "note": "a@b.example",
    "path": "/srv/jane/agent",
    "file": "/home/jane/x",
    "nested": {"user": "jane"},
    "list": ["/home/jane/x"],
}


@pytest.mark.parametrize("name", FACTS)
def test_no_line_is_thought_harmless_that_is_not(name: str) -> None:
    scrubber = Scrubber(Path("/srv/jane"))
    line = scrubber.line(json.dumps({"event": "x", name: FACTS[name]}))
    assert "hunter22" not in line
    assert "jane" not in line
    assert "b.example" not in line


def test_an_escaped_sign_hides_nobody() -> None:
    line = Scrubber().line(r'{"event": "x", "note": "jane\u0040b.example"}')
    assert json.loads(line)["note"] == "***@***"


def test_a_line_without_anything_stays_as_it_is() -> None:
    line = '{"event": "request_finished", "rows": 5}'
    assert Scrubber().line(line) is line


@pytest.fixture
def paths(tmp_path: Path) -> AgentPaths:
    paths = AgentPaths.of(tmp_path / "home")
    paths.create()
    return paths


async def test_what_the_vault_holds_is_masked_wherever_it_stands(paths: AgentPaths) -> None:
    secret, token = os.urandom(15).hex(), os.urandom(15).hex()
    async with open_vault(paths, VaultSettings(key="key-file")) as vault:
        await vault.put("plain", bytes.fromhex(token))
        await vault.put("procore/live", json.dumps({"app": [{"client_secret": secret}]}).encode())
    assert learn_vault(paths) is None
    said = Scrubber().text(f"sent {secret} and {token}")
    assert said == "sent *** and ***"


def test_a_vault_that_cannot_be_opened_is_said(paths: AgentPaths) -> None:
    assert learn_vault(paths) is None
    paths.vault_dir.mkdir(mode=0o700)
    (paths.vault_dir / "x.sealed").write_bytes(b"x")
    said = learn_vault(paths)
    assert said is not None
