"""Copies of a day's log, made once for one token."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from doubles.simulator_process import PROJECT, Simulator

PATH = f"/rest/v1.0/projects/{PROJECT}/daily_logs/clones"


@pytest.fixture
def days(simulator: Simulator) -> tuple[str, str]:
    """Yesterday, which has entries, and today."""
    now = simulator.state()["now"]
    return iso_day(now - 86400), iso_day(now)


def iso_day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def test_day_is_copied_once_for_a_token(
    simulator: Simulator, api: httpx.Client, days: tuple[str, str]
) -> None:
    body = {"from_date": days[0], "to_date": days[1], "log_types": ["notes_log", "weather_log"]}
    notes = f"/rest/v1.0/projects/{PROJECT}/notes_logs"
    before = len(api.get(notes, params={"log_date": days[1]}).json())
    first = api.post(PATH, json=body, headers={"Idempotency-Token": "t"})
    assert first.status_code == 201
    copies = first.json()["notes_log"]
    assert copies
    assert {copy["date"] for copy in copies} == {days[1]}
    again = api.post(PATH, json=body, headers={"Idempotency-Token": "t"})
    assert (again.status_code, again.json()) == (200, first.json())
    after = len(api.get(notes, params={"log_date": days[1]}).json())
    assert after == before + len(copies)
    assert len(simulator.ledger(resource="daily_log_clones")) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"from_date": "soon"},
        {"to_date": None},
        {"to_date": "2999-01-01"},
        {"to_date": "2000-01-01"},
        {"log_types": []},
        {"log_types": ["moon_log"]},
    ],
)
def test_copy_that_makes_no_sense_is_refused(
    simulator: Simulator, api: httpx.Client, days: tuple[str, str], change: dict[str, Any]
) -> None:
    body = {"from_date": days[0], "to_date": days[1], "log_types": ["notes_log"]}
    assert api.post(PATH, json={**body, **change}).status_code == 400
    assert simulator.ledger() == []
