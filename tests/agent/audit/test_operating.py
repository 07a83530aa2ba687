import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cloud_connect.errors import CloudConnectError
from cloud_connect.signing import SigningKey
from cloud_connect_agent.audit import (
    AuditFolder,
    AuditTrail,
    CheckpointExchange,
    RecordedControl,
    operating,
    watch_files,
)
from cloud_connect_agent.audit.reading import records
from doubles.waiting import until

KEY = SigningKey.generate()


@pytest.fixture
async def trail(tmp_path: Path) -> AsyncIterator[AuditTrail]:
    folder = AuditFolder(tmp_path / "audit")
    async with AuditTrail.open(folder, signer=KEY, digest_key=b"k" * 32) as made:
        yield made


@pytest.fixture
def control(trail: AuditTrail) -> RecordedControl:
    async def answer(request: Mapping[str, Any]) -> dict[str, Any]:
        if request.get("command") == "broken":
            raise CloudConnectError("No.")
        return {"status": {"state": "connected"}} if request["command"] == "status" else {}

    return RecordedControl(answer, trail, CheckpointExchange(trail, relay_key=b"r" * 32))


def said(trail: AuditTrail) -> list[tuple[str, object]]:
    found = [record.fields() for record in records(trail.folder)]
    return [(str(one["action"]), one.get("detail")) for one in found]


async def test_what_people_tell_the_agent_is_recorded(
    control: RecordedControl, trail: AuditTrail
) -> None:
    await control.answer({"command": "pause", "seconds": 60})
    await control.answer({"command": "resume"})
    await control.answer({"command": "test"})
    with pytest.raises(CloudConnectError):
        await control.answer({"command": "broken"})
    assert said(trail) == [("agent.paused", {"seconds": 60}), ("agent.resumed", None)]


async def test_status_shows_how_the_log_fares(control: RecordedControl, trail: AuditTrail) -> None:
    trail.event("test.done")
    status = (await control.answer({"command": "status"}))["status"]
    assert status["audit"] == {
        "state": "ok",
        "log": trail.log,
        "records": 1,
        "signed": 0,
        "unrecorded_reads": 0,
    }


async def test_commands_that_work_without_the_agent_have_it_record(
    control: RecordedControl, trail: AuditTrail
) -> None:
    facts = {"account": "default", "n": 5, "nothing": None}
    await control.answer({"command": "audit-event", "action": "procore.signed_in", "facts": facts})
    assert said(trail) == [("procore.signed_in", {"account": "default", "n": 5})]


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"action": "call", "facts": {}},
        {"action": "a.b", "facts": []},
        {"action": "a.b\nc.d", "facts": {}},
        {"action": "a.b", "facts": {str(n): n for n in range(17)}},
    ],
)
async def test_what_is_no_event_is_refused(
    control: RecordedControl, trail: AuditTrail, request_: dict[str, Any]
) -> None:
    with pytest.raises(CloudConnectError, match="no event"):
        await control.answer({"command": "audit-event", **request_})
    assert said(trail) == []


async def test_nobody_to_ask_is_told(control: RecordedControl) -> None:
    assert await control.answer({"command": "audit-exchange"}) == {"said": None}


async def test_each_change_of_the_policy_is_recorded_by_its_digest(
    trail: AuditTrail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operating, "_WATCH_SECONDS", 0.01)
    policy = tmp_path / "policy.toml"
    policy.write_text("one")
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(
            watch_files(trail, {"policy": policy, "approvals": tmp_path / "none"})
        )
        await until(lambda: len(said(trail)) == 1)
        policy.write_text("another")
        await until(lambda: len(said(trail)) == 2)
        policy.unlink()
        await until(lambda: len(said(trail)) == 3)
        watching.cancel()
    actions, details = zip(*said(trail), strict=True)
    assert actions == ("policy.loaded", "policy.loaded", "policy.missing")
    assert len({str(one) for one in details}) == 3
