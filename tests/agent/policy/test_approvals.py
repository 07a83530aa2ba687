"""Tests of ``cloud_connect_agent.policy.approvals``."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cloud_connect.calls import Environment
from cloud_connect.errors import ConfigurationError, PolicyDeniedError
from cloud_connect_agent.policy import Access, Verb, parse_policy
from cloud_connect_agent.policy.approvals import (
    MAX_WAITING,
    Approvals,
    Use,
    Verdict,
    Verdicts,
    WaitingList,
    first_use,
)
from doubles.gates import Verdicts as KnownVerdicts
from doubles.gates import gate_of

NOW = datetime(2026, 11, 25, tzinfo=UTC)
CREATE = Use(verb=Verb.CREATE, what="rfis")
POLICY = parse_policy('approval = "first-use"\n[[rules]]\nid = "all"\neffect = "allow"\n')


def access(verb: Verb = Verb.CREATE, **facts: Any) -> Access:
    given = {"environment": Environment.LIVE, "company_id": 1, "resource": "rfis", **facts}
    return Access(verb=verb, **given)


def opened(folder: Path, **more: Any) -> Approvals:
    return Approvals(
        decided_file=folder / "approvals.json",
        waiting_file=folder / "waiting.json",
        now=lambda: NOW,
        **more,
    )


def decide(folder: Path, use: Use, verdict: Verdict) -> None:
    file = folder / "approvals.json"
    known = Verdicts.parse(file.read_text()) if file.exists() else Verdicts()
    draft = folder / "draft"
    draft.write_text(known.with_(use, verdict, NOW).model_dump_json())
    draft.chmod(0o644)
    draft.replace(file)


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("rest/v1.0/projects/5/rfis/12", "rest/v1.0/projects/*/rfis/*"),
        ("rest/v2.0/companies/7/x_y", "rest/v2.0/companies/*/x_y"),
        (f"rest/v1.0/{'a' * 41}/b", "rest/v1.0/*/b"),
        ("rest/v1.0/7f0e-4a/b", "rest/v1.0/*/b"),
    ],
)
def test_paths_with_other_ids_are_one_use(path: str, what: str) -> None:
    raw = access(Verb.PASSTHROUGH_READ, path=path, resource=None)
    assert first_use(raw) == Use(verb=Verb.PASSTHROUGH_READ, what=what)


def test_use_of_a_long_path_fits_the_list() -> None:
    raw = access(Verb.PASSTHROUGH_READ, path="rest/v1.0/" + "ab/" * 500, resource=None)
    assert len(first_use(raw).what) <= 300
    assert str(first_use(access(Verb.TEST, resource=None))) == "test"


def test_id_is_made_of_what_it_names() -> None:
    assert CREATE.id == Use(verb=Verb.CREATE, what="rfis").id
    assert len({Use(verb=verb, what=what).id for verb in Verb for what in ("a", "b")}) == 14


def test_what_waits_outlives_the_process_and_what_is_decided_leaves_the_list(
    tmp_path: Path,
) -> None:
    approvals = opened(tmp_path)
    assert approvals.wait(CREATE)
    assert approvals.wait(CREATE)
    approvals.write()
    assert (approvals.waiting, approvals.problem) == (1, None)
    (listed,) = WaitingList.load(tmp_path / "waiting.json").waiting
    assert (listed.id, listed.since) == (CREATE.id, NOW)
    again = opened(tmp_path)
    assert again.waiting == 1
    decide(tmp_path, CREATE, Verdict.APPROVED)
    again.reload()
    assert again.verdict(CREATE) is Verdict.APPROVED
    assert again.waiting == 0
    assert again.wait(Use(verb=Verb.DELETE, what="rfis"))
    assert again.waiting == 1


def test_flood_ends_at_the_lists_end_and_leaves_room_for_forms(tmp_path: Path) -> None:
    approvals = opened(tmp_path)
    paths = [Use(verb=Verb.PASSTHROUGH_WRITE, what=f"rest/v1.0/{'x' * n}") for n in range(1, 200)]
    assert sum(approvals.wait(path) for path in paths) == MAX_WAITING // 2
    forms = [Use(verb=Verb.CREATE, what=f"table_{n}") for n in range(200)]
    assert sum(approvals.wait(form) for form in forms) == MAX_WAITING - MAX_WAITING // 2
    approvals.write()
    assert len(WaitingList.load(tmp_path / "waiting.json").waiting) == MAX_WAITING


def test_list_that_cannot_be_written_is_a_problem_that_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    approvals = Approvals(decided_file=tmp_path / "a.json", waiting_file=folder / "waiting.json")
    approvals.wait(CREATE)
    approvals.write()
    assert "cannot be written" in (approvals.problem or "")
    folder.mkdir()
    approvals.write()
    assert approvals.problem is None


@pytest.mark.parametrize("content", ["{", '{"decided": 1}', '{"x": 1}', ""])
def test_damaged_approvals_approve_nothing(tmp_path: Path, content: str) -> None:
    decide(tmp_path, CREATE, Verdict.APPROVED)
    approvals = opened(tmp_path)
    assert approvals.verdict(CREATE) is Verdict.APPROVED
    (tmp_path / "new").write_text(content)
    (tmp_path / "new").replace(tmp_path / "approvals.json")
    approvals.reload()
    assert approvals.verdict(CREATE) is None
    assert approvals.problem
    with pytest.raises(ConfigurationError, match="approve again"):
        Verdicts.parse(content)


def test_approvals_that_others_can_write_approve_nothing(tmp_path: Path) -> None:
    decide(tmp_path, CREATE, Verdict.APPROVED)
    (tmp_path / "approvals.json").chmod(0o666)
    approvals = opened(tmp_path)
    assert approvals.verdict(CREATE) is None
    assert "chmod" in (approvals.problem or "")


@pytest.mark.skipif(os.name != "posix", reason="owners are those of POSIX")
def test_service_takes_no_approvals_of_its_own_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide(tmp_path, CREATE, Verdict.APPROVED)
    owner = (tmp_path / "approvals.json").stat().st_uid or 4711
    os.chown(tmp_path / "approvals.json", owner, -1)
    monkeypatch.setattr(os, "geteuid", lambda: owner)
    approvals = opened(tmp_path, administered=True)
    assert approvals.verdict(CREATE) is None
    assert "chown root" in (approvals.problem or "")


async def test_first_use_waits_and_says_how_it_is_approved() -> None:
    verdicts = KnownVerdicts()
    gate = gate_of(POLICY, approvals=verdicts)
    with pytest.raises(PolicyDeniedError) as caught:
        await gate.allow([access()], 0.0)
    assert "create of rfis waits for the approval" in caught.value.message
    assert f"policy approve {CREATE.id}" in caught.value.message
    assert "(rule all)" in caught.value.message
    assert verdicts.waiting == [CREATE]
    verdicts.known["create of rfis"] = Verdict.APPROVED
    assert (await gate.allow([access()], 0.0)).rules == ("all",)
    verdicts.known["create of rfis"] = Verdict.DENIED
    with pytest.raises(PolicyDeniedError, match="has refused create of rfis"):
        await gate.allow([access()], 0.0)
    verdicts.room = False
    with pytest.raises(PolicyDeniedError, match="too much waits"):
        await gate.allow([access(Verb.DELETE)], 0.0)


async def test_what_is_refused_anyway_puts_nothing_before_a_person() -> None:
    verdicts = KnownVerdicts()
    document = parse_policy(
        'approval = "first-use"\n[[rules]]\nid = "one"\neffect = "allow"\ncompanies = [1]\n'
    )
    gate = gate_of(document, approvals=verdicts)
    with pytest.raises(PolicyDeniedError, match="rule default"):
        await gate.allow([access(), access(company_id=2)], 0.0)
    assert verdicts.waiting == []
