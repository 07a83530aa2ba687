"""``docs/resources.md`` is what the catalogue says."""

from pathlib import Path

import pytest

from cloud_connect.errors import UnsupportedOperationError
from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.catalog.page import resources_page
from cloud_connect_agent.procore.files.attaching import check_takes_files

ROOT = Path(__file__).parents[3]
PAGE = resources_page(load_catalog())


def test_page_is_the_catalogues() -> None:
    kept = (ROOT / "docs/resources.md").read_text(encoding="utf-8")
    assert kept == PAGE, "write it again: python -m cloud_connect_agent.procore.catalog.page"


def test_every_table_has_a_row_of_seven_cells() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert len(rows) == len(list(load_catalog()))
    assert {row.replace("\\|", "").count("|") for row in rows} == {8}


def test_page_says_of_every_table_whether_files_can_be_hung_on_its_records() -> None:
    for resource in load_catalog():
        (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{resource.name}` "))
        if "Takes files." in row:
            check_takes_files(resource)
        else:
            with pytest.raises(UnsupportedOperationError):
                check_takes_files(resource)


def test_page_says_what_procore_lacks_and_needs() -> None:
    (roles,) = (line for line in PAGE.splitlines() if line.startswith("| `project_roles` "))
    assert "| L-C-D | `project_id` | `role`, `user_id` | `created_at` |" in roles
    assert "*No U*: Project roles cannot be changed in Procore" in roles
    (logs,) = (line for line in PAGE.splitlines() if line.startswith("| `notes_logs` "))
    assert "Without a condition on `date` all days are read." in logs
