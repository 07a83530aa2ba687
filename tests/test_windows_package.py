"""The Windows package: what goes in has a known hash, and nothing comes in at run time."""

import re
import zipfile
from pathlib import Path

import pytest

import build_msi

LOCK = """\
click==8.5.1 \\
    --hash=sha256:aa
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:bb
coverage[toml]==7.17.3 \\
    --hash=sha256:cc
"""


def test_pinned_packages_keep_their_hashes_and_lose_the_markers_that_chose_them() -> None:
    assert build_msi.pinned(LOCK, ["colorama", "coverage"]) == (
        "colorama==0.4.6 \\\n    --hash=sha256:bb\n"
        "coverage[toml]==7.17.3 \\\n    --hash=sha256:cc\n"
    )


def test_a_package_that_nobody_pinned_does_not_go_in() -> None:
    with pytest.raises(build_msi.BuildError, match="lacks evil"):
        build_msi.pinned(LOCK, ["click", "evil"])


def test_a_python_other_than_the_one_that_was_named_does_not_go_in(tmp_path: Path) -> None:
    given = tmp_path / "python.zip"
    with zipfile.ZipFile(given, "w") as packed:
        packed.writestr("python311.dll", b"x")
    with pytest.raises(build_msi.BuildError, match="SHA-256"):
        build_msi.stage(tmp_path / "app", python_zip=given, sha256="0" * 64, version="1.0.0")
    assert not (tmp_path / "app").exists()


def test_no_property_of_the_package_is_a_secret() -> None:
    text = (build_msi.HERE / "CloudConnect.wxs").read_text() + "".join(build_msi.ADDED)
    said = set(re.findall(r"\[([A-Z]+)\]", text)) - {"INSTALLDIR"}
    assert said == {"RELAY", "TOKENFILE", "CONNECTORNAME", "GROUP", "POLICY", "CAFILE", "PURGE"}


@pytest.mark.catalogue("T130")
def test_our_programs_take_no_code_from_anywhere_else_and_write_none() -> None:
    source = (build_msi.HERE / "launcher.c").read_text()
    options = re.search(r"options\[\] = \{(.+?)\}", source)
    assert options is not None
    assert options[1].startswith('L"-I", L"-B"')
    assert "LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_SYSTEM32" in source
