"""Tests of ``cloud-connect catalog``."""

from pathlib import Path

import pytest

from agent.cli.conftest import Cli, run


def test_every_table_is_listed_with_what_it_offers(cli: Cli) -> None:
    ended = cli("catalog", "list", COLUMNS="120")
    assert ended.status == 0
    assert "rfis" in ended.output
    rows = (line for line in ended.output.splitlines() if line.startswith("  ") and line[2] != " ")
    lines = dict(row.split(maxsplit=1) for row in rows)
    assert lines["rfis"].split() == ["LSCU-", "RFIs"]
    assert lines["meeting_topics"].startswith("--CU-")
    assert "L list, S show one" in ended.errors


def test_tables_are_found_by_a_word(cli: Cli) -> None:
    ended = cli("catalog", "list", "VENDOR", "--json")
    items = {item["name"]: item for item in ended.document["items"]}
    assert {"vendors", "project_vendors"} <= set(items)
    assert "rfis" not in items
    assert items["vendors"]["operations"] == ["list", "get", "create", "update"]
    assert (items["vendors"]["level"], items["vendors"]["scope"]) == ("company", [])
    nothing = cli("catalog", "list", "zzz")
    assert (nothing.status, nothing.output) == (0, "")
    assert "No table has “zzz”" in nothing.errors


def test_no_home_is_needed(tmp_path: Path) -> None:
    ended = run(None, "catalog", "show", "rfis", HOME=str(tmp_path), COLUMNS="200")
    assert ended.status == 0
    assert list(tmp_path.iterdir()) == []


def test_table_is_shown_with_paths_needs_filters_and_fields(cli: Cli) -> None:
    shown = cli("catalog", "show", "task_items", COLUMNS="100").output
    assert "GET /rest/v1.0/task_items?project_id={project_id}" in shown
    assert "Lives in  project_id" in shown
    assert 'body: {"task_item": {…}}' in shown
    assert "task_item_category.id" in shown
    assert "sorted by" in shown
    assert "Files     can be hung on the records" in shown
    assert "answers 204" in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_what_procore_lacks_is_told_with_what_to_do_instead(cli: Cli) -> None:
    shown = cli("catalog", "show", "projects", COLUMNS="120").output
    assert "- Projects cannot be deleted in Procore; set “active” to false instead." in shown
    assert "PATCH /rest/v1.0/projects/sync, 1,000 at once" in shown
    assert "views that are not used: ids, compact, normal" in shown
    assert "Name (needed)" in shown


def test_second_generation_has_text_ids(cli: Cli) -> None:
    shown = cli("catalog", "show", "coordination_issues_v2").output
    assert "Ids       text" in shown
    assert "/rest/v2.0/companies/{company_id}/projects/{project_id}/coordination_issues" in shown


def test_table_as_json_tells_the_same(cli: Cli) -> None:
    document = cli("catalog", "show", "meetings", "--json").document
    assert document["operations"]["list"]["unwrap"] == "groups:meetings"
    assert document["operations"]["create"]["body"] == ["project_id"]
    assert document["scope"] == ["project_id"]
    fields = {field["name"]: field for field in document["fields"]}
    assert fields["starts_at"]["required"]
    assert fields["starts_at"]["direction"] == "both"
    assert fields["created_at"]["sent_as"] is None
    assert (fields["project_id"]["type"], fields["project_id"]["required"]) == ("integer", True)
    assert document["takes_files"] is True


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_unknown_table_is_status_2_and_says_what_was_meant(
    cli: Cli, options: tuple[str, ...]
) -> None:
    ended = cli("catalog", "show", "rfi", *options)
    assert (ended.status, ended.output) == (2, "")
    assert "Did you mean “rfis”?" in ended.errors


def test_fields_stand_in_a_line_each_on_an_ordinary_terminal(cli: Cli) -> None:
    shown = cli("catalog", "show", "rfis", COLUMNS="80").output
    assert max(map(len, shown.splitlines())) <= 80
    lines = shown.partition("\nFields\n")[2].splitlines()
    assert next(line for line in lines if "subject" in line).split() == [
        "subject", "string", "both", "Subject", "(needed)",
    ]  # fmt: skip
    long = next(line for line in lines if "question.document_management" in line)
    assert long.split() == ["question.document_management_document_revision_ids"]


def test_operation_whose_repeat_procore_knows_says_so(cli: Cli) -> None:
    assert cli("catalog", "show", "distribution_groups").output.count("Idempotency-Token") == 2
