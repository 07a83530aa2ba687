"""The checker: it finds each broken promise that is planted, and accepts what keeps them."""

from dataclasses import replace

import pytest

from doubles.checker import check
from doubles.history import Attempt, Delivery, Execution, History, JournalLine, Record

ASKED = Attempt(
    effect="x",
    method="POST",
    key="k",
    sent_at=10.0,
    ended_at=12.0,
    status=201,
    outcome="completed",
    call_id="call_1",
)
DONE = Execution(effect="x", method="POST", at=11.0, record_id="1")
KEPT = Record(call_id="call_1", state="completed", outcome="completed", final=True, key="k")
NOTED = JournalLine(call_id="call_1", state="done", outcome="completed")
GOOD = History(attempts=(ASKED,), executions=(DONE,), records=(KEPT,), journal=(NOTED,))
UNCLEAR = replace(ASKED, status=502, outcome="unknown")
REFUSED = replace(ASKED, status=503, outcome="not_executed")
LOST = replace(ASKED, status=None, outcome=None, call_id=None)
NEVER = replace(KEPT, state="not_executed", outcome="not_executed")
OPEN = replace(KEPT, state="unknown", outcome="unknown")


def found(history: History, **options: frozenset[str]) -> list[str]:
    return [violation.invariant for violation in check(history, **options)]


def test_kept_promises_are_no_violations() -> None:
    assert not check(GOOD)


@pytest.mark.parametrize("told", [UNCLEAR, LOST])
@pytest.mark.parametrize("executions", [(), (DONE,)])
def test_who_is_told_unknown_or_nothing_may_find_either(
    told: Attempt, executions: tuple[Execution, ...]
) -> None:
    assert not check(History(attempts=(told,), executions=executions, records=(OPEN,)))


def test_second_execution_breaks_the_first_promise() -> None:
    twice = replace(GOOD, executions=(DONE, replace(DONE, record_id="2")))
    assert "I1" in found(twice)
    assert "I1" in found(replace(twice, attempts=(UNCLEAR,)))


def test_upsert_may_go_out_twice_but_make_one_record() -> None:
    upserts = frozenset({"x"})
    again = replace(GOOD, executions=(DONE, replace(DONE, at=11.5)))
    assert not found(again, upserts=upserts)
    two = replace(GOOD, executions=(DONE, replace(DONE, record_id="2")))
    assert found(two, upserts=upserts) == ["I1"]


def test_execution_that_nobody_asked_for_breaks_the_first_promise() -> None:
    assert found(replace(GOOD, executions=(DONE, replace(DONE, effect="y")))) == ["I1"]


def test_completed_without_execution_breaks_the_second_promise() -> None:
    assert "I2" in found(replace(GOOD, executions=()))
    noted = replace(GOOD, executions=(), attempts=(UNCLEAR,))
    assert found(noted) == ["I2"], "whoever looks it up is lied to"
    assert found(replace(noted, attempts=(LOST,))) == ["I2"], "also if the answer was lost"


def test_refusal_by_procore_that_was_carried_out_breaks_the_second_promise() -> None:
    refused = replace(ASKED, status=422)
    bad = replace(GOOD, attempts=(refused,), records=(replace(KEPT, status=422),))
    assert found(bad) == ["I2"]
    assert not found(replace(bad, executions=()))
    waited = replace(REFUSED, sent_at=9.0, call_id="call_0")
    assert found(replace(bad, attempts=(waited, refused))) == ["I2"], "nor does a refusal excuse it"


def test_execution_of_what_was_told_not_executed_breaks_the_third_promise() -> None:
    lie = History(attempts=(REFUSED,), executions=(DONE,))
    assert found(lie) == ["I3"]
    assert found(replace(lie, executions=(replace(DONE, at=99.0),))) == ["I3"], "not even later"


def test_repeat_after_not_executed_explains_an_execution() -> None:
    repeat = replace(ASKED, sent_at=20.0, ended_at=22.0, call_id="call_2")
    later = replace(DONE, at=21.0)
    records = (NEVER, replace(KEPT, call_id="call_2"))
    good = History(attempts=(REFUSED, repeat), executions=(later,), records=records)
    assert not check(good)
    assert found(replace(good, executions=(DONE,))) == ["I3"]


