"""``cloud-connect keys``."""

import asyncio
import json
from pathlib import Path

import pytest

from agent.cli.conftest import Cli
from cloud_connect.signing import SigningKey
from cloud_connect_agent.config_file import change_settings
from cloud_connect_agent.identity import AgentKeys
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.vault import open_vault


@pytest.fixture
def identity(home: Path) -> SigningKey:
    """The key of a home that looks enrolled."""
    paths = AgentPaths.of(home)
    paths.create()
    change_settings(
        paths,
        {
            ("relay", "url"): "http://localhost:1",
            ("relay", "tunnel_url"): "ws://localhost:1/tunnel",
            ("relay", "connector_id"): "conn_1",
        },
    )
    key = SigningKey.generate()

    async def adopt() -> None:
        async with open_vault(paths) as vault:
            await AgentKeys(vault).adopt(key)

    asyncio.run(adopt())
    return key


def test_public_keys_are_printed_and_stay_the_same(cli: Cli, identity: SigningKey) -> None:
    printed = json.loads(cli("keys", "--json").output)
    assert printed["connector_id"] == "conn_1"
    assert printed["identity_key_id"] == identity.key_id
    assert len(printed["sealing_key"]) == 43
    text = cli("keys").output
    assert printed["sealing_key"] in text
    assert identity.key_id in text
    renewed = json.loads(cli("keys", "--json", "--new-sealing-key").output)
    assert renewed["sealing_key"] != printed["sealing_key"]
    assert json.loads(cli("keys", "--json").output) == renewed


def test_a_pc_that_is_not_enrolled_has_none(cli: Cli) -> None:
    ended = cli("keys")
    assert ended.status == 3
    assert "enrol" in ended.errors
