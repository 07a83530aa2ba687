"""Each code has its section in the page on troubleshooting, and each section its code."""

import re
from pathlib import Path

import pytest

from cloud_connect_agent.doctor import CHECKS, Code

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
SECTION = re.compile(r"^### (CC-[A-Z]+-\d\d)\n(.*?)(?=^#|\Z)", re.MULTILINE | re.DOTALL)
SECTIONS = dict(SECTION.findall(PAGE))


def test_codes_and_sections_are_the_same() -> None:
    assert sorted(SECTIONS) == sorted(code.value for code in Code)


@pytest.mark.parametrize("code", list(Code))
def test_section_says_what_it_is_and_what_to_do(code: Code) -> None:
    section = SECTIONS[code.value].strip()
    assert section.startswith("**")
    assert len(section) > 60


@pytest.mark.parametrize("code", list(Code))
def test_code_is_found_by_some_check(code: Code) -> None:
    folder = ROOT / "agent" / "cloud_connect_agent" / "doctor"
    sources = [file.read_text() for file in folder.glob("*.py") if file.name != "codes.py"]
    assert any(f"Code.{code.name}" in source for source in sources)


def test_page_names_each_check() -> None:
    for check in CHECKS:
        assert f"`{check.name}`" in PAGE
