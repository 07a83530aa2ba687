"""What a web page or another program on the PC finds to talk to: nothing."""

from pathlib import Path

import pytest

from doubles.program import Program
from doubles.world import open_world

LISTENING = "0A"  # TCP_LISTEN in the kernel's tables


def listening_sockets(program: Program) -> list[str]:
    """The local addresses on which a process takes TCP connections."""
    own = {name for name in program.open_files() if name.startswith("socket:")}
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{program.pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and f"socket:[{fields[9]}]" in own:
                found.append(fields[1])
    return found


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.catalogue("T127")
async def test_a_running_agent_listens_on_no_port(tmp_path: Path) -> None:
    async with open_world(tmp_path, tunnel_proxies=False) as world:
        assert (await (await world.caller()).read()).status == 200
        assert listening_sockets(world.agent.program) == []
        assert len(listening_sockets(world.relay)) == 2  # the way of looking finds what there is
