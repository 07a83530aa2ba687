"""Tests of ``cloud-connect policy``."""

from pathlib import Path

import pytest

from agent.cli.conftest import Cli
from cloud_connect_agent.policy import PolicyClass
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
