"""Somebody changes the record of what was done: each way shows, with the first bad record."""

import asyncio
import contextlib
import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from cloud_connect.audit import Checkpoint
from cloud_connect.signing import SigningKey
from cloud_connect_agent.audit import AuditFolder, AuditTrail
from cloud_connect_agent.audit.reading import verify as verify_folder
from cloud_connect_agent.cli.root import main as agent_main
from cloud_connect_relay.audit_keeper import AuditKeeper
from cloud_connect_relay.cli.root import main as relay_main
from doubles.observing import until
from doubles.program import said
from doubles.relay_node import founded
from doubles.world import Agent, World, open_world

RECORDS: Final = 250
SIGNED: Final = 200
KEY: Final = SigningKey.generate()

pytestmark = pytest.mark.usefixtures("restored_logging")


def judged(
    main: Callable[[list[str]], None],
    where: tuple[str, Path],
    against: tuple[Checkpoint, ...],
    capsys: pytest.CaptureFixture[str],
) -> dict[str, Any]:
    """What a program's own check says of the log at *where*."""
    option, folder = where
    held = folder / "held.ndjson"
    held.write_text("".join(f"{one.model_dump_json()}\n" for one in against))
    compared = ["--against", str(held)] if against else []
    with pytest.raises(SystemExit) as ended:
        main(["audit", "verify", "--json", option, str(folder), *compared])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    document = document.get("items", [document])[0]
    assert int(str(ended.value.code or 0)) == (0 if document["ok"] else 1)
    return document


@dataclass
class AgentLog:
    """The agent's log, and the ways to change it."""

    home: Path

    @property
    def folder(self) -> AuditFolder:
        return AuditFolder(self.home / "state" / "audit")

    def build(self) -> None:
        async def fill() -> None:
            async with AuditTrail.open(self.folder, signer=KEY, digest_key=b"k" * 32) as trail:
                for number in range(RECORDS):
                    if number == SIGNED:
                        await trail.sign()
                    trail.event("test.done", {"number": number})

        asyncio.run(fill())

    def checkpoint(self) -> Checkpoint:
        return self.folder.checkpoints()[-1]

    def forget_checkpoints(self, above: int) -> None:
        kept = [one for one in self.folder.checkpoints() if one.seq <= above]
        self.folder.keep_checkpoints(kept)

    @property
    def _file(self) -> Path:
        return self.folder.segments()[0].path

    def _change(self, change: Callable[[list[bytes]], None]) -> None:
        lines = self._file.read_bytes().splitlines(keepends=True)
        change(lines)
        self._file.write_bytes(b"".join(lines))

    def flip(self, seq: int) -> None:
        def change(lines: list[bytes]) -> None:
            line = bytearray(lines[seq - 1])
            line[len(line) // 2] ^= 1
            lines[seq - 1] = bytes(line)

        self._change(change)

    def delete(self, seq: int) -> None:
        def change(lines: list[bytes]) -> None:
            del lines[seq - 1]

        self._change(change)

    def swap(self, seq: int) -> None:
        def change(lines: list[bytes]) -> None:
            lines[seq - 1], lines[seq] = lines[seq], lines[seq - 1]

        self._change(change)

    def truncate(self, keep: int) -> None:
        def change(lines: list[bytes]) -> None:
            del lines[keep:]

        self._change(change)

    def verify(self, capsys: pytest.CaptureFixture[str], *against: Checkpoint) -> dict[str, Any]:
        return judged(agent_main, ("--home", self.home), against, capsys)


@dataclass
class RelayLog:
    """The same of the relay's."""

    data_dir: Path
    log: str = ""

    @property
    def _database(self) -> Path:
        return self.data_dir / "relay.sqlite3"

    def build(self) -> None:
        async def fill() -> None:
            async with founded(self.data_dir) as store:
                self.log = store.subscription_id
                audit = store.storage.of(store.subscription_id).audit
                keeper = AuditKeeper(store.storage, store.identity.key)
                at = time.time()
                written = len(await audit.newest(limit=10))  # its founding
                for number in range(written, RECORDS):
                    if number == SIGNED:
                        await keeper.sign(all_now=True)
                    await audit.add(at=at, actor="test", action="test.done", target=f"{number}")
                await keeper.sign(all_now=True)

        asyncio.run(fill())

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self._database)) as database, database:
            yield database

    def checkpoint(self) -> Checkpoint:
        with self._open() as database:
            found = database.execute(
                "SELECT document FROM audit_checkpoints WHERE subscription_id = ?"
                " ORDER BY seq DESC LIMIT 1",
                (self.log,),
            ).fetchone()
        return Checkpoint.model_validate_json(found[0])

    def forget_checkpoints(self, above: int) -> None:
        with self._open() as database:
            database.execute("DELETE FROM audit_checkpoints WHERE seq > ?", (above,))

    def flip(self, seq: int) -> None:
        with self._open() as database:
            database.execute(
                "UPDATE audit SET record = replace(record, 'test.done', 'test.gone')"
                " WHERE subscription_id = ? AND seq = ?",
                (self.log, seq),
            )

    def delete(self, seq: int) -> None:
        with self._open() as database:
            database.execute(
                "DELETE FROM audit WHERE subscription_id = ? AND seq = ?", (self.log, seq)
            )

    def swap(self, seq: int) -> None:
        with self._open() as database:
            for before, after in ((seq, -1), (seq + 1, seq), (-1, seq + 1)):
                database.execute(
                    "UPDATE audit SET seq = ? WHERE subscription_id = ? AND seq = ?",
                    (after, self.log, before),
                )

    def truncate(self, keep: int) -> None:
        with self._open() as database:
            database.execute("DELETE FROM audit WHERE seq > ?", (keep,))

    def verify(self, capsys: pytest.CaptureFixture[str], *against: Checkpoint) -> dict[str, Any]:
        return judged(relay_main, ("--data-dir", self.data_dir), against, capsys)


