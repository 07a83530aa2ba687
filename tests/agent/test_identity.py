import errno
import stat
from pathlib import Path

import pytest

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent import identity
from cloud_connect_agent.identity import AgentKeys, Generation


class MemoryVault:
    def __init__(self) -> None:
        self.secrets: dict[str, bytes] = {}

    async def get(self, name: str) -> bytes | None:
        return self.secrets.get(name)

    async def put(self, name: str, value: bytes) -> None:
        self.secrets[name] = value

    async def delete(self, name: str) -> None:
        self.secrets.pop(name, None)


def modes_in(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


async def test_candidate_stays_the_same_until_it_is_adopted() -> None:
    keys = AgentKeys(MemoryVault())
    first = await keys.candidate()
    assert (await keys.candidate()).public_key == first.public_key
    await keys.adopt(first)
    assert (await keys.load()).public_key == first.public_key
    assert (await keys.candidate()).public_key != first.public_key


async def test_agent_without_or_with_a_damaged_key_must_enrol() -> None:
    vault = MemoryVault()
    keys = AgentKeys(vault)
    for damaged in ({}, {"identity": b"short"}):
        vault.secrets = damaged
        with pytest.raises(ConfigurationError, match="enrol"):
            await keys.load()


async def test_forgetting_leaves_nothing() -> None:
    vault = MemoryVault()
    keys = AgentKeys(vault)
    await keys.adopt(await keys.candidate())
    await keys.candidate()
    await keys.forget()
    assert vault.secrets == {}


async def test_generation_is_what_was_stored_last(tmp_path: Path) -> None:
    generation = Generation(tmp_path / "generation")
    for number in (0, 1, 2**63 - 1):
        await generation.store(number)
        assert await Generation(tmp_path / "generation").read() == number
    assert modes_in(tmp_path) == {"generation": 0o600}


@pytest.mark.parametrize("content", [b"", b"-1", b"seven", b"9" * 20, b"\xff"])
async def test_damaged_generation_is_never_guessed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "generation").write_bytes(content)
    with pytest.raises(ConfigurationError, match="damaged"):
        await Generation(tmp_path / "generation").read()


async def test_missing_generation_is_never_guessed(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        await Generation(tmp_path / "generation").read()


async def test_full_disk_takes_the_next_generation_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever could not connect for want of a few bytes could read nothing, either."""
    generation = Generation(tmp_path / "generation")
    await generation.store(9)

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, f"{len(data)} bytes for {path.name}")

    monkeypatch.setattr(identity, "write_durably", full)
    for number in (10, 11, 100):
        await generation.store(number)
        assert await Generation(tmp_path / "generation").read() == number

    def read_only(path: Path, data: bytes) -> None:
        raise OSError(errno.EROFS, f"{len(data)} bytes for {path.name}")

    monkeypatch.setattr(identity, "write_durably", read_only)
    with pytest.raises(OSError, match="generation"):
        await generation.store(101)


async def test_disk_that_was_set_back_is_told_before_it_goes_on(tmp_path: Path) -> None:
    seen: list[int] = []
    file = tmp_path / "generation"

    async def behind() -> None:
        seen.append(await Generation(file).read())

    await Generation(file).store(4)
    generation = Generation(file, behind=behind)
    for number in (5, 6, 9, 10):
        await generation.store(number)
    assert seen == [6]
