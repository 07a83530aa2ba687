"""Tests of ``cloud-connect policy``."""

from pathlib import Path

import pytest

from agent.cli.conftest import Cli
from cloud_connect.calls import Environment
from cloud_connect_agent.policy import Access, PolicyClass, Verb
from cloud_connect_agent.policy.approvals import Approvals, Use, Verdict
from cloud_connect_agent.policy.past import PastCalls
from cloud_connect_agent.policy_file import starter


@pytest.fixture
def file(home: Path) -> Path:
    home.mkdir(mode=0o700)
    file = home / "policy.toml"
    file.write_text(starter(PolicyClass.READ_ONLY))
    file.chmod(0o600)
    return file


def test_the_rules_are_shown_in_order(cli: Cli, file: Path) -> None:
    ended = cli("policy", "show")
    assert ended.status == 0
    assert str(file) in ended.output
    places = [ended.output.index(rule) for rule in ("connection-test", "pass-through-read")]
    assert places == sorted(places)
    assert "everything else" in ended.output


def test_the_rules_are_shown_as_json(cli: Cli, file: Path) -> None:
    document = cli("policy", "show", "--json").document
    assert document["file"] == str(file)
    assert document["class"] == "read-only"
    assert document["rule_list"][1] == {"id": "read", "effect": "allow", "verbs": ["read"]}


def test_what_a_rule_covers_is_told_in_words(cli: Cli, file: Path) -> None:
    file.write_text('[[rules]]\nid = "x"\neffect = "deny"\ncompanies = [7, 8]\n')
    assert "every verb; companies 7, 8" in cli("policy", "show").output


def test_a_broken_file_is_shown_with_its_problem(cli: Cli, file: Path) -> None:
    file.write_text("unknown = 1")
    ended = cli("policy", "show")
    assert ended.status == 78
    assert "unknown key: unknown" in ended.output


def test_without_a_file_that_is_said(cli: Cli) -> None:
    ended = cli("policy", "show")
    assert ended.status == 0
    assert "There is no policy.toml" in ended.output


@pytest.mark.parametrize(
    ("arguments", "status", "rule"),
    [
        (("--operation", "list", "--resource", "rfis"), 0, "read"),
        (("--operation", "tree"), 0, "read"),
        (("--operation", "test"), 0, "connection-test"),
        (("--operation", "create", "--resource", "rfis"), 6, "default"),
        (("--operation", "passthrough", "--path", "rest/v1.0/me"), 0, "pass-through-read"),
        (("--operation", "passthrough", "--method", "head"), 0, "pass-through-read"),
        (("--operation", "passthrough", "--method", "POST"), 6, "default"),
    ],
)
def test_a_check_names_the_rule_that_decides(
    cli: Cli, file: Path, arguments: tuple[str, ...], status: int, rule: str
) -> None:
    assert file.exists()
    ended = cli("policy", "check", "--json", *arguments)
    assert ended.status == status
    assert ended.document["rule"] == rule
    assert ended.document["allowed"] is (status == 0)
    assert cli("policy", "check", *arguments).output.strip().endswith(".")


def test_a_check_asks_for_the_company_where_it_matters(cli: Cli, file: Path) -> None:
    file.write_text('[[rules]]\nid = "x"\neffect = "allow"\ncompanies = [7]\n')
    check = ("policy", "check", "--operation", "get", "--environment", "live")
    assert cli(*check).status == 2
    assert cli(*check, "--company", "7").status == 0
    assert cli(*check, "--company", "8").status == 6


@pytest.mark.usefixtures("file")
def test_table_that_does_not_exist_is_told_before_asking(cli: Cli) -> None:
    ended = cli("policy", "check", "--operation", "list", "--resource", "rfi")
    assert (ended.status, ended.output) == (2, "")
    assert "Did you mean “rfis”?" in ended.errors


def test_rule_that_names_no_table_is_warned_of_and_still_loads(cli: Cli, file: Path) -> None:
    rule = 'id = "x"\neffect = "deny"\nresources = ["rfi", "vendors"]\n'
    file.write_text(f"[[rules]]\n{rule}")
    shown = cli("policy", "show")
    assert shown.status == 0
    assert "Rule x covers nothing by “rfi”." in shown.errors
    assert "Did you mean “rfis”?" in shown.errors
    (warning,) = cli("policy", "show", "--json").document["warnings"]
    assert "“rfi”" in warning
    assert "vendors" not in warning
    checked = cli("policy", "check", "--operation", "list", "--resource", "vendors")
    assert checked.status == 6
    assert "“rfi”" in checked.errors
    checked = cli("policy", "check", "--operation", "list", "--resource", "vendors", "--json")
    assert checked.document["warnings"] == [warning]


