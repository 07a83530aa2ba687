"""The API against its own description, by a program that knows nothing else of it."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from doubles.seeds import chosen_seed
from doubles.world import World, open_world

CASES = 5_000
MINUTES = 25

# Without these, most requests would end at an id that does not exist.
CONFIG = """
[checks.negative_data_rejection]
expected-statuses = ["4xx"]

# JSON Schema cannot say which times, ids and signatures are right: a 400 names what is not.
[checks.positive_data_acceptance]
expected-statuses = [
  "2xx", "3xx", "400", "401", "403", "404", "405", "409", "413", "415", "422", "429",
]

[[operations]]
include-path-regex = "^/api/datasources/[{{]datasource_id[}}]/(test|tree|drift|records|procore)"
parameters = {{ "path.datasource_id" = "{datasource}" }}

[[operations]]
include-path-regex = "/sealed$"
[operations.parameters]
"path.datasource_id" = "{datasource}"
"header.Cloud-Connect-Connector" = "{connector}"

# A stream without an end.
[[operations]]
include-path = "/api/events"
enabled = false

# The path of any user takes more, and `me` is one.
[[operations]]
include-path = "/api/users/me/password"
checks.allow_header_conformance.enabled = false

# In the platform's shape a query that means nothing is a 200 with `success: false`.
[[operations]]
include-path = "/api/datasources/{{datasource_id}}/query"
parameters = {{ "path.datasource_id" = "{datasource}" }}
checks.negative_data_rejection.expected-statuses = ["200", "4xx"]
"""
HOOKS = """
import schemathesis


@schemathesis.serializer("application/vnd.cloud-connect.sealed")
def sealed(ctx, value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
"""


async def explored(world: World, folder: Path, *, cases_per_operation: int) -> tuple[int, str]:
    """Let schemathesis loose, and return its exit status and what it says."""
    caller = await world.caller()
    (folder / "schemathesis.toml").write_text(
        CONFIG.format(datasource=caller.base.rpartition("/")[2], connector=world.agent.connector_id)
    )
    (folder / "hooks.py").write_text(HOOKS)
    program = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "schemathesis"),
        *("--config-file", "schemathesis.toml"),
        *("run", f"{world.relay.ready['url']}/openapi.json"),
        *("--header", f"Authorization: Bearer {world.api_key}"),
        *("--phases", "examples,coverage,fuzzing,stateful"),
        *("--max-examples", str(cases_per_operation), "--seed", str(chosen_seed())),
        *("--continue-on-failure", "--suppress-health-check", "all", "--no-color"),
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(MINUTES * 60):
            said, _ = await program.communicate()
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    return program.returncode or 0, said.decode()


@pytest.mark.catalogue("T85")
@pytest.mark.nightly
@pytest.mark.timeout(MINUTES * 60 + 120)
async def test_api_answers_as_its_description_says(tmp_path: Path) -> None:
    settings = "[auth]\nfailures_per_minute = 1000000\n"
    async with open_world(tmp_path, tunnel_proxies=False, relay_settings=settings) as world:
        status, said = await explored(world, tmp_path, cases_per_operation=60)
        log = (tmp_path / "relay.log").read_text(errors="replace")
    assert status == 0, said[-20_000:]
    found = re.search(r"(\d[\d,]*) generated", said)
    assert found is not None, said[-3000:]
    assert int(found[1].replace(",", "")) >= CASES, found[0]
    assert "request_failed" not in log