def test_relay_that_contradicts_the_journal_breaks_the_third_promise() -> None:
    lie = replace(GOOD, attempts=(UNCLEAR,), records=(NEVER,))
    assert set(found(lie)) == {"I3"}
    for state, outcome in (("intent", None), ("intent", "unknown")):
        started = replace(NOTED, state=state, outcome=outcome)
        assert found(replace(lie, executions=(), journal=(started,))) == ["I3"]
    received = replace(NOTED, state="received", outcome=None)
    assert not found(replace(lie, executions=(), journal=(received,)))


@pytest.mark.parametrize("told", [UNCLEAR, LOST])
def test_relay_that_contradicts_procore_breaks_the_third_promise(told: Attempt) -> None:
    lie = History(attempts=(told,), executions=(DONE,), records=(NEVER,))
    assert found(lie) == ["I3"]
    assert not found(replace(lie, records=(NEVER, replace(OPEN, call_id="call_2"))))
    other = replace(LOST, effect="y", sent_at=20.0)
    unsure = replace(lie, attempts=(LOST, other))
    assert not found(unsure), "a key of two effects tells of neither"


def test_answer_that_names_its_call_tells_what_a_key_of_two_effects_does_not() -> None:
    other = replace(REFUSED, effect="y", status=422, code="idempotency_key_reused")
    lie = History(attempts=(UNCLEAR, other), executions=(DONE,), records=(NEVER,))
    assert found(lie) == ["I3"]


def test_answer_that_contradicts_the_record_breaks_the_third_promise() -> None:
    assert "I3" in found(replace(GOOD, attempts=(REFUSED, replace(LOST, sent_at=9.0))))


def test_repeat_that_is_refused_while_the_first_call_runs_speaks_for_itself_only() -> None:
    repeat = replace(REFUSED, status=409, code="idempotency_conflict")
    assert not check(replace(GOOD, attempts=(ASKED, repeat)))


@pytest.mark.parametrize("state", ["accepted", "dispatched", "assigned"])
def test_call_that_never_ends_breaks_the_fourth_promise(state: str) -> None:
    record = replace(KEPT, state=state, outcome=None, final=False)
    assert found(replace(GOOD, attempts=(UNCLEAR,), records=(record,))) == ["I4"]


@pytest.mark.parametrize("outcome", ["completed", "not_executed"])
def test_unknown_that_the_journal_could_resolve_breaks_the_fourth_promise(outcome: str) -> None:
    line = replace(NOTED, outcome=outcome)
    unclear = replace(GOOD, attempts=(UNCLEAR,), records=(OPEN,), journal=(line,))
    assert found(unclear) == ["I4"]
    started = replace(line, state="intent", outcome=None)
    assert not found(replace(unclear, journal=(started,)))


@pytest.mark.parametrize("told", [ASKED, UNCLEAR, replace(UNCLEAR, call_id=None)])
def test_call_without_a_record_breaks_the_fourth_promise(told: Attempt) -> None:
    other = replace(KEPT, call_id="call_9", key="other")
    assert found(replace(GOOD, attempts=(told,), records=(other,))) == ["I4"]
    assert found(replace(GOOD, attempts=(told,), records=())) == ["I4"]
    read = replace(told, method="GET")
    assert not found(History(attempts=(read,))), "no caller waits for a read's record"


def test_answer_that_tells_no_outcome_breaks_the_fourth_promise() -> None:
    bare = replace(UNCLEAR, status=500, outcome=None)
    assert found(replace(GOOD, attempts=(bare,))) == ["I4"]


def test_other_bytes_break_the_fifth_promise_unless_somebody_was_told() -> None:
    same = Delivery(name="plan.pdf", sent_sha256="a", got_sha256="a", whole=True)
    assert not found(History(deliveries=(same,)))
    assert found(History(deliveries=(replace(same, got_sha256="b"),))) == ["I5"]
    assert not found(History(deliveries=(replace(same, got_sha256="b", whole=False),)))
