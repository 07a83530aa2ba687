"""Tests of what keeps the vault's key: each kind, and which one is chosen."""

import itertools
import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_connect.errors import VaultLockedError
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.settings import VaultSettings, load_settings
from cloud_connect_agent.vault import (
    EncryptedVault,
    KeyFile,
    KeyKind,
    KeyStore,
    describe_vault,
    open_vault,
    vault_of,
)
from cloud_connect_agent.vault.choosing import KeyStores
from cloud_connect_agent.vault.credential import CREDENTIAL_NAME, SystemdCredential
from cloud_connect_agent.vault.dpapi import Dpapi
from cloud_connect_agent.vault.keychain import Keychain

NAME = "procore-app/live"


@pytest.fixture
def paths(tmp_path: Path) -> AgentPaths:
    paths = AgentPaths.of(tmp_path / "home")
    paths.create()
    return paths


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir(mode=0o700)
    (folder / CREDENTIAL_NAME).write_bytes(os.urandom(32))
    return folder


def stores(paths: AgentPaths, *, platform: str = "linux", **settings: object) -> KeyStores:
    return KeyStores(
        paths=paths,
        settings=VaultSettings.model_validate(settings),
        platform=platform,
        superuser=True,
    )


class Mac:
    """The tool of macOS, as its manual has it."""

    def __init__(self) -> None:
        self.items: dict[str, str] = {}
        self.heard: list[str] = []
        self.status: int | None = None

    def __call__(self, commands: str) -> tuple[int, str]:
        self.heard.append(commands)
        if self.status is not None:
            return self.status, ""
        verb, *words = shlex.split(commands)
        options = dict(itertools.pairwise(words))
        name = f"{options['-s']}/{options['-a']}"
        if verb == "add-generic-password":
            self.items[name] = options["-w"]
            return 0, ""
        if name not in self.items:
            return 44, ""
        if verb == "delete-generic-password":
            del self.items[name]
            return 0, ""
        return 0, f"{self.items[name]}\n"


def sealing(data: bytes) -> bytes:
    return bytes(byte ^ 0x5A for byte in data)


def dpapi(file: Path) -> Dpapi:
    return Dpapi(file, seal=sealing, unseal=sealing, protect=lambda _: None)


@pytest.fixture(params=[KeyKind.KEY_FILE, KeyKind.KEYCHAIN, KeyKind.DPAPI])
def store(request: pytest.FixtureRequest, paths: AgentPaths) -> Iterator[KeyStore]:
    if request.param is KeyKind.KEYCHAIN:
        yield Keychain(paths.vault_dir, tool=Mac())
    elif request.param is KeyKind.DPAPI:
        yield dpapi(paths.vault_key_file)
    else:
        yield KeyFile(paths.vault_key_file)


async def test_a_vault_works_alike_whatever_keeps_its_key(
    store: KeyStore, paths: AgentPaths
) -> None:
    vault = EncryptedVault(folder=paths.vault_dir, keys=store)
    assert store.load() is None
    await vault.put(NAME, b"secret")
    assert await vault.get(NAME) == b"secret"
    assert store.load() == store.load() is not None
    assert vault.kind is store.kind
    vault.destroy()
    assert store.load() is None
    store.destroy()


def test_the_keychains_tool_gets_the_key_on_standard_input_and_errors_are_sentences(
    paths: AgentPaths,
) -> None:
    mac = Mac()
    keychain = Keychain(paths.vault_dir, tool=mac)
    key = keychain.create()
    assert mac.heard[0] == (
        f"add-generic-password -s 'cloud-connect vault' -a {paths.vault_dir} -U -w {key.hex()}\n"
    )
    mac.items = dict.fromkeys(mac.items, "no key")
    with pytest.raises(VaultLockedError, match="is none"):
        keychain.load()
    mac.status = 51
    with pytest.raises(VaultLockedError, match="locked or refuses"):
        keychain.load()
    mac.status = 44
    with pytest.raises(VaultLockedError, match="did not keep"):
        keychain.create()
    with pytest.raises(VaultLockedError, match="cannot be asked"):
        Keychain(paths.vault_dir).load()  # this is no Mac


def test_a_key_of_windows_is_protected_before_it_is_written(paths: AgentPaths) -> None:
    file, seen = paths.vault_key_file, list[bytes]()
    made = Dpapi(
        file, seal=sealing, unseal=sealing, protect=lambda path: seen.append(path.read_bytes())
    )
    key = made.create()
    assert seen == [b""]
    assert key not in file.read_bytes()


def test_a_key_of_windows_is_on_the_disk_before_anything_is_sealed_with_it(
    paths: AgentPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, int]] = []

    def sync(descriptor: int) -> None:
        facts = os.fstat(descriptor)
        synced.append((facts.st_ino, facts.st_size))

    monkeypatch.setattr(os, "fsync", sync)
    dpapi(paths.vault_key_file).create()
    facts = paths.vault_key_file.stat()
    assert (facts.st_ino, facts.st_size) in synced
    assert facts.st_size > 0


