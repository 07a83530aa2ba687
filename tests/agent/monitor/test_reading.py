from typing import Any

import pytest

from cloud_connect_agent.monitor.reading import AgentStatus, Identity, Reading, Tone
from doubles.told_agent import NOW, moment, status_document

IDENTITY = Identity(
    machine="PC-17", name="site office", connector_id="con_1", relay="https://relay.example.com"
)


def read(**changes: Any) -> Reading:
    status = AgentStatus.of(status_document(**changes))
    assert status is not None
    return Reading.of_status(status, IDENTITY, now=NOW)


@pytest.mark.parametrize(
    ("changes", "word", "tone", "detail"),
    [
        ({}, "CONNECTED", Tone.GOOD, "for 6 min"),
        ({"state": "connecting"}, "CONNECTING", Tone.WAITING, "for 6 min"),
        ({"state": "offline"}, "OFFLINE", Tone.BAD, "for 6 min"),
        ({"state": "revoked"}, "REVOKED", Tone.BAD, "for 6 min"),
        ({"state": "intercepted"}, "INTERCEPTED", Tone.BAD, "for 6 min"),
        ({"paused": True}, "PAUSED", Tone.WAITING, "until somebody resumes"),
        (
            {"paused": True, "pause_seconds_left": 599.4},
            "PAUSED",
            Tone.WAITING,
            "for another 9 min",
        ),
        (
            {"paused": True, "state": "offline"},
            "OFFLINE, PAUSED",
            Tone.BAD,
            "until somebody resumes",
        ),
        ({"draining": True}, "STOPPING", Tone.WAITING, "finishes the calls that run"),
        ({"state": "sleeping"}, "SLEEPING", Tone.WAITING, "for 6 min"),
    ],
)
def test_status_has_a_word_and_a_colour(
    changes: dict[str, Any], word: str, tone: Tone, detail: str
) -> None:
    found = read(**changes)
    assert (found.word, found.tone, found.detail) == (word, tone, detail)


def test_every_state_that_health_knows_has_its_word() -> None:
    from cloud_connect_agent.health import HealthState

    for state in HealthState:
        found = read(state=state.value)
        good = state is HealthState.CONNECTED
        assert (found.tone is Tone.GOOD) is good
        assert found.word == state.value.upper()


def test_facts_are_what_a_person_looks_for() -> None:
    facts = dict(read().facts)
    assert facts == {
        "Machine": "PC-17",
        "Name": "site office",
        "Connector": "con_3f2504e04f8911d3",
        "Relay": "https://relay.example.com",
        "Round trip": "12.3 ms, 3 s ago",
        "Calls": "14 a minute",
        "Running": "2 calls",
        "Policy": "read-only",
    }


def test_what_is_out_of_the_ordinary_is_added() -> None:
    facts = dict(
        read(
            in_flight=1,
            calls={"last_minute": 3, "failed_last_minute": 2, "last_errors": []},
            journal={"state": "ok", "results_to_tell": 4},
            proxy={"url": "http://proxy:3128", "source": "HTTPS_PROXY"},
            policy={"class": "read-write", "rules": 1, "waiting": 5},
            last_round_trip_at=None,
        ).facts
    )
    assert facts["Running"] == "1 call"
    assert facts["Calls"] == "3 a minute, 2 failed"
    assert facts["Untold"] == "4 results"
    assert facts["Proxy"] == "http://proxy:3128 (HTTPS_PROXY)"
    assert facts["Policy"] == "read-write, 5 to approve"
    assert facts["Round trip"] == "12.3 ms"


def test_notes_are_said_once_and_the_reason_first() -> None:
    found = read(
        error="The relay is silent.",
        problems=["The disk is full.", "The relay is silent."],
        policy={"class": "read-only", "problem": "Line 3 is wrong."},
    )
    assert found.notes == ("The relay is silent.", "Line 3 is wrong.", "The disk is full.")


def test_agent_of_another_version_is_read_as_far_as_it_goes() -> None:
    status = AgentStatus.of({"state": "connected", "something": "new"})
    assert status is not None
    found = Reading.of_status(status, IDENTITY, now=NOW)
    assert found.word == "CONNECTED"
    assert dict(found.facts)["Calls"] == "-"
    assert found.errors is None


@pytest.mark.parametrize("document", [None, [], {"state": 1}, {}])
def test_what_is_no_status_is_none(document: object) -> None:
    assert AgentStatus.of(document) is None


def test_pause_can_be_asked_for_only_while_there_is_none() -> None:
    assert (read().can_pause, read().can_resume) == (True, False)
    paused = read(paused=True)
    assert (paused.can_pause, paused.can_resume) == (False, True)


def test_silence_tells_what_the_settings_know() -> None:
    found = Reading.of_silence(IDENTITY, answering=False, why="No agent answers on this PC.")
    assert (found.word, found.tone) == ("STOPPED", Tone.BAD)
    assert dict(found.facts)["Machine"] == "PC-17"
    assert found.accounts is None
    assert not found.can_pause
    silent = Reading.of_silence(IDENTITY, answering=True, why="It says nothing.")
    assert silent.word == "NOT ANSWERING"


def test_account_tells_how_it_stands_and_what_is_left_of_its_budget() -> None:
    (line,) = read().accounts or ()
    assert (line.name, line.word, line.well) == ("live", "signed in", True)
    assert line.budget.startswith("budget 3,512 of 3,600 left until ")


def test_account_that_cannot_be_used_says_why() -> None:
    grant = {
        "environment": "developer_sandbox",
        "account": "anna",
        "grant": "authorization-code",
        "login": "anna@example.com",
        "state": "sign_in_required",
        "last_contact_at": moment(-90),
    }
    (line,) = read(procore=[grant]).accounts or ()
    assert (line.name, line.word, line.well) == (
        "developer-sandbox (anna)",
        "sign-in needed",
        False,
    )
    assert line.facts == "anna@example.com, Procore answered 1 min ago"
    refused = {
        **grant,
        "state": "ready",
        "circuits": [
            {"company_id": 7, "status": 403, "reason": "No.", "retry_at": moment(60)},
        ],
    }
    (line,) = read(procore=[refused]).accounts or ()
    assert not line.well
    assert "company 7 refuses the app" in line.facts
