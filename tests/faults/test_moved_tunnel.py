"""The relay restarts with its tunnel on another port: enrolled agents find it."""

from pathlib import Path

import pytest

from doubles.secure_pair import open_pair


@pytest.mark.timeout(120)
async def test_agent_finds_the_tunnel_on_another_port_without_a_new_enrolment(
    tmp_path: Path,
) -> None:
    settings = {
        "CLOUD_CONNECT_RELAY__FOLLOW_TUNNEL": "true",
        "CLOUD_CONNECT_TUNNEL__BACKOFF_CAP": "1",
    }
    async with open_pair(tmp_path, host="127.0.0.1", settings=settings) as pair:
        agent = pair.agent.program
        await agent.start()
        try:
            await pair.until_listed(within=30, status="online")
            old = pair.tunnel_port
            await pair.relay.crash()
            words = list(pair.relay.arguments)
            words[words.index("--tunnel-port") + 1] = "0"
            pair.relay.arguments = tuple(words)
            await pair.relay.start()
            assert pair.tunnel_port != old
            took = await pair.until_listed(within=30, status="online")
            print(f"moved tunnel found {took:.1f} s after the relay was back")  # noqa: T201
        finally:
            await agent.stop()
