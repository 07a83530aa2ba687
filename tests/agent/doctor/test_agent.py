"""What a relay of another time says, and what is asked of a running agent of another account."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from cloud_connect.handshake_messages import SUBPROTOCOL, Challenge
from cloud_connect.signing import NONCE_BYTES, SigningKey, to_text
from cloud_connect_agent.control_server import serve_control
from cloud_connect_agent.doctor import Code, Status
from cloud_connect_agent.identity import AgentKeys
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.vault import vault_of
from doubles.answering import answering, saying
from doubles.enrolling_pc import RELAY_KEY, FakeRelay
from doubles.examined import examined, home_by_hand, procore_at
from doubles.link_bench import serve_app
from doubles.tools import as_root

SOMEBODY = 12345  # an account that no machine has


async def test_relay_of_another_protocol_version_asks_for_an_update(tmp_path: Path) -> None:
    async def challenge(link: ServerConnection) -> None:
        await link.send(
            Challenge(relay_id="rel_a", versions=(99,), nonce=os.urandom(NONCE_BYTES)).write()
        )
        await link.wait_closed()

    async with (
        serve_app(FakeRelay().app) as url,
        serve(challenge, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)]) as tunnel,
    ):
        port = next(iter(tunnel.sockets)).getsockname()[1]
        home = home_by_hand(
            tmp_path / "home",
            url=url,
            tunnel_url=f"ws://127.0.0.1:{port}/tunnel",
            relay_id="rel_a",
            relay_public_key=to_text(RELAY_KEY.public_key),
        )
        paths = AgentPaths.of(home)
        paths.create()
        await AgentKeys(vault_of(paths)).adopt(SigningKey.generate())
        paths.generation_file.write_text("1\n")
        found = await examined(home, "relay", "key")
    assert found["relay"].status is Status.PASS
    assert found["key"].code is Code.KEY_VERSION


async def test_running_agent_of_another_version_costs_only_the_checks_that_ask_it(
    tmp_path: Path,
) -> None:
    home = home_by_hand(tmp_path / "home")
    (home / "state").mkdir(mode=0o700)

    async def answer(_: Mapping[str, Any]) -> dict[str, Any]:
        grant = {"environment": "developer_sandbox", "grant": "of-a-later-version"}
        return {"status": {"connected": True, "version": "0.0.1", "procore": [grant]}}

    async with serve_control(home / "state" / "control.sock", answer):
        found = await examined(home, "session", "company", "version", "disk", offline=True)
    assert found["session"].code is Code.CHECK_FAILED
    assert found["version"].code is Code.VERSIONS_DIFFER
    assert found["disk"].status is not Status.FAIL


async def test_sign_in_at_risk_is_told_where_only_the_running_agent_knows_it(
    tmp_path: Path,
) -> None:
    home = home_by_hand(tmp_path / "home")  # without a vault that this command could open
    (home / "state").mkdir(mode=0o700)
    grant = {
        "environment": "developer_sandbox",
        "grant": "authorization-code",
        "state": "at_risk",
    }

    async def answer(_: Mapping[str, Any]) -> dict[str, Any]:
        return {"status": {"connected": True, "procore": [grant]}}

    refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
    async with (
        answering(saying(refusal)) as port,
        serve_control(home / "state" / "control.sock", answer),
    ):
        url = f"http://127.0.0.1:{port}"
        found = await examined(home, "grants", flags=procore_at(api_url=url, login_url=url))
    assert found["grants"].code is Code.GRANT_AT_RISK
    assert "--grant authorization-code" in found["grants"].fix


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account may enter, unlike a test's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def test_account_that_may_read_nothing_is_sent_to_the_one_that_may(
    open_folder: Path,
) -> None:
    as_root("becoming another account")
    home = home_by_hand(open_folder / "an agent's")
    (home / "state").mkdir(mode=0o700)
    home.chmod(0o755)

    async def answer(_: Mapping[str, Any]) -> dict[str, Any]:
        return {"status": {"connected": True}}

    async with serve_control(home / "state" / "control.sock", answer):
        await examined(home, offline=True)  # imports all, which Somebody may not be able to
        os.seteuid(SOMEBODY)
        try:
            found = await examined(home, "settings", "session", "disk", "files", "vault")
        finally:
            os.seteuid(0)
    files = found.pop("files")
    assert (files.code, files.status) == (Code.FILES_OF_ANOTHER, Status.FAIL)
    assert f"`sudo cloud-connect --home '{home}" in files.fix.replace("'\"'\"'", "'")
    assert {one.code for one in found.values()} == {Code.NOT_CHECKED}
    assert all("see files" in one.cause for one in found.values())


async def test_running_agent_of_another_account_is_asked_for_what_only_it_can_see(
    tmp_path: Path,
) -> None:
    as_root("give files away")
    home = home_by_hand(tmp_path / "home")
    (home / "state").mkdir(mode=0o700)
    policy: dict[str, Any] = {"class": "read-only", "rules": 3, "problem": None}

    async def answer(_: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "status": {
                "connected": False,
                "state": "offline",
                "error": "The relay at 127.0.0.1 cannot be reached (connection refused).",
                "policy": policy,
            }
        }

    async with serve_control(home / "state" / "control.sock", answer):
        os.chown(home / "state", SOMEBODY, SOMEBODY)
        found = await examined(home, "session", "policy")
        policy["problem"] = "Nothing is allowed."
        broken = await examined(home, "policy")
    assert found["session"].code is Code.AGENT_OFFLINE
    assert "connection refused" in found["session"].cause
    assert (found["policy"].status, "read-only" in found["policy"].cause) == (Status.PASS, True)
    assert broken["policy"].code is Code.POLICY_UNUSABLE
