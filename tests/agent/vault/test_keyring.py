"""Tests of a desktop's keyring, in a session of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from doubles.tools import tool

KEYRING = """
import sys
from pathlib import Path
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.settings import VaultSettings
from cloud_connect_agent.vault import describe_vault, open_vault
from cloud_connect_agent.vault.choosing import KeyStores
from cloud_connect_agent.vault.secret_service import SecretService
import asyncio, dataclasses, secretstorage

paths = AgentPaths.of(Path(sys.argv[1]))
paths.create()

async def main():
    auto = KeyStores(paths=paths, settings=VaultSettings(), superuser=False).chosen()
    assert auto.kind == "secret-service", auto.kind
    settings = VaultSettings(key="secret-service")
    async with open_vault(paths, settings) as vault:
        assert await vault.get("identity") is None
        await vault.put("identity", b"sealed under the keyring's key")
    async with open_vault(paths) as vault:
        assert await vault.get("identity") == b"sealed under the keyring's key"
        assert vault.kind == "secret-service"
    assert describe_vault(paths)["key"] == "secret-service"
    assert not paths.vault_key_file.exists()
    bus = secretstorage.dbus_init()
    collection = secretstorage.get_default_collection(bus)
    (item,) = collection.search_items({"application": "cloud-connect"})
    item.set_secret(b"no key")
    try:
        SecretService(paths.vault_dir).load()
    except Exception as exc:
        print(exc)
    collection.lock()
    assert not SecretService(paths.vault_dir).usable()
    async with open_vault(paths) as vault:
        try:
            await vault.get("identity")
        except Exception as exc:
            print(exc)

asyncio.run(main())
"""

ABSENT = """
import sys
from pathlib import Path
from cloud_connect_agent.vault.secret_service import SecretService
store = SecretService(Path(sys.argv[1]))
assert not store.usable()
for ask in (store.load, store.create, store.destroy):
    try:
        ask()
    except Exception as exc:
        print(type(exc).__name__, exc)
"""


def in_session(script: str, folder: Path, *, unlock: bool) -> str:
    """Run a script in a D-Bus session of its own, with a keyring if asked."""
    folder.mkdir(mode=0o700, exist_ok=True)
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    unlocking = (
        "printf 'a password\\n' | gnome-keyring-daemon --unlock --components=secrets >/dev/null;"
        if unlock
        else ""
    )
    done = subprocess.run(
        [
            *("dbus-run-session", "--", "sh", "-c", f'{unlocking} exec "$@"', "sh"),
            *(sys.executable, "-c", script, str(folder / "agent")),
        ],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(runtime),
            "XDG_DATA_HOME": str(folder / "data"),
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_the_keyring_of_a_desktop_keeps_the_key_and_a_locked_one_is_a_sentence(
    tmp_path: Path,
) -> None:
    tool("dbus-run-session")
    tool("gnome-keyring-daemon")
    said = in_session(KEYRING, tmp_path / "person", unlock=True)
    assert said.splitlines()[0].startswith("What the keyring holds as the vault's key is none")
    assert "is locked" in said.splitlines()[1]


@pytest.mark.slow
def test_without_a_keyring_nothing_is_asked_of_it_for_ever(tmp_path: Path) -> None:
    tool("dbus-run-session")
    said = in_session(ABSENT, tmp_path / "person", unlock=False)
    assert said.count("VaultLockedError The vault's key is in a keyring") == 3