def test_a_key_of_another_windows_machine_is_a_sentence(paths: AgentPaths) -> None:
    dpapi(paths.vault_key_file).create()
    with pytest.raises(VaultLockedError, match="another machine"):
        Dpapi(paths.vault_key_file).load()  # this is no Windows
    paths.vault_key_file.write_bytes(sealing(b"short"))
    with pytest.raises(VaultLockedError, match="no key"):
        dpapi(paths.vault_key_file).load()
    paths.vault_key_file.unlink()
    paths.vault_key_file.mkdir()
    with pytest.raises(VaultLockedError, match="cannot be read"):
        dpapi(paths.vault_key_file).load()


async def test_a_credential_of_systemd_opens_the_vault_and_nothing_on_disk_does(
    paths: AgentPaths, credentials: Path
) -> None:
    settings = load_settings(
        paths.config_file, environ={"CREDENTIALS_DIRECTORY": str(credentials)}
    ).vault
    async with open_vault(paths, settings) as vault:
        await vault.put(NAME, b"secret")
        assert vault.kind is KeyKind.SYSTEMD_CREDENTIAL
    assert not paths.vault_key_file.exists()
    assert describe_vault(paths) == {
        "key": "systemd-credential",
        "description": "its key is a credential of systemd, bound to this machine",
        "warning": None,
    }
    async with open_vault(paths, settings) as vault:
        assert await vault.get(NAME) == b"secret"
    async with open_vault(paths, VaultSettings()) as vault:  # a command outside of the service
        for attempt in (vault.get(NAME), vault.put("identity", b"x")):
            with pytest.raises(VaultLockedError, match="systemd-run"):
                await attempt


async def test_another_credential_does_not_open_the_vault(
    paths: AgentPaths, credentials: Path
) -> None:
    settings = VaultSettings(credentials_dir=credentials)
    async with open_vault(paths, settings) as vault:
        await vault.put(NAME, b"secret")
    (credentials / CREDENTIAL_NAME).write_bytes(os.urandom(32))
    async with open_vault(paths, settings) as vault:
        with pytest.raises(VaultLockedError, match="another key"):
            await vault.get(NAME)


def test_a_credential_that_is_no_key_is_a_sentence(credentials: Path) -> None:
    credential = SystemdCredential(credentials)
    (credentials / CREDENTIAL_NAME).write_bytes(b"short")
    with pytest.raises(VaultLockedError, match="too short"):
        credential.load()
    (credentials / CREDENTIAL_NAME).unlink()
    assert credential.load() is None
    assert not credential.offered
    with pytest.raises(VaultLockedError, match="hands it over"):
        credential.create()
    (credentials / CREDENTIAL_NAME).mkdir()
    with pytest.raises(VaultLockedError, match="cannot be read"):
        credential.load()
    credential.destroy()


@pytest.mark.parametrize(
    ("platform", "offered", "kind"),
    [
        ("linux", True, KeyKind.SYSTEMD_CREDENTIAL),
        ("linux", False, KeyKind.KEY_FILE),
        ("win32", False, KeyKind.DPAPI),
        ("darwin", False, KeyKind.KEYCHAIN),
    ],
)
def test_a_new_vault_takes_the_best_that_there_is(
    paths: AgentPaths, credentials: Path, platform: str, *, offered: bool, kind: KeyKind
) -> None:
    folder = credentials if offered else None
    assert stores(paths, platform=platform, credentials_dir=folder).chosen().kind is kind


@pytest.mark.parametrize("kind", list(KeyKind))
def test_the_administrator_may_choose(paths: AgentPaths, kind: KeyKind) -> None:
    assert stores(paths, key=kind.value).chosen().kind is kind


async def test_an_old_vault_stays_with_its_key_whatever_turns_up(
    paths: AgentPaths, credentials: Path
) -> None:
    async with open_vault(paths) as vault:
        await vault.put(NAME, b"secret")
    later = VaultSettings(credentials_dir=credentials)
    async with open_vault(paths, later) as vault:
        assert vault.kind is KeyKind.KEY_FILE
        assert await vault.get(NAME) == b"secret"
    with pytest.raises(VaultLockedError, match=r"vault\.key says systemd-credential"):
        vault_of(paths, VaultSettings(key="systemd-credential"))


async def test_a_vault_from_before_kinds_were_noted_has_a_key_file(paths: AgentPaths) -> None:
    keys = KeyFile(paths.vault_key_file)
    await EncryptedVault(folder=paths.vault_dir, keys=keys).put(NAME, b"secret")
    async with open_vault(paths) as vault:
        assert await vault.get(NAME) == b"secret"
    described = describe_vault(paths)
    assert described is not None
    assert described["key"] == "key-file"
    assert described["warning"]


def test_a_vault_that_names_no_kind_stays_shut(paths: AgentPaths) -> None:
    assert describe_vault(paths) is None
    paths.vault_dir.mkdir(mode=0o700)
    (paths.vault_dir / "kind").write_text("post-it\n")
    with pytest.raises(VaultLockedError, match="names no kind"):
        vault_of(paths)
    (paths.vault_dir / "kind").unlink()
    (paths.vault_dir / "kind").mkdir()
    with pytest.raises(VaultLockedError, match="cannot be read"):
        vault_of(paths)


def test_a_key_file_is_for_one_account(paths: AgentPaths) -> None:
    KeyFile(paths.vault_key_file).create()
    assert stat.S_IMODE(paths.vault_key_file.stat().st_mode) == 0o400
