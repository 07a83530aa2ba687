"""Which tests fulfil which row of the reliability catalogue, and that none is left out."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
NIGHTLY = "T85 T87 T116 T124 T129 T1 T2 T3 T5 T6 T14 T19 T23 T24 T40 T45 T47 T48 T51 T53 T56 T64"
SOAK = "T49 T50 T52"
SEVERAL_NODES = "T60 T61 T64"  # those rows of several nodes that one node shows
TIERS = (
    {f"T{number}": "every commit" for number in (*range(1, 58), *range(65, 133))}
    | dict.fromkeys(SEVERAL_NODES.split(), "every commit")
    | dict.fromkeys(NIGHTLY.split(), "nightly")
    | dict.fromkeys(SOAK.split(), "soak")
)


def marks(node: ast.expr) -> Iterator[tuple[str, list[str]]]:
    """Yield each ``pytest.mark.NAME`` in an expression, with the texts that it is given."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call):
            name = ast.unparse(part.func)
            given = [str(a.value) for a in part.args if isinstance(a, ast.Constant)]
        else:
            name, given = ast.unparse(part) if isinstance(part, ast.Attribute) else "", []
        if name.startswith("pytest.mark."):
            yield name.removeprefix("pytest.mark."), given


def claims(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield row, tier and test for every claim of one file."""
    body = ast.parse(path.read_text()).body
    shared = [
        mark
        for node in body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
        for mark in marks(node.value)
    ]
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if not node.name.startswith("test_"):
            continue
        found = [*shared, *(mark for one in node.decorator_list for mark in marks(one))]
        names = {name for name, _ in found}
        tier = "soak" if "soak" in names else "nightly" if "nightly" in names else "every commit"
        rows = {row for name, given in found if name == "catalogue" for row in given}
        for row in rows:
            yield row, tier, f"{path.relative_to(TESTS)}::{node.name}"


@pytest.fixture(scope="module")
def claimed() -> dict[tuple[str, str], list[str]]:
    """The tests of each row and tier."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        if "node_modules" not in path.parts and ".venv" not in path.parts:
            for row, tier, test in claims(path):
                found[row, tier].append(test)
    return found


def test_tests_claim_rows_that_the_catalogue_has(
    claimed: dict[tuple[str, str], list[str]],
) -> None:
    unknown = {row: tests for (row, _), tests in claimed.items() if row not in TIERS}
    assert not unknown


def test_every_row_has_a_test_of_its_tier(claimed: dict[tuple[str, str], list[str]]) -> None:
    missing = {row for row, tier in TIERS.items() if (row, tier) not in claimed}
    assert not missing