def test_ceiling_of_records_is_shown_and_checked(cli: Cli, file: Path) -> None:
    file.write_text(
        'max_records_per_call = 100\n[[rules]]\nid = "some"\neffect = "allow"\n'
        'resources = ["rfis"]\nmax_records_per_call = 3\n'
        '[[rules]]\nid = "rest"\neffect = "allow"\n'
    )
    shown = cli("policy", "show").output
    assert "at most 100" in shown
    assert "resources rfis; at most 3 records per call" in shown
    assert cli("policy", "show", "--json").document["max_records_per_call"] == 100
    check = ("policy", "check", "--operation", "update", "--resource", "rfis")
    assert "at most 3 records" in cli(*check).output
    refused = cli(*check, "--records", "4", "--json")
    assert refused.status == 6
    assert refused.document["allowed"] is False
    assert refused.document["max_records_per_call"] == 3
    assert "at most 3 records" in refused.document["reason"]
    other = ("policy", "check", "--operation", "delete", "--resource", "vendors")
    assert cli(*other, "--records", "4").status == 0
    assert cli(*other, "--records", "101").status == 6


def test_policy_without_a_ceiling_says_so(cli: Cli, file: Path) -> None:
    file.write_text('[[rules]]\nid = "x"\neffect = "allow"\n')
    assert "not limited" in cli("policy", "show").output
    assert cli("policy", "check", "--operation", "create", "--records", "5000").status == 0


@pytest.fixture
def limited(file: Path) -> Path:
    """A policy with all kinds of limits, and a refusal that comes too late."""
    file.write_text(
        'unwritable_fields = ["number"]\nmax_calls_per_minute = 60\napproval = "first-use"\n'
        'hours = { from = "07:00", until = "19:00", zone = "UTC" }\n'
        '[[rules]]\nid = "all"\neffect = "allow"\nmax_rows_per_call = 5\nmax_body_bytes = 9\n'
        '[[rules]]\nid = "late"\neffect = "deny"\nresources = ["rfis"]\n'
        'hours = { days = ["sun"], zone = "UTC" }\n'
    )
    return file


@pytest.mark.usefixtures("limited")
def test_limits_and_hours_are_shown_and_late_refusals_pointed_out(cli: Cli) -> None:
    shown = cli("policy", "show")
    assert "at most 60 calls a minute; never writes number; first uses wait" in shown.output
    assert "at most 5 rows per call; at most 9 bytes per request" in shown.output
    assert "07:00 to 19:00 (UTC)" in shown.output
    assert "sun 00:00 to 24:00 (UTC)" in shown.output
    assert "Rule late refuses nothing: rule all, above it" in shown.errors
    document = cli("policy", "show", "--json").document
    assert document["rule_list"][1]["hours"]["zone"] == "UTC"


@pytest.mark.usefixtures("limited")
def test_check_is_made_for_another_time_and_for_fields(cli: Cli) -> None:
    check = ("policy", "check", "--operation", "create", "--resource", "rfis")
    asked = cli(*check, "--at", "2026-11-25T08:00+00:00")
    assert asked.status == 0
    assert "waits for your approval" in asked.output
    assert cli(*check, "--at", "2026-11-25T20:00+00:00").status == 6
    assert cli(*check, "--at", "2026-11-25T08:00+00:00", "--field", "number").status == 6
    assert cli(*check, "--at", "soon").status == 2


def test_reasons_are_told_rule_by_rule_and_what_came_close(cli: Cli, file: Path) -> None:
    file.write_text(
        '[[rules]]\nid = "clients"\neffect = "allow"\ncompanies = [7]\n'
        '[[rules]]\nid = "reading"\neffect = "allow"\nverbs = ["read"]\nresources = ["vendors"]\n'
    )
    explain = ("policy", "explain", "--operation", "update", "--resource", "rfis")
    ended = cli(*explain, "--company", "12")
    assert ended.status == 6
    assert "Rule 'clients' would allow it but for company 12." in ended.output
    assert "but for the verb update and the resource rfis" in ended.output
    document = cli(*explain, "--company", "12", "--json").document
    assert document["near_misses"] == ["Rule 'clients' would allow it but for company 12."]
    assert [one["but_for"] for one in document["rules"]] == [
        ["company 12"],
        ["the verb update", "the resource rfis"],
    ]
    assert cli(*explain, "--company", "7").status == 0
    file.unlink()
    assert "no-policy-file" in str(cli(*explain, "--json").document)


