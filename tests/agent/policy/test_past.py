"""Tests of ``cloud_connect_agent.policy.past`` and of what brings it to disk."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cloud_connect.calls import Environment
from cloud_connect_agent.policy import Access, Verb
from cloud_connect_agent.policy.keeping import kept_on_disk
from cloud_connect_agent.policy.past import PastCalls, read_past
from doubles.waiting import until

MONDAY = 1_764_000_000.0
DAY = 86400


def access(**facts: Any) -> Access:
    given = {"verb": Verb.READ, "environment": Environment.LIVE, "company_id": 1, **facts}
    return Access(**given)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "decisions.sqlite3"


def test_what_was_decided_comes_back_counted_by_the_minute(file: Path) -> None:
    now = [MONDAY]
    past = PastCalls(file, wall=lambda: now[0])
    all_facts = access(
        verb=Verb.PASSTHROUGH_WRITE,
        project_id=5,
        path="rest/v1.0/x",
        fields=frozenset({"b", "a"}),
        certain=False,
    )
    for _ in range(3):
        past.note(all_facts, allowed=True, rule="r")
    past.note(access(fields=None, described=True), allowed=False, rule="default")
    past.write()
    past.note(all_facts, allowed=True, rule="r")
    now[0] += 60
    past.note(all_facts, allowed=True, rule="r")
    past.write()
    past.write()
    found = read_past(file, since=0)
    assert sorted((one.rule, one.calls, one.at - found[0].at) for one in found) == [
        ("default", 1, 0),
        ("r", 1, 60),
        ("r", 4, 0),
    ]
    assert {one.access for one in found} == {all_facts, access(fields=None, described=True)}
    assert len(read_past(file, since=now[0])) == 1
    assert file.stat().st_mode & 0o077 == 0


def test_file_holds_no_more_than_its_days_and_rows(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_connect_agent.policy.past._MAX_ROWS", 10)
    now = [MONDAY]
    past = PastCalls(file, wall=lambda: now[0])
    past.note(access(), allowed=True, rule="old")
    past.write()
    now[0] += 9 * DAY
    past.note(access(), allowed=True, rule="new")
    past.write()
    assert [one.rule for one in read_past(file, since=0)] == ["new"]
    for company in range(1, 40):
        now[0] += 60
        past.note(access(company_id=company), allowed=True, rule="r")
        past.write()
    assert len(read_past(file, since=0)) <= 11


def test_flood_of_new_kinds_is_bounded_in_memory_and_on_disk(file: Path) -> None:
    past = PastCalls(file, wall=lambda: MONDAY)
    for number in range(6_000):
        path = f"rest/v1.0/{number}/" + "x" * 8_000
        past.note(access(path=path, fields=frozenset({"y" * 9_000})), allowed=False, rule="default")
    past.write()
    found = read_past(file, since=0)
    assert len(found) == 5_000
    assert file.stat().st_size < 5_000_000


def test_no_file_is_no_past(file: Path) -> None:
    assert read_past(file, since=0) == []


def test_disk_that_fails_costs_the_counts_and_no_call(file: Path) -> None:
    file.write_bytes(b"no database at all" * 100)
    past = PastCalls(file)
    past.note(access(), allowed=True, rule="r")
    past.write()
    with pytest.raises(OSError, match="cannot be read"):
        read_past(file, since=0)


async def test_counts_come_to_disk_by_themselves_and_at_the_end(file: Path) -> None:
    past = PastCalls(file)
    async with kept_on_disk(past, interval=0.01):
        past.note(access(), allowed=True, rule="soon")
        await until(lambda: bool(read_past(file, since=0)))
        past.note(access(), allowed=True, rule="late")
    assert {one.rule for one in read_past(file, since=0)} == {"soon", "late"}
    with closing(sqlite3.connect(file)) as database:
        (text,) = database.execute("SELECT group_concat(facts) FROM decided").fetchone()
    assert "subject" not in str(text)
