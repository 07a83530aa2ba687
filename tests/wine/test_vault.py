"""The vault's key under DPAPI: that the calls are right, not how well Windows protects."""

from pathlib import Path
from typing import Final

import pytest

from doubles.wine import Said, Wine

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(300)]

PUT: Final = """
import asyncio, pathlib
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.vault import describe_vault, open_vault

async def main():
    paths = AgentPaths.of(pathlib.Path(r"C:\\vault-home"))
    paths.create()
    async with open_vault(paths) as vault:
        await vault.put("identity", b"what nobody may read")
    print(describe_vault(paths)["key"])

asyncio.run(main())
"""
GET: Final = """
import asyncio, pathlib
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.vault import open_vault

async def main():
    async with open_vault(AgentPaths.of(pathlib.Path(r"C:\\vault-home"))) as vault:
        print((await vault.get("identity")).decode())

asyncio.run(main())
"""


def run(wine: Wine, python: Path, script: str) -> Said:
    return wine.run(python, "-I", "-", given=script)


def test_what_was_put_is_found_by_another_process_and_lies_sealed_on_the_disk(
    wine: Wine, python: Path
) -> None:
    assert run(wine, python, PUT).checked().output.strip() == "dpapi"
    assert run(wine, python, GET).checked().output.strip() == "what nobody may read"
    files = [path for path in (wine.drive / "vault-home").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"what nobody may read" in path.read_bytes()]


def test_a_key_file_that_was_overwritten_opens_nothing(wine: Wine, python: Path) -> None:
    # Wine does not mind one changed byte, which DPAPI does.
    run(wine, python, PUT).checked()
    key = wine.drive / "vault-home/state/vault.key"
    key.write_bytes(bytes(len(key.read_bytes())))
    said = run(wine, python, GET)
    assert said.status != 0
    assert "VaultLockedError" in said.errors