Log = AgentLog | RelayLog


@pytest.fixture(scope="module", params=[AgentLog, RelayLog])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Log:
    log: Log = request.param(tmp_path_factory.mktemp("audit"))
    log.build()
    return log


@pytest.fixture
def log(built: Log, tmp_path: Path) -> Log:
    """A copy, for one test to tamper with."""
    where = built.home if isinstance(built, AgentLog) else built.data_dir
    shutil.copytree(where, tmp_path / "copy")
    if isinstance(built, AgentLog):
        return AgentLog(tmp_path / "copy")
    return RelayLog(tmp_path / "copy", log=built.log)


def test_untouched_log_is_whole(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    found = log.verify(capsys, log.checkpoint())
    assert (found["ok"], found["records"], found["signed_seq"]) == (True, RECORDS, RECORDS)


@pytest.mark.catalogue("T123")
@pytest.mark.parametrize("change", ["flip", "delete", "swap"])
def test_change_is_found_at_its_record(
    log: Log, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    getattr(log, change)(120)
    assert log.verify(capsys)["first_bad_seq"] == 120


@pytest.mark.catalogue("T123")
def test_cut_end_is_found_even_with_its_checkpoints(
    log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    held = log.checkpoint()
    log.truncate(230)
    assert log.verify(capsys)["first_bad_seq"] == 231
    log.forget_checkpoints(230)
    assert log.verify(capsys)["ok"]  # nobody on this machine can tell any more
    assert log.verify(capsys, held)["first_bad_seq"] == 231


@pytest.mark.catalogue("T123")
def test_older_copy_is_found_by_what_the_peer_holds(
    log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    held = log.checkpoint()
    log.truncate(SIGNED)
    log.forget_checkpoints(SIGNED)
    assert log.verify(capsys, held)["first_bad_seq"] == SIGNED + 1


def test_log_written_anew_with_another_key_is_found(tmp_path: Path) -> None:
    log = AgentLog(tmp_path)
    log.build()
    stranger = SigningKey.generate().public_key
    verdict = verify_folder(log.folder, key=stranger)
    assert verdict.fault is not None
    assert verify_folder(log.folder, key=KEY.public_key).fault is None


async def verified(agent: Agent) -> dict[str, Any]:
    _, document, _ = await said("cloud_connect_agent", "audit", "verify", "--home", str(agent.home))
    return document


async def relay_verified(world: World) -> dict[str, Any]:
    _, document, _ = await said(
        "cloud_connect_relay", "audit", "verify", "--data-dir", str(world.data_dir)
    )
    found: dict[str, Any] = document["items"][0]
    return found


@pytest.mark.slow
@pytest.mark.catalogue("T123")
@pytest.mark.timeout(120)
async def test_each_end_tells_on_the_other(tmp_path: Path) -> None:
    async with open_world(tmp_path, tunnel_proxies=False) as world:
        agent, caller = world.agent, await world.caller()
        await caller.create("before")
        whole = await verified(agent)
        assert whole["ok"], whole
        assert whole["relay_asked"]
        older = tmp_path / "older"
        shutil.copytree(agent.home / "state" / "audit", older)
        await caller.create("hidden")
        newer = await verified(agent)
        assert newer["signed_seq"] > whole["signed_seq"]
        assert (await relay_verified(world))["ok"]

        # The PC's administrator puts the older copy back.
        await agent.program.stop()
        shutil.rmtree(agent.home / "state" / "audit")
        shutil.copytree(older, agent.home / "state" / "audit")
        await agent.program.start()
        await world.until_status("online", within=60)
        found = await verified(agent)
        assert not found["ok"]
        assert found["first_bad_seq"] <= newer["signed_seq"]
        assert found["first_bad_seq"] > whole["last_seq"]

        async def told() -> bool:
            items = (await world.api.get("/api/audit", params={"action": "connector"})).json()
            return any(one["action"] == "connector.audit_mismatch" for one in items["items"])

        await until(told, within=20, what="the relay's record of it")
        assert (await relay_verified(world))["suspect_connectors"] == [agent.connector_id]

        # The relay's operator removes what the relay did, checkpoints and all.
        await world.relay.stop()  # it signs when it stops
        await world.relay.start()
        await world.until_status("online", within=60)
        await verified(agent)
        assert (await relay_verified(world))["ok"]
        await world.relay.stop()
        with contextlib.closing(sqlite3.connect(world.data_dir / "relay.sqlite3")) as database:
            database.execute("DELETE FROM audit WHERE seq > 2")
            database.execute("DELETE FROM audit_checkpoints WHERE seq > 2")
            database.execute("UPDATE audit_peers SET held = NULL")
            database.commit()
        await world.relay.start()
        await world.until_status("online", within=60)
        await verified(agent)
        cut = await relay_verified(world)
        assert not cut["ok"]
        assert cut["first_bad_seq"] in {3, 4}, "what came after the cut may hide its beginning"
        assert cut["compared_with"] == [f"connector {agent.name}"]
