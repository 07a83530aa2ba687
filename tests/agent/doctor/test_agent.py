"""What a relay of another time says, and what is asked of a running agent of another account."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from cloud_connect.handshake_messages import SUBPROTOCOL, Challenge
from cloud_connect.signing import NONCE_BYTES, SigningKey, to_text
from cloud_connect_agent.control_server import serve_control
from cloud_connect_agent.doctor import Code, Status
from cloud_connect_agent.identity import AgentKeys
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.vault import vault_of
from doubles.enrolling_pc import RELAY_KEY, FakeRelay
from doubles.examined import examined, home_by_hand
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
