from typing import Any

import pytest

from cloud_connect_agent.call_meter import CallMeter


def ended(call_id: str = "call_1", *, status: int | None = 200, **more: Any) -> dict[str, Any]:
    return {
        "seq": 1,
        "time": "2026-03-04T10:00:00.000Z",
        "call_id": call_id,
        "operation": "records.list",
        "resource": "rfis",
        "status": status,
        "code": None,
        "ms": 12.0,
        **more,
    }


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_only_the_last_minute_is_counted() -> None:
    clock = Clock()
    meter = CallMeter(clock=clock)
    for status in (503, 200, 200):
        meter.note(ended(status=status))
        clock.now += 25
    document = meter.document()
    assert (document["last_minute"], document["failed_last_minute"]) == (2, 0)
    clock.now += 60
    assert meter.document()["last_minute"] == 0


def test_many_calls_of_a_second_take_the_memory_of_one() -> None:
    meter = CallMeter(clock=Clock())
    for _ in range(1000):
        meter.note(ended())
    assert meter.document()["last_minute"] == 1000
    assert len(meter._seconds) == 1


def test_failed_ones_are_counted_and_the_latest_are_named_first() -> None:
    meter = CallMeter()
    for number in range(20):
        meter.note(ended(f"call_{number}", status=403, code="policy_denied"))
    document = meter.document()
    assert (document["last_minute"], document["failed_last_minute"]) == (20, 20)
    errors = document["last_errors"]
    assert isinstance(errors, list)
    assert len(errors) == 10
    assert errors[0] == {
        "at": "2026-03-04T10:00:00.000Z",
        "call_id": "call_19",
        "operation": "records.list",
        "resource": "rfis",
        "status": 403,
        "code": "policy_denied",
    }


@pytest.mark.parametrize(("status", "failed"), [(200, 0), (302, 0), (404, 1), (None, 0)])
def test_failed_is_what_says_no_and_not_who_went_away(status: int | None, failed: int) -> None:
    meter = CallMeter()
    meter.note(ended(status=status, code="cancelled"))
    assert meter.document()["failed_last_minute"] == failed
