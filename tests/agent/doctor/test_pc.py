"""What may be wrong on the PC itself, caused for real: files, disk, vault, policy."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_connect.signing import SigningKey
from cloud_connect_agent.doctor import Code, Status
from cloud_connect_agent.identity import AgentKeys
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.policy import PolicyClass
from cloud_connect_agent.policy_file import starter
from cloud_connect_agent.settings import load_settings
from cloud_connect_agent.vault import vault_of
from doubles.examined import examined, home_by_hand
from doubles.program import said
from doubles.small_disk import fill, small_disk
from doubles.tools import as_root, tool

SOMEBODY = 12345  # an account that no machine has


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A PC that seems to be enrolled."""
    return home_by_hand(tmp_path / "home")


@pytest.fixture
async def with_vault(home: Path) -> Path:
    """The same with a vault that holds a key."""
    paths = AgentPaths.of(home)
    paths.create()
    await AgentKeys(vault_of(paths)).adopt(SigningKey.generate())
    return home


def give_away(folder: Path) -> None:
    """Make the folder and all in it another account's."""
    for place in (folder, *folder.rglob("*")):
        os.chown(place, SOMEBODY, SOMEBODY)


def write_protect(disk: Path) -> None:
    """Mount a disk anew, for reading only."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


async def test_setting_that_nobody_knows_is_told_and_stops_the_other_checks(home: Path) -> None:
    (home / "agent.toml").write_text("colour = 1\n")
    found = await examined(home, "settings", "dns", "disk")
    assert found["settings"].code is Code.SETTINGS_UNUSABLE
    assert "colour" in found["settings"].cause
    assert found["dns"].cause == "Not checked: settings failed."
    assert found["disk"].status is not Status.FAIL


async def test_pc_that_is_not_enrolled_is_told_how(tmp_path: Path) -> None:
    found = await examined(tmp_path, "settings", "enrolment", "vault")
    assert found["settings"].status is Status.PASS
    assert found["enrolment"].code is Code.NOT_ENROLLED
    assert "enrol --relay" in found["enrolment"].fix
    assert found["vault"].code is Code.NOT_CHECKED


async def test_pinned_key_that_was_changed_is_found(tmp_path: Path) -> None:
    home = home_by_hand(tmp_path / "home", relay_public_key="no-key")
    found = await examined(home, "enrolment")
    assert found["enrolment"].code is Code.ENROLMENT_DAMAGED


async def test_folder_that_others_can_write_is_not_to_be_trusted(with_vault: Path) -> None:
    assert (await examined(with_vault, "files"))["files"].status is Status.PASS
    (with_vault / "state").chmod(0o777)
    found = await examined(with_vault, "files")
    assert found["files"].code is Code.FILES_NOT_TRUSTED
    assert "chmod go-w" in found["files"].cause


async def test_files_of_another_account_are_named_and_not_looked_into(with_vault: Path) -> None:
    as_root("give files away")
    give_away(with_vault)
    found = await examined(with_vault, "files", "vault", "policy", "grants")
    assert found["files"].code is Code.FILES_OF_ANOTHER
    assert str(SOMEBODY) in found["files"].cause
    assert {found[name].code for name in ("vault", "policy")} == {Code.NOT_CHECKED}


@pytest.fixture
def tiny_state(with_vault: Path) -> Iterator[Path]:
    """A state folder on a disk of a megabyte."""
    with small_disk(with_vault / "state"):
        yield with_vault


async def test_disk_with_little_room_is_a_warning_and_a_full_one_a_fault(tiny_state: Path) -> None:
    found = await examined(tiny_state, "disk")
    assert found["disk"].code is Code.DISK_LOW
    before = sorted((tiny_state / "state").rglob("*"))
    ballast = fill(tiny_state / "state")
    found = await examined(tiny_state, "disk")
    assert found["disk"].code is Code.DISK_FULL
    assert found["disk"].status is Status.FAIL
    ballast.unlink()
    assert sorted((tiny_state / "state").rglob("*")) == before, "nothing is left of the probe"


async def test_folder_that_cannot_be_written_is_a_fault(tiny_state: Path) -> None:
    state = tiny_state / "state"
    write_protect(state)
    found = await examined(tiny_state, "disk")
    assert found["disk"].code is Code.DISK_NOT_WRITABLE
    assert "read-only" in found["disk"].cause.lower()


@pytest.mark.slow
async def test_disk_that_takes_its_time_is_told(home: Path) -> None:
    slow = ("-e", "trace=fsync", "-e", "inject=fsync:delay_enter=700000")
    _, document, _ = await said(
        "cloud_connect_agent",
        *("doctor", "--home", str(home), "--only", "disk"),
        prefix=(tool("strace"), "-f", "-qq", "-o", "/dev/null", *slow),
    )
    (disk,) = document["checks"]
    assert disk["code"] == "CC-DISK-04"


async def test_vault_with_its_key_in_a_file_opens_with_a_warning(with_vault: Path) -> None:
    found = await examined(with_vault, "vault")
    assert found["vault"].code is Code.KEY_IN_FILE
    assert found["vault"].status is Status.WARN


async def test_pc_without_a_procore_account_is_told_how_to_set_one_up(with_vault: Path) -> None:
    found = await examined(with_vault, "procore-hosts", "grants", "company")
    assert found["procore-hosts"].status is Status.PASS
    assert found["grants"].code is Code.NO_GRANT
    assert "procore app" in found["grants"].fix
    assert found["company"].code is Code.NOT_CHECKED


async def test_vault_whose_key_is_lost_is_shut(with_vault: Path) -> None:
    (with_vault / "state" / "vault.key").unlink()
    found = await examined(with_vault, "vault", "key")
    assert found["vault"].code is Code.VAULT_SHUT
    assert "key" in found["vault"].cause
    assert "enrol" in found["vault"].fix


async def test_secret_that_was_damaged_is_found(with_vault: Path) -> None:
    sealed = with_vault / "state" / "vault" / "identity.sealed"
    content = bytearray(sealed.read_bytes())
    content[-1] ^= 1
    sealed.write_bytes(content)
    found = await examined(with_vault, "vault")
    assert found["vault"].code is Code.SECRET_DAMAGED
    assert "identity" in found["vault"].cause


async def test_vault_that_is_gone_is_a_fault_of_an_enrolled_pc(with_vault: Path) -> None:
    shutil.rmtree(with_vault / "state")
    assert (await examined(with_vault, "vault"))["vault"].code is Code.NO_VAULT


async def test_vault_that_only_the_service_opens_is_as_it_should_be(
    tmp_path: Path, home: Path
) -> None:
    paths, handed = AgentPaths.of(home), tmp_path / "credentials"
    handed.mkdir()
    (handed / "cloud-connect.vault-key").write_bytes(os.urandom(32))
    paths.create()
    environ = {"CREDENTIALS_DIRECTORY": str(handed)}
    settings = load_settings(paths.config_file, environ=environ)
    await AgentKeys(vault_of(paths, settings.vault)).adopt(SigningKey.generate())
    assert (await examined(home, "vault", environ=environ))["vault"].status is Status.PASS
    found = await examined(home, "vault")
    assert found["vault"].code is Code.KEY_WITH_SERVICE


async def test_policy_is_looked_at_as_the_agent_does(home: Path) -> None:
    policy = home / "policy.toml"
    assert (await examined(home, "policy"))["policy"].code is Code.NO_POLICY

    policy.write_text(starter(PolicyClass.READ_ONLY))
    policy.chmod(0o600)
    found = (await examined(home, "policy"))["policy"]
    owned_by_root = os.geteuid() == 0
    assert found.code is (None if owned_by_root else Code.POLICY_NOT_GUARDED)

    policy.chmod(0o666)
    found = (await examined(home, "policy"))["policy"]
    assert found.code is Code.POLICY_UNUSABLE
    assert "can be changed by other accounts" in found.cause

    policy.chmod(0o600)
    policy.write_text("rulez = 1\n")
    found = (await examined(home, "policy"))["policy"]
    assert found.code is Code.POLICY_UNUSABLE
    assert "rulez (line 1)" in found.cause

    policy.write_text('[[rules]]\nid = "none"\neffect = "deny"\n')
    assert (await examined(home, "policy"))["policy"].code is Code.POLICY_ALLOWS_NOTHING


async def test_policy_of_another_account_is_refused_and_of_the_agents_own_a_warning(
    home: Path,
) -> None:
    as_root("give files away")
    policy = home / "policy.toml"
    policy.write_text(starter(PolicyClass.READ_ONLY))
    os.chown(policy, SOMEBODY, SOMEBODY)
    found = (await examined(home, "policy"))["policy"]
    assert found.code is Code.POLICY_UNUSABLE
    assert "belongs neither to root nor to the account" in found.cause
