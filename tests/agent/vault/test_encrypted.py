"""Tests of ``cloud_connect_agent.vault.encrypted``."""

import asyncio
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect.errors import VaultLockedError
from cloud_connect.file_lock import file_lock
from cloud_connect_agent.vault import DamagedSecretError, EncryptedVault, KeyFile
from cloud_connect_agent.vault import encrypted as module

NAME = "procore-app/live"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "state"
    root.mkdir(mode=0o700)
    return root


def vault_in(root: Path) -> EncryptedVault:
    return EncryptedVault(folder=root / "vault", keys=KeyFile(root / "vault.key"))


@pytest.fixture
def vault(root: Path) -> EncryptedVault:
    return vault_in(root)


def contents(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def sealed(root: Path) -> Path:
    (path,) = (root / "vault").glob("*.sealed")
    return path


async def test_a_secret_comes_back_as_it_was(vault: EncryptedVault) -> None:
    assert await vault.get(NAME) is None
    await vault.put(NAME, b"one")
    await vault.put(NAME, b"two")
    await vault.put("identity", bytes(range(256)))
    assert await vault.get(NAME) == b"two"
    assert await vault.get("identity") == bytes(range(256))
    await vault.delete(NAME)
    await vault.delete(NAME)
    assert await vault.get(NAME) is None


async def test_secret_that_is_asked_for_again_makes_no_path_anew(
    vault: EncryptedVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    await vault.put("procore-app/live", b"secret")
    met: list[str] = []

    def intern(name: str) -> str:
        met.append(name)
        return name

    monkeypatch.setattr(sys, "intern", intern)
    assert vault.read("procore-app/live") == b"secret"
    assert not [name for name in met if "procore-app" in name]


async def test_what_another_process_puts_is_seen_at_once(root: Path) -> None:
    reader, writer = vault_in(root), vault_in(root)
    await writer.put(NAME, b"first")
    assert await reader.get(NAME) == b"first"
    await writer.put(NAME, b"second")
    assert await reader.get(NAME) == b"second"


async def test_nothing_on_disk_shows_a_secret(vault: EncryptedVault, root: Path) -> None:
    await vault.put(NAME, b"canary-of-the-vault")
    assert not any(b"canary" in content for content in contents(root).values())


async def test_files_are_private(vault: EncryptedVault, root: Path) -> None:
    await vault.put(NAME, b"x")
    assert stat.S_IMODE((root / "vault.key").stat().st_mode) == 0o400
    assert stat.S_IMODE((root / "vault").stat().st_mode) == 0o700
    assert stat.S_IMODE(sealed(root).stat().st_mode) == 0o600


async def test_the_same_secret_is_never_sealed_alike(vault: EncryptedVault, root: Path) -> None:
    await vault.put(NAME, b"x")
    first = sealed(root).read_bytes()
    await vault.put(NAME, b"x")
    assert sealed(root).read_bytes() != first


async def test_a_sealed_file_under_another_name_is_refused(
    vault: EncryptedVault, root: Path
) -> None:
    await vault.put(NAME, b"x")
    sealed(root).rename(root / "vault" / "identity.sealed")
    with pytest.raises(VaultLockedError, match="damaged"):
        await vault.get("identity")


@given(st.data())
def test_no_damaged_file_is_opened(data: st.DataObject) -> None:
    root = Path(os.environ.get("TMPDIR", "/tmp")) / f"vault-{os.getpid()}"  # noqa: S108 - removed below
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(mode=0o700)
    try:
        vault = vault_in(root)
        vault.write(NAME, b"some secret")
        content = bytearray(sealed(root).read_bytes())
        if data.draw(st.booleans()):
            at = data.draw(st.integers(0, len(content) - 1))
            content[at] ^= data.draw(st.integers(1, 255))
        else:
            del content[data.draw(st.integers(0, len(content) - 1)) :]
        sealed(root).write_bytes(content)
        with pytest.raises(VaultLockedError, match="damaged"):
            vault.read(NAME)
    finally:
        shutil.rmtree(root)


async def test_a_copied_file_is_useless_without_its_key(root: Path, tmp_path: Path) -> None:
    await vault_in(root).put(NAME, b"x")
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    await vault_in(other).put(NAME, b"y")
    sealed(other).write_bytes(sealed(root).read_bytes())
    with pytest.raises(VaultLockedError, match="another key"):
        await vault_in(other).get(NAME)


@pytest.mark.parametrize("which", ["key", "sealed"])
async def test_files_that_others_can_reach_are_refused(
    vault: EncryptedVault, root: Path, which: str
) -> None:
    await vault.put(NAME, b"x")
    path = root / "vault.key" if which == "key" else sealed(root)
    path.chmod(0o640)
    with pytest.raises(VaultLockedError, match="reached by other accounts"):
        await vault.get(NAME)


@pytest.mark.parametrize("which", ["key", "sealed"])
async def test_links_are_refused(vault: EncryptedVault, root: Path, which: str) -> None:
    await vault.put(NAME, b"x")
    path = root / "vault.key" if which == "key" else sealed(root)
    target = path.rename(root / "elsewhere")
    path.symlink_to(target)
    with pytest.raises(VaultLockedError, match="symbolic link"):
        await vault.get(NAME)


async def test_files_of_another_account_are_refused(
    vault: EncryptedVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    await vault.put(NAME, b"x")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(VaultLockedError, match="another account"):
        await vault.get(NAME)


async def test_a_folder_that_others_can_reach_takes_no_secret(
    vault: EncryptedVault, root: Path
) -> None:
    (root / "vault").mkdir(mode=0o755)
    with pytest.raises(VaultLockedError, match="folder"):
        await vault.put(NAME, b"x")


async def test_a_lost_key_is_said_and_not_replaced(vault: EncryptedVault, root: Path) -> None:
    await vault.put(NAME, b"x")
    assert not vault.is_lost()
    (root / "vault.key").unlink()
    assert vault.is_lost()
    for attempt in (vault.get(NAME), vault.put("identity", b"y")):
        with pytest.raises(VaultLockedError, match=r"key file vault\.key is missing"):
            await attempt
    vault.destroy()
    await vault.put(NAME, b"z")
    assert await vault.get(NAME) == b"z"


async def test_a_damaged_key_is_said(vault: EncryptedVault, root: Path) -> None:
    await vault.put(NAME, b"x")
    key = root / "vault.key"
    key.chmod(0o600)
    key.write_bytes(b"short")
    assert vault.is_lost()
    with pytest.raises(VaultLockedError, match="damaged"):
        await vault.get(NAME)


def test_an_empty_vault_is_not_lost(vault: EncryptedVault) -> None:
    assert not vault.is_lost()


@pytest.mark.parametrize("name", ["", "../identity", "a/b/c", "A", "a b", ".hidden", "a/../b"])
async def test_a_name_cannot_lead_elsewhere(vault: EncryptedVault, name: str) -> None:
    with pytest.raises(VaultLockedError, match="not a name"):
        await vault.get(name)


async def test_a_secret_has_a_limit(vault: EncryptedVault) -> None:
    with pytest.raises(VaultLockedError, match="at most"):
        await vault.put(NAME, b"x" * 70_000)


async def test_a_writer_waits_for_another_and_gives_up_with_a_sentence(
    vault: EncryptedVault, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await vault.put(NAME, b"x")
    monkeypatch.setattr(module, "_LOCK_SECONDS", 0.05)
    with (
        file_lock(root / "vault" / ".lock"),
        pytest.raises(VaultLockedError, match="Another process"),
    ):
        await vault.put(NAME, b"y")
    assert await vault.get(NAME) == b"x"


async def test_a_write_that_fails_leaves_the_old_secret_and_no_rest(
    vault: EncryptedVault, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await vault.put(NAME, b"old")
    before = contents(root)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(VaultLockedError, match="No space left"):
            await vault.put(NAME, b"new")
    assert await vault.get(NAME) == b"old"
    assert contents(root) == before


async def test_many_writers_of_several_processes_leave_one_readable_secret(root: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from cloud_connect_agent.vault import EncryptedVault, KeyFile\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "vault = EncryptedVault(folder=root / 'vault', keys=KeyFile(root / 'vault.key'))\n"
        "for n in range(20): vault.write('identity', f'{sys.argv[2]}-{n}'.encode())\n"
    )

    def write(who: str) -> None:
        subprocess.run([sys.executable, "-c", program, str(root), who], check=True)

    async with asyncio.TaskGroup() as group:
        for who in ("a", "b"):
            group.create_task(asyncio.to_thread(write, who))
    assert await vault_in(root).get("identity") in {b"a-19", b"b-19"}


async def test_a_file_that_cannot_be_read_is_a_sentence(vault: EncryptedVault, root: Path) -> None:
    await vault.put(NAME, b"x")
    path = sealed(root)
    path.unlink()
    path.mkdir(mode=0o700)
    with pytest.raises(VaultLockedError, match="cannot be read"):
        await vault.get(NAME)
    with pytest.raises(VaultLockedError, match="cannot be deleted"):
        await vault.delete(NAME)


async def test_a_key_that_cannot_be_read_is_a_sentence(vault: EncryptedVault, root: Path) -> None:
    await vault.put(NAME, b"x")
    key = root / "vault.key"
    key.unlink()
    key.mkdir(mode=0o700)
    with pytest.raises(VaultLockedError, match="cannot be read"):
        await vault.get(NAME)


def test_destroying_an_empty_vault_is_no_fault(vault: EncryptedVault) -> None:
    vault.destroy()


async def test_a_held_name_keeps_another_process_out_and_no_other_name(
    vault: EncryptedVault, root: Path
) -> None:
    other = vault_in(root)
    async with vault.hold(NAME, seconds=1):
        async with other.hold("another", seconds=1):
            pass
        with pytest.raises(VaultLockedError, match="Another process"):
            async with other.hold(NAME, seconds=0.05):
                pass
    async with other.hold(NAME, seconds=1):
        await vault.put(NAME, b"x")  # holding is between processes, writing has its own lock
    assert await vault.get(NAME) == b"x"


async def test_who_waits_for_a_held_name_can_be_cancelled(
    vault: EncryptedVault, root: Path
) -> None:
    async with vault.hold(NAME, seconds=1):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), vault_in(root).hold(NAME, seconds=10):
                pass
    async with vault_in(root).hold(NAME, seconds=0.5):
        pass


async def test_a_folder_that_takes_no_lock_is_a_sentence(vault: EncryptedVault, root: Path) -> None:
    await vault.put(NAME, b"x")
    sealed(root).with_suffix(".lock").mkdir()
    with pytest.raises(VaultLockedError, match="cannot be written"):
        async with vault.hold(NAME, seconds=1):
            pass


async def test_a_damaged_secret_is_told_apart(vault: EncryptedVault, root: Path) -> None:
    await vault.put(NAME, b"x")
    sealed(root).write_bytes(b"damaged, and long enough for a nonce")
    with pytest.raises(DamagedSecretError, match="damaged"):
        await vault.get(NAME)