def test_past_calls_are_decided_again_by_another_file(cli: Cli, file: Path, tmp_path: Path) -> None:
    assert cli("policy", "simulate").output.startswith("0 decisions in 1 day; 0 change.")
    state = file.parent / "state"
    state.mkdir()
    past = PastCalls(state / "decisions.sqlite3")
    for verb, allowed in ((Verb.READ, True), (Verb.CREATE, False)):
        access = Access(verb=verb, environment=Environment.LIVE, company_id=7, resource="rfis")
        for _ in range(3):
            past.note(access, allowed=allowed, rule="old")
    past.write()
    same = cli("policy", "simulate", "--json").document
    assert (same["decisions"], same["changed"]) == (6, 0)
    candidate = tmp_path / "new.toml"
    candidate.write_text('[[rules]]\nid = "w"\neffect = "allow"\nverbs = ["create"]\n')
    found = cli("policy", "simulate", "--file", str(candidate), "--json").document
    assert (found["newly_allowed"], found["newly_refused"]) == (3, 3)
    assert {(one["access"], one["before"], one["after"]) for one in found["changes"]} == {
        ("read of rfis in company 7 (live)", "old", "default"),
        ("create of rfis in company 7 (live)", "old", "w"),
    }
    shown = cli("policy", "simulate", "--file", str(candidate), "--days", "2").output
    assert shown.startswith("6 decisions in 2 days; 6 change.")
    candidate.write_text("mdoe = 1")
    wrong = cli("policy", "simulate", "--file", str(candidate))
    assert wrong.status == 78
    assert "did you mean “mode”" in wrong.errors
    (state / "decisions.sqlite3").write_bytes(b"damaged" * 500)
    assert "cannot be read" in cli("policy", "simulate").errors


@pytest.fixture
def waiting(file: Path) -> tuple[Approvals, list[Use]]:
    """Three first uses that wait."""
    state = file.parent / "state"
    state.mkdir()
    approvals = Approvals(
        decided_file=file.parent / "approvals.json", waiting_file=state / "waiting.json"
    )
    uses = [Use(verb=Verb.CREATE, what=what) for what in ("rfis", "vendors", "tasks")]
    for use in uses:
        approvals.wait(use)
    approvals.write()
    return approvals, uses


def test_what_waits_is_listed_approved_and_denied(
    cli: Cli, waiting: tuple[Approvals, list[Use]]
) -> None:
    approvals, uses = waiting
    listed = cli("policy", "pending", "--json").document["waiting"]
    assert [(one["id"], one["what"]) for one in listed] == [(use.id, use.what) for use in uses]
    assert cli("policy", "approve", uses[0].id).output == "Approved: create of rfis.\n"
    assert "Denied: create of vendors." in cli("policy", "deny", uses[1].id).output
    approvals.reload()
    assert [approvals.verdict(use) for use in uses] == [Verdict.APPROVED, Verdict.DENIED, None]
    shown = cli("policy", "pending").output
    assert "tasks" in shown
    assert "vendors" not in shown


def test_all_that_waits_is_approved_at_once_and_a_verdict_can_be_changed(
    cli: Cli, waiting: tuple[Approvals, list[Use]]
) -> None:
    _, uses = waiting
    assert "Denied: create of tasks." in cli("policy", "deny", "--all").output
    changed = cli("policy", "approve", uses[1].id, "--json").document
    assert changed == {"verdict": "approved", "uses": ["create of vendors"]}
    assert cli("policy", "pending").output == "Nothing waits for approval.\n"


def test_approval_of_what_does_not_wait_is_refused(
    cli: Cli, file: Path, waiting: tuple[Approvals, list[Use]]
) -> None:
    assert waiting
    assert cli("policy", "approve", "000000000000").status == 1
    assert cli("policy", "approve").status == 2
    (file.parent / "approvals.json").write_text("{")
    assert "approve again" in cli("policy", "pending").errors
